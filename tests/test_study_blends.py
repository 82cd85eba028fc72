"""Blends: weights by hand and by another solver, and what counts as validation and as test ratings."""

import math

import numpy as np
import pandas as pd
import pytest
from conftest import SMALL, not_told
from flexstudy.blends import (
    BOTH_MACHINES,
    FAMILY_ALONE,
    WITH_FAMILY,
    Kept,
    blend_numbers,
    blend_weights,
    blends_table,
    compare_blends,
    compare_families,
    compare_searches,
    kept_predictions,
    spelled_weights,
)
from scipy.optimize import minimize

from flexlib.data import hold_back
from flexlib.datasets.loading import load_ratings
from flexlib.methods.tuning import ALL, Tuning

PLAN = Tuning(SMALL, ("flexencoder",), 0.3, 2, 5)
MEMBERS = {key: ALL[key].name for key in ("bpmf", "bayesian_svdpp", "flexencoder")}


def drawn_predictions(networks=1):
    """Ratings with errors of 1, 0.5 and 0.25 stars: one row a method and split, in hundredths of a star."""
    ratings, rng, rows = load_ratings(SMALL), np.random.default_rng(1), []
    for key, error in zip(MEMBERS, (1.0, 0.5, 0.25), strict=True):
        for name, (seed, split) in PLAN.load_splits(ratings).items():
            parts = hold_back(split, seed).test, split.test
            noisy = [np.rint(100 * (ratings.values[part] + rng.normal(0, error, len(part)))) for part in parts]
            count = networks if key == "flexencoder" else 1
            rows.append((key, name, count, noisy[1].astype(int), noisy[0].astype(int)))
    columns = ["method", "split", "networks", "hundredths", "validation_hundredths"]
    return pd.DataFrame(rows, columns=columns)


def test_weights_are_least_squares_without_negative_ones():
    rng = np.random.default_rng(0)
    actual = rng.uniform(1, 5, 200)
    predicted = np.array([actual + rng.normal(0, 0.5, 200), actual + rng.normal(0, 1, 200), 6 - actual])
    weights = blend_weights(predicted, actual)
    bounds = [(0, None)] * 3
    solved = minimize(lambda w: ((w @ predicted - actual) ** 2).sum(), [0.3] * 3, bounds=bounds, tol=1e-12).x
    assert weights == pytest.approx(solved, abs=1e-4)
    assert weights[0] > weights[1] > 0  # errors of half a star and of one
    assert blend_weights([actual, 6 - actual], actual) == pytest.approx([1, 0], abs=1e-12)


def test_a_blend_is_fitted_on_validation_ratings_and_scored_on_test_ratings():
    table, ratings = drawn_predictions(), load_ratings(SMALL)
    members = kept_predictions(table)
    groups = {"one": [MEMBERS["bpmf"]], "all": list(MEMBERS.values())}
    found = compare_blends(PLAN, members, groups).set_index("group")
    expected = []
    for name, (seed, split) in PLAN.load_splits(ratings).items():
        own = [members[word][name] for word in MEMBERS.values()]
        inner = hold_back(split, seed)
        # One system of equations, as no weight is negative here
        design = np.array([kept.validation for kept in own]).T
        weights = np.linalg.lstsq(design, ratings.values[inner.test].astype(float), rcond=None)[0]
        assert (weights > 0).all()
        predicted = np.clip(sum(w * kept.test for w, kept in zip(weights, own, strict=True)), *ratings.scale[:2])
        expected.append(math.sqrt(((predicted - ratings.values[split.test]) ** 2).mean()))
    assert found.loc["all", "mean"] == pytest.approx(np.mean(expected), rel=1e-9)
    assert found["n"].tolist() == [2, 2]
    assert found.loc["one", "gap"] == 0
    assert found.loc["all", "gap"] == pytest.approx(found.loc["all", "mean"] - found.loc["one", "mean"])
    assert found.loc["all", "users_high"] < 0
    assert max(found.loc["all", "weights"], key=found.loc["all", "weights"].get) == MEMBERS["flexencoder"]
    # Other values of test ratings change no weight.
    assert kept_predictions(table.assign(hundredths=table["hundredths"] + 100)).keys() == members.keys()
    moved = {
        word: {name: Kept(kept.validation, kept.test + 1) for name, kept in own.items()}
        for word, own in members.items()
    }
    assert compare_blends(PLAN, moved, groups)["weights"].tolist() == found["weights"].tolist()


def test_only_methods_with_validation_predictions_are_blended(refused):
    table = drawn_predictions()
    table.at[0, "validation_hundredths"] = np.array([], int)
    members = kept_predictions(table)
    assert list(members[MEMBERS["bpmf"]]) == ["seed 1"]
    found = compare_blends(PLAN, members, {"one": [MEMBERS["bpmf"]], "none": ["no such method"]})
    assert found["n"].tolist() == [1, 0]
    assert found.loc[1, ["mean", "gap"]].isna().all()
    assert found.loc[1, "weights"] == {}
    short = {MEMBERS["bpmf"]: {"seed 0": Kept(np.ones(3), np.ones(3))}}
    refused(lambda: compare_blends(PLAN, short, {"one": [MEMBERS["bpmf"]]}), "seed 0", "not as many as ratings")


def test_the_chapters_blends_take_the_mean_of_networks():
    plan = Tuning(SMALL, ("flexencoder",), 0.3, 2, 5, average=3)
    table = drawn_predictions(3)
    is_own = table["method"] == "flexencoder"
    found = compare_families(plan, table[is_own], table[~is_own])
    assert found["group"].tolist() == [BOTH_MACHINES, WITH_FAMILY, FAMILY_ALONE]
    assert [len(weights) for weights in found["weights"]] == [2, 3, 1]
    assert compare_families(PLAN, table[is_own], table[~is_own])["n"].tolist() == [2, 0, 0]
    few = table[table["method"] == "bpmf"]  # one machine is not both
    both = compare_searches({"few": plan, "more": plan}, [table[is_own]] * 2, [few, table[~is_own]])
    pd.testing.assert_frame_equal(both, found.assign(case="more"))
    numbers = blend_numbers(found.assign(case="few"), {"few": "a"})
    row = found.set_index("group").loc[WITH_FAMILY]
    assert numbers["a_blend_with"] == row["mean"]
    assert numbers["a_blend_gap"] == row["gap"] < 0
    assert spelled_weights({"BPMF": 0.256, "other": 1}) == "BPMF 0.26, other 1.00"
    assert not {"a_blend_without", "a_blend_with"} & not_told("09_best", numbers)
    shown = blends_table(both).loc["more"]
    assert shown.index.tolist() == [BOTH_MACHINES, WITH_FAMILY, FAMILY_ALONE]
    assert shown.loc[BOTH_MACHINES, ["change", "over users", "verdict"]].tolist() == ["", "", ""]
    assert shown.loc[WITH_FAMILY, "change"].startswith(f"{row['gap']:+.3f} (")
