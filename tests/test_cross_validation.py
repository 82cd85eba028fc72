"""Scores over splits against scikit-learn and plain loops; what a method is given never holds a test rating."""

import math

import numpy as np
import pytest
from conftest import make_ratings, random_ratings
from scipy import stats
from sklearn.metrics import mean_absolute_error, ndcg_score, root_mean_squared_error

from flexlib import evaluate, fit, split_ratings
from flexlib.config import FlexConfig
from flexlib.data import Split
from flexlib.methods.registry import METHODS
from flexlib.predict import Fitted, fallback
from flexlib.serving.crossvalidation import cross_validate, fold_ratings, training_part
from flexlib.serving.methods import FittedMethod, fit_method

RATINGS = random_ratings(11, 25, 30)
K = 5


class Scores(Fitted):
    """Predicts what a table says, (users, items)."""

    def __init__(self, ratings, table):
        self.ratings, self.split, self.table = ratings, split_ratings(ratings, 0), table

    def predict_pairs(self, users, items):
        return self.table[users, items]


def table_of(seed):
    """Distinct predictions on and off the scale."""
    return np.random.default_rng(seed).permutation(np.linspace(0, 6, 26 * 31)).reshape(26, 31)


def validated(splits, seed=3, **options):
    options = {"k": K} | options
    return cross_validate(RATINGS, lambda known, number: Scores(known, table_of(seed + number)), splits, **options)


def value(table, measure, users="all"):
    (row,) = table[(table["measure"] == measure) & (table["users"] == users)].to_dict("records")
    return row


def test_errors_are_those_of_scikit_learn_over_all_folds():
    splits = list(fold_ratings(RATINGS, 4, seed=1))
    tests = np.concatenate([split.test for split in splits])
    predicted = np.concatenate(
        [table_of(3 + n)[RATINGS.users[s.test], RATINGS.items[s.test]] for n, s in enumerate(splits)]
    ).clip(0.5, 5)
    table = validated(splits)
    assert value(table, "RMSE")["value"] == pytest.approx(root_mean_squared_error(RATINGS.values[tests], predicted))
    assert value(table, "MAE")["value"] == pytest.approx(mean_absolute_error(RATINGS.values[tests], predicted))


@pytest.mark.parametrize("relevant", [2.0, 4.0])
def test_ranks_are_those_of_scikit_learn_and_of_sets(relevant):
    """One split. Items that nobody rated in training, or the user did, cannot be recommended: they come last."""
    split = split_ratings(RATINGS, 0.4, seed=2)
    scores = table_of(3)
    train, test = split.train, split.test
    known = np.unique(RATINGS.items[train])
    ndcg, recall, listed = [], [], set()
    for user in range(RATINGS.n_users):
        own = test[RATINGS.users[test] == user]
        if not len(own):
            continue
        rated = RATINGS.items[train][RATINGS.users[train] == user]
        row = np.where(np.isin(np.arange(RATINGS.n_items), known), scores[user], -9.0)
        row[rated] = -9.0
        # Places after the last candidate are empty, not taken by an item that cannot be recommended.
        top = [item for item in np.argsort(-row)[:K] if row[item] > -9]
        listed |= set(top)
        hits = set(RATINGS.items[own][RATINGS.values[own] >= relevant].tolist())
        if hits:
            truth = np.isin(np.arange(RATINGS.n_items), list(hits)).astype(float)
            ndcg.append(ndcg_score([truth], [row], k=K))
            recall.append(len(hits & set(top)) / len(hits))
    table = validated([split], relevant=relevant)
    assert value(table, f"nDCG@{K}")["value"] == pytest.approx(np.mean(ndcg))
    assert value(table, f"recall@{K}")["value"] == pytest.approx(np.mean(recall))
    assert value(table, f"coverage@{K}")["value"] == pytest.approx(len(listed) / len(known))
    assert value(table, f"nDCG@{K}")["n"] == len(ndcg)
    # A single split says nothing of how coverage varies over splits.
    assert math.isnan(value(table, f"coverage@{K}")["low"])


def test_intervals_are_bootstraps_over_users_and_t_over_splits():
    splits = list(fold_ratings(RATINGS, 3))
    table = validated(splits)
    squares, n = np.zeros(RATINGS.n_users), np.zeros(RATINGS.n_users)
    for number, split in enumerate(splits):
        users, items = RATINGS.users[split.test], RATINGS.items[split.test]
        gap = table_of(3 + number)[users, items].clip(0.5, 5) - RATINGS.values[split.test]
        np.add.at(squares, users, gap.astype(float) ** 2)
        np.add.at(n, users, 1)
    rng = np.random.default_rng(5)
    drawn = [rng.integers(0, len(n), len(n)) for _ in range(4000)]
    ends = np.quantile([np.sqrt(squares[d].sum() / n[d].sum()) for d in drawn], [0.025, 0.975])
    row = value(table, "RMSE")
    assert [row["low"], row["high"]] == pytest.approx(ends.tolist(), abs=0.02)
    single = [value(validated([split], seed=3 + k), f"coverage@{K}")["value"] for k, split in enumerate(splits)]
    row = value(table, f"coverage@{K}")
    expected = stats.t.interval(0.95, 2, np.mean(single), stats.sem(single))
    assert [row["low"], row["high"]] == pytest.approx(np.clip(expected, 0, 1).tolist())
    assert table.equals(validated(splits))


