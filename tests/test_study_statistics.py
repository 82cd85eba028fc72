"""Intervals, rank correlations and corrections: by hand, against SciPy, and by how often they hold the truth."""

import math

import numpy as np
import pandas as pd
import pytest
from flexstudy.statistics import (
    bootstrap,
    correlation_interval,
    holm,
    labelled,
    mean_interval,
    median_interval,
    signed_rank_p,
    spearman,
    spelled,
    spelled_p,
    split_interval,
)
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats


def test_mean_interval_by_hand():
    # 1, 2, 3: mean 2, standard error 1 / sqrt(3), t quantile for 2 degrees of freedom 4.302653.
    mean, low, high = mean_interval([1, 2, 3])
    assert (mean, low, high) == (
        2,
        pytest.approx(2 - 4.302653 / math.sqrt(3)),
        pytest.approx(2 + 4.302653 / math.sqrt(3)),
    )
    values = np.random.default_rng(0).normal(size=9)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert mean_interval(values, 0.9)[1:] == pytest.approx((expected.low, expected.high))
    assert math.isnan(mean_interval([1])[1])
    assert math.isnan(mean_interval([])[0])


def test_splits_that_overlap_have_a_wider_interval():
    # 3 splits of 30/70: variance of the mean s^2 (1/3 + 3/7), so 16/7 times that of independent repeats.
    values = [0.1, 0.2, 0.6]
    mean, low, high = mean_interval(values)
    corrected = split_interval(values, 0.3)
    assert corrected[0] == mean
    assert corrected[2] - mean == pytest.approx((high - mean) * math.sqrt(16 / 7))
    assert mean - corrected[1] == pytest.approx((mean - low) * math.sqrt(16 / 7))
    assert math.isnan(split_interval([1], 0.3)[1])
    assert math.isnan(split_interval([], 0.3)[0])
    with pytest.raises(ValueError, match="test_share 1"):
        split_interval(values, 1)


def test_a_corrected_interval_holds_the_truth_where_the_plain_one_does_not():
    # Mean of half the data as estimate of the population's, over 10 random halves of one sample of 60.
    rng, hits = np.random.default_rng(3), {"plain": 0, "corrected": 0}
    for _ in range(300):
        sample = rng.normal(size=60)
        halves = [rng.permutation(sample)[:30].mean() for _ in range(10)]
        for name, (_, low, high) in {"plain": mean_interval(halves), "corrected": split_interval(halves, 0.5)}.items():
            hits[name] += low <= 0 <= high
    assert hits["plain"] < 0.75 * 300
    assert hits["corrected"] > 0.9 * 300


def test_a_median_has_an_interval_that_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        median, low, high = median_interval(rng.normal(size=40), resamples=300)
        assert low <= median <= high
        inside += low <= 0 <= high
    assert 180 <= inside <= 200  # 95 % of 200 are 190; the standard deviation is 3
    assert all(map(math.isnan, median_interval([])))


def test_a_bootstrap_draws_rows_together():
    x = np.arange(30.0)
    # Drawn apart, the columns would be uncorrelated.
    value, low, high = bootstrap(lambda a, b: float(np.corrcoef(a, b)[0, 1]), x, 2 * x)
    assert (value, low, high) == pytest.approx((1, 1, 1))
    assert all(map(math.isnan, bootstrap(np.mean, [1.0, 2.0])))
    normal = np.random.default_rng(1).normal(size=400)
    value, low, high = bootstrap(np.mean, normal)
    assert (low, high) == pytest.approx(mean_interval(normal)[1:], abs=0.02)


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=3, max_size=30))
def test_rank_correlation_is_scipys(pairs):
    one, other = map(list, zip(*pairs, strict=True))
    if len(set(one)) > 1 and len(set(other)) > 1:
        assert spearman(one, other) == pytest.approx(stats.spearmanr(one, other).statistic)
    else:
        assert math.isnan(spearman(one, other))


def test_correlation_intervals_are_scipys():
    rng = np.random.default_rng(2)
    one = rng.normal(size=50)
    other = one + rng.normal(size=50)
    found = stats.pearsonr(one, other)
    expected = found.confidence_interval(0.95)
    assert correlation_interval(found.statistic, 50) == pytest.approx((expected.low, expected.high))
    low, high = correlation_interval(np.array([1.0, 0.0]), 50)
    assert low[0] == pytest.approx(1)
    assert high[1] == pytest.approx(-low[1])
    assert math.isnan(correlation_interval(0.5, 3)[0])


def test_holms_correction_by_hand():
    # Sorted: 0.01 x 4, then 0.02 x 3, 0.03 x 2 = 0.06 as well, and 0.5; in the order given.
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([0.9, 0.8]) == pytest.approx([1, 1])
    corrected = holm([0.01, math.nan, 0.04])
    assert corrected[[0, 2]] == pytest.approx([0.02, 0.04])
    assert math.isnan(corrected[1])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holms_correction_keeps_the_order_and_lies_between_the_p_value_and_bonferronis(p_values):
    corrected = holm(p_values)
    assert (corrected >= np.array(p_values)).all()
    assert (corrected <= np.minimum(np.array(p_values) * len(p_values), 1) + 1e-12).all()
    assert (np.diff(corrected[np.argsort(p_values)]) >= 0).all()


def test_signed_ranks_are_scipys_without_zeros():
    values = [0.1, 0.3, -0.2, 0.5, 0.4, 0.6, 0.7]
    assert signed_rank_p([*values, 0, math.nan]) == pytest.approx(stats.wilcoxon(values).pvalue)
    assert math.isnan(signed_rank_p(values[:5]))


def test_intervals_are_labelled_by_their_name():
    assert labelled("mean", (2, 1, 3)) == {"mean": 2, "low": 1, "high": 3}
    assert labelled("gap", (2, 1, 3), "gap_") == {"gap": 2, "gap_low": 1, "gap_high": 3}
    with pytest.raises(ValueError, match="shorter"):
        labelled("mean", (2, 1))


def test_intervals_are_spelled_out_as_far_as_there_are_any():
    table = pd.DataFrame(
        {"gap": [-0.1, 0.25, math.nan], "gap_low": [-0.2, math.nan, math.nan], "gap_high": [0.05, math.nan, math.nan]},
        index=[7, 3, 5],
    )
    texts = spelled(table, "gap", "gap_low", "gap_high", ".2f")
    assert texts.to_dict() == {7: "-0.10 (-0.20 to 0.05)", 3: "0.25", 5: ""}
    assert (
        spelled(table.rename(columns={"gap_low": "low", "gap_high": "high"}), "gap")[7] == "-0.100 (-0.200 to +0.050)"
    )
    assert spelled(table[:0], "gap").empty


def test_p_values_are_spelled_out_but_for_those_that_are_tiny():
    assert spelled_p([0.5, 0.0004, 0.001, math.nan, 0.0126]) == ["0.500", "< 0.001", "0.001", "", "0.013"]
