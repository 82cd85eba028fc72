"""Predictors without a network: means by hand, biases against the solved least squares, and what each may look at."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from conftest import make_ratings, random_ratings

from flexlib import baselines
from flexlib.baselines import BASELINES, biases, item_mean, row_mean_rmse, score_baselines, user_mean
from flexlib.config import FlexConfig
from flexlib.data import split_ratings
from flexlib.evaluate import evaluate
from flexlib.train import fit

# Item 2 and user 2 have a rating of their own, that at index 4, and no other.
HAND_MADE = make_ratings([(0, 0, 5.0), (1, 0, 3.0), (0, 1, 2.0), (1, 1, 4.0), (2, 2, 1.0)])
FIRST_FOUR = np.arange(4)


def test_means_by_hand():
    assert item_mean(HAND_MADE, slice(None)).tolist() == [4, 4, 3, 3, 1]
    assert user_mean(HAND_MADE, slice(None)).tolist() == [3.5, 3.5, 3.5, 3.5, 1]
    # Of items and users without a rating the mean of all that are used is predicted: (5 + 3 + 2 + 4) / 4.
    assert item_mean(HAND_MADE, FIRST_FOUR).tolist() == [4, 4, 3, 3, 3.5]
    assert user_mean(HAND_MADE, FIRST_FOUR).tolist() == [3.5, 3.5, 3.5, 3.5, 3.5]
    assert user_mean(HAND_MADE, np.array([0, 1, 3])).tolist() == [5, 3.5, 5, 3.5, 4]


def solved_biases(ratings, used):
    """The same least squares at once, by its normal equations: one column for each user and item, ridge on the diagonal
    (Koren 2010: 15 for users, 10 for items)."""
    users, items, values = ratings.users, ratings.items, ratings.values.astype(np.float64)
    n_users, n_items = ratings.n_users, ratings.n_items
    design = np.zeros((len(values), n_users + n_items))
    design[np.arange(len(values)), users] = 1
    design[np.arange(len(values)), n_users + items] = 1
    own, overall = design[used], values[used].mean()
    ridge = np.diag([15.0] * n_users + [10.0] * n_items)
    return overall + design @ np.linalg.solve(own.T @ own + ridge, own.T @ (values[used] - overall))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_biases_solve_their_least_squares(seed):
    ratings = random_ratings(seed, 30, 40)
    used = split_ratings(ratings, 0.4, seed).train
    assert biases(ratings, used) == pytest.approx(solved_biases(ratings, used), abs=1e-4)
    assert biases(ratings, slice(None)) == pytest.approx(solved_biases(ratings, slice(None)), abs=1e-4)


def test_more_sweeps_come_nearer_to_the_solution(monkeypatch):
    ratings = random_ratings(0, 30, 40)
    exact, gaps = solved_biases(ratings, slice(None)), []
    for sweeps in (1, 3, 10, 100):
        monkeypatch.setattr(baselines, "SWEEPS", sweeps)
        gaps.append(np.abs(biases(ratings, slice(None)) - exact).max())
    assert gaps[0] > gaps[1] > gaps[2] > gaps[3]
    assert gaps[3] < 1e-12


def test_who_is_new_has_no_bias():
    predicted = biases(HAND_MADE, FIRST_FOUR)
    assert predicted[4] == 3.5
    mixed = make_ratings([(0, 0, 5.0), (1, 0, 3.0), (0, 1, 2.0), (1, 1, 4.0), (2, 0, 1.0)])
    of_item = biases(mixed, FIRST_FOUR)
    # A new user's prediction is the mean with the item's bias alone, which two opposite users leave as it is:
    # (1.5 - 0.5) / (2 + 10) above 3.5.
    assert of_item[4] == pytest.approx(3.5 + 1 / 12, abs=1e-3)


def test_scores_are_the_rmse_over_the_test_ratings_of_fits_own_splits():
    ratings, rate = random_ratings(4, 20, 25), 0.2
    rows = score_baselines(ratings, rate, [3, 8])
    assert [(row["seed"], row["fitted_on"]) for row in rows[::3]] == [
        (3, "all ratings"), (3, "training ratings"), (8, "all ratings"), (8, "training ratings")]  # fmt: skip
    assert [row["predictor"] for row in rows] == ["item mean", "user mean", "user and item biases"] * 4
    for row in rows:
        split = fit(ratings, FlexConfig(epochs=0, hidden_layers=[2], test_split_rate=rate), seed=row["seed"]).split
        used = split.train if row["fitted_on"] == "training ratings" else range(len(ratings))
        squares = []
        for test in split.test:
            if row["predictor"] == "user and item biases":
                predicted = solved_biases(ratings, np.array(used))[test]
            else:
                ids = ratings.items if row["predictor"] == "item mean" else ratings.users
                own = [ratings.values[k] for k in used if ids[k] == ids[test]] or [ratings.values[k] for k in used]
                predicted = sum(map(float, own)) / len(own)
            squares.append((float(ratings.values[test]) - predicted) ** 2)
        assert row["rmse"] == pytest.approx(math.sqrt(sum(squares) / len(squares)), abs=1e-4)


@pytest.mark.parametrize("name", BASELINES)
def test_fitted_on_training_ratings_test_ratings_are_never_looked_at(name):
    ratings = random_ratings(5, 20, 25)
    split = split_ratings(ratings, 0.3, 1)
    values = ratings.values.copy()
    values[split.test] = 5.5 - values[split.test]
    others, predict = dataclasses.replace(ratings, values=values), BASELINES[name]
    assert np.array_equal(predict(ratings, split.train), predict(others, split.train))
    leaking = [predict(data, slice(None))[split.test] for data in (ratings, others)]
    assert (leaking[0] != leaking[1]).mean() > 0.9


def test_predictors_are_handed_all_ratings_or_the_splits_training_ratings(monkeypatch):
    ratings, seen = random_ratings(5, 20, 25), []

    def spy(data, used):
        seen.append(np.arange(len(data))[used])
        return np.full(len(data), 3.0)

    monkeypatch.setattr(baselines, "BASELINES", {"constant": spy})
    rows = score_baselines(ratings, 0.3, [7])
    split = split_ratings(ratings, 0.3, 7)
    assert [used.tolist() for used in seen] == [list(range(len(ratings))), split.train.tolist()]
    by_hand = math.sqrt(np.mean((ratings.values[split.test].astype(float) - 3) ** 2))
    assert [row["rmse"] for row in rows] == pytest.approx([by_hand] * 2)


@pytest.mark.parametrize("item_based", [False, True])
def test_the_row_means_are_what_a_centred_network_predicts_that_has_learned_nothing(item_based):
    ratings = random_ratings(6, 20, 25)
    config = FlexConfig(
        epochs=0, hidden_layers=[2], test_split_rate=0.2, pivot_indexes=[1, 0] if item_based else [0, 1]
    )
    model = fit(ratings, config, "holdout unseen_fallback=false", seed=4, device="cpu")
    with torch.no_grad():
        for weights in model.network.parameters():
            weights.zero_()
    assert row_mean_rmse(ratings, item_based, 0.2, 4) == pytest.approx(evaluate(model).rmse)
    assert row_mean_rmse(ratings, item_based, 0.2) != row_mean_rmse(ratings, item_based, 0.2, 4)