def test_groups_are_quarters_of_users_by_activity_and_add_up():
    table = validated(fold_ratings(RATINGS, 3))
    groups = table[(table["measure"] == "RMSE") & (table["users"] != "all")]
    counts = np.bincount(RATINGS.users)
    assert 2 <= len(groups) <= 4
    assert groups["n"].sum() == RATINGS.n_users
    weights = []
    for name in groups["users"]:
        low, high = (int(word) for word in name.removesuffix(" ratings").split(" to "))
        weights.append(counts[(counts >= low) & (counts <= high)].sum())
    assert sum(weights) == len(RATINGS)
    total = np.sqrt((groups["value"] ** 2 * weights).sum() / len(RATINGS))
    assert total == pytest.approx(value(table, "RMSE")["value"])


def test_equally_active_users_are_one_group():
    ratings = make_ratings([(u, i, 1.0 + (u + i) % 5) for u in range(4) for i in range(6)])
    table = cross_validate(ratings, lambda known, _: fit_method(known, "biases"), fold_ratings(ratings, 2))
    assert table["users"].unique().tolist() == ["all"]


def test_folds_hold_each_rating_once():
    splits = list(fold_ratings(RATINGS, 5, seed=4))
    assert np.sort(np.concatenate([split.test for split in splits])).tolist() == list(range(len(RATINGS)))
    for split in splits:
        assert np.sort(np.concatenate([split.train, split.test])).tolist() == list(range(len(RATINGS)))
    sizes = [len(split.test) for split in splits]
    assert max(sizes) - min(sizes) <= 1
    assert any((a.test != b.test).any() for a, b in zip(splits, fold_ratings(RATINGS, 5, seed=5), strict=True))


def changed(ratings, split):
    """The same pairs with other values of the test ratings."""
    values = ratings.values.copy()
    values[split.test] = 5.5 - values[split.test]
    return make_ratings(list(zip(ratings.users.tolist(), ratings.items.tolist(), values.tolist(), strict=True)))


@pytest.mark.parametrize("method", ["als", "biases", "item_knn", "flexencoder"])
def test_what_is_fitted_never_sees_a_test_rating(method):
    split = split_ratings(RATINGS, 0.3)
    predicted = []
    for ratings in (RATINGS, changed(RATINGS, split)):
        known = training_part(ratings, split)
        assert len(known) == len(split.train)
        settings = {"epochs": 1, "hidden_layers": [4]} if method == "flexencoder" else {}
        model = fit_method(known, method, settings, seed=1)
        predicted.append(model.predict_pairs(RATINGS.users[split.test], RATINGS.items[split.test]))
    np.testing.assert_array_equal(*predicted)


@pytest.mark.parametrize("method", ["als", "item_mean", "slope_one"])
def test_a_method_predicts_pairs_as_it_does_test_ratings(method):
    """Pairs with ratings of both: by the method's own function, of a split with these pairs as its test ratings."""
    split = split_ratings(RATINGS, 0.3)
    model = fit_method(RATINGS, method, seed=2, split=split)
    assert isinstance(model, FittedMethod)
    users, items = RATINGS.users[split.test], RATINGS.items[split.test]
    unseen, _ = fallback(RATINGS, split.train, users, items)
    expected = METHODS[method].predict(RATINGS, split, 2)
    assert unseen.sum() < len(unseen)
    np.testing.assert_allclose(model.predict_pairs(users, items)[~unseen], expected[~unseen])
    mean = RATINGS.values[split.train].mean()
    assert model.predict("nobody", "nothing")[0] == pytest.approx(mean)


def test_a_network_is_scored_as_evaluate_scores_it():
    split = split_ratings(RATINGS, 0.3)
    config = FlexConfig(hidden_layers=[4], epochs=2, centring="biases")
    table = cross_validate(
        RATINGS, lambda known, _: fit(known, config, seed=0, split=split_ratings(known, 0)), [split], lists=False
    )
    predictions = evaluate(fit(RATINGS, config, seed=0, split=split)).predictions
    expected = root_mean_squared_error(predictions["actual"], predictions["predicted"].clip(0.5, 5))
    assert value(table, "RMSE")["value"] == pytest.approx(expected, rel=1e-5)
    assert set(table["measure"]) == {"RMSE", "MAE"}


def test_what_cannot_be_validated_is_refused(refused):
    refused(lambda: list(fold_ratings(RATINGS, 1)), "1 folds")
    refused(lambda: list(fold_ratings(RATINGS, len(RATINGS) + 1)), "folds")
    refused(lambda: validated([]), "nothing to score")
    refused(lambda: validated([Split(np.arange(9), np.arange(0))]), "nothing to score")
    refused(lambda: validated(fold_ratings(RATINGS, 2), k=0), "k 0")
    refused(lambda: fit_method(RATINGS, "magic"), "'magic'", "als", "flexencoder")
