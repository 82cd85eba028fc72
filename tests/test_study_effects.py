"""Scores, ranks and sizes of effects: against pairs that are counted, and against SciPy."""

import math
from itertools import product

import numpy as np
import pytest
from conftest import SMALL, records_of
from flexstudy.effects import epsilon_squared, rank_runs, score_runs, superiority
from hypothesis import given
from hypothesis import strategies as st
from planted import PLAN, RECORDS, as_scored, ended_well
from scipy import stats

from flexlib.runs.plan import Plan


def test_a_diverged_run_has_the_score_of_the_stars_that_are_made_of_it_or_the_worst():
    for protocol in PLAN.protocols:
        made, rmse = score_runs(RECORDS, protocol)
        assert dict(zip(made["run"], rmse, strict=True)) == as_scored(protocol)
    finite = [sum(map(math.isfinite, as_scored(protocol).values())) for protocol in PLAN.protocols]
    assert finite[0] > len(ended_well())
    assert finite[1] == len(ended_well("holdout")) < len(as_scored("holdout"))


def test_the_outcome_is_the_share_of_runs_that_are_better():
    stars = {"status": "diverged", "rmse_of_diverged": 1.5}
    ends = ["skipped", 1.0, "diverged", 1.0, 2.0, "diverged", "failed", 0.9, stars]
    records = records_of(Plan.sweep(SMALL, ("released",), 9, 0), lambda k, _: ends[k])
    made, rank = rank_runs(records, "released")
    assert made["run"].tolist() == [1, 2, 3, 4, 5, 7, 8]
    assert rank.index.equals(made.index)
    # 0.9 is best; two of 1.0; the stars' 1.5; 2.0; two that diverged share the last places.
    assert (rank * 6).tolist() == pytest.approx([1.5, 5.5, 1.5, 4, 5.5, 0, 3])
    alone = rank_runs(records[records["run"] == 4], "released")[1]
    assert alone.tolist() == [0]
    assert rank_runs(records, "holdout")[1].empty


ranks = st.lists(st.one_of(st.integers(0, 5).map(float), st.just(math.inf)), min_size=1, max_size=9)


@given(ranks, ranks)
def test_superiority_counts_the_pairs_that_are_won_and_half_of_the_ties(one, other):
    won = sum((a < b) + (a == b) / 2 for a, b in product(one, other))
    assert superiority(np.array(one), np.array(other)) == pytest.approx(won / (len(one) * len(other)))
    assert superiority(np.array(one), np.array(other)) + superiority(np.array(other), np.array(one)) == pytest.approx(1)


def test_superiority_over_nobody_is_not_known():
    assert math.isnan(superiority(np.array([]), np.array([1.0])))
    assert math.isnan(superiority(np.array([1.0]), np.array([])))


def test_superiority_of_many_samples_is_that_of_each():
    one, other = np.random.default_rng(0).integers(0, 5, (2, 3, 7)).astype(float)
    one[1, 2] = math.inf
    assert superiority(one, other[:, :4]).tolist() == [
        float(superiority(*pair)) for pair in zip(one, other[:, :4], strict=True)
    ]
    assert np.isnan(superiority(one, np.empty((3, 0)))).tolist() == [True] * 3


def by_sums_of_squares(values, groups):
    """Epsilon squared of the ranks, from the sums of squares between and within groups (Kelley 1935)."""
    ranks = stats.rankdata(values)
    parts = [ranks[np.array(groups) == group] for group in set(groups)]
    within = sum(((part - part.mean()) ** 2).sum() for part in parts)
    total = ((ranks - ranks.mean()) ** 2).sum()
    return 1 - within / (len(ranks) - len(parts)) / (total / (len(ranks) - 1))


grouped = st.lists(
    st.tuples(st.one_of(st.integers(0, 5).map(float), st.just(math.inf)), st.sampled_from("abc")), min_size=1
)


@given(grouped)
def test_epsilon_squared_is_the_share_between_groups_beyond_chance(rows):
    values, groups = np.array([value for value, _ in rows]), np.array([group for _, group in rows])
    found = epsilon_squared(values, groups)
    if len(set(values)) == 1 or len(values) <= len(set(groups)):
        assert math.isnan(found)
    else:
        assert found == pytest.approx(by_sums_of_squares(values, groups), abs=1e-12)


def test_epsilon_squared_of_one_group_is_none_and_of_no_values_unknown():
    assert epsilon_squared(np.array([1.0, 2.0, 3.0]), np.array(["a"] * 3)) == 0
    assert math.isnan(epsilon_squared(np.array([]), np.array([])))
