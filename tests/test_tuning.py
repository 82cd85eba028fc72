"""Tuning: that nothing of the test ratings reaches a choice or a prediction, that the tries are counted, that a search
goes on where it was stopped, and that scores are what they are by plain loops."""

import dataclasses
import json
import math
import statistics

import numpy as np
import optuna
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from conftest import SMALL, make_ratings, random_ratings
from hypothesis import given, settings
from hypothesis import strategies as st

from flexlib.centring import fit_biases
from flexlib.config import PIVOTS, PRESETS, FlexConfig, FlexError, Protocol
from flexlib.data import Split, hold_back, split_ratings
from flexlib.datasets.loading import load_ratings
from flexlib.evaluation import evaluate
from flexlib.methods import networks
from flexlib.methods import tuning as search
from flexlib.methods.interface import Rehearsal
from flexlib.methods.networks import NETWORKS
from flexlib.methods.registry import METHODS
from flexlib.methods.search import choose_members
from flexlib.methods.stopping import EXPECTED_EPOCHS, MOST_EPOCHS, PATIENCE, median_rule
from flexlib.methods.tuning import (
    ALL,
    COLUMNS,
    TRY_COLUMNS,
    Search,
    Tuning,
    best_suggestions,
    load_predictions,
    load_tuned,
    run_tuning,
    score,
    tuned_name,
)
from flexlib.predict import fallback, predict_ratings
from flexlib.runs.cost import estimate_cost
from flexlib.runs.sampling import SPACES, suggest_extended, suggest_paper
from flexlib.train import fit

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
NAN = math.nan
RATINGS = load_ratings(SMALL)
CLOCK = ["seconds", "tuning_seconds"]


def naive_rmse(actual, predicted):
    return math.sqrt(sum((p - a) ** 2 for a, p in zip(actual, predicted, strict=True)) / len(actual)) if actual else NAN


def naive_score(ratings, split, predicted):
    """What `score` returns, by loops over lists."""
    low, high, _ = ratings.scale
    train = [(ratings.users[k], ratings.items[k], float(ratings.values[k])) for k in split.train]
    actual, clipped, common, known = [], [], [], []
    for place, k in enumerate(split.test):
        by_user = [value for user, _, value in train if user == ratings.users[k]]
        by_item = [value for _, item, value in train if item == ratings.items[k]]
        actual.append(float(ratings.values[k]))
        clipped.append(min(max(float(predicted[place]), low), high))
        known.append(bool(by_user and by_item))
        some = by_user or by_item or [value for _, _, value in train]
        common.append(clipped[-1] if known[-1] else sum(some) / len(some))
    both = [(a, p) for a, p, is_known in zip(actual, clipped, known, strict=True) if is_known]
    return {
        "rmse": naive_rmse(actual, common),
        "mae": sum(abs(p - a) for a, p in zip(actual, common, strict=True)) / len(actual),
        "rmse_known": naive_rmse([a for a, _ in both], [p for _, p in both]),
        "rmse_own_fallback": naive_rmse(actual, clipped),
        "n_test": len(actual),
        "n_unseen": known.count(False),
    }


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 0.9))
def test_scores_are_those_of_plain_loops(seed, share):
    ratings, rng = random_ratings(seed), np.random.default_rng(seed)
    test = rng.random(len(ratings)) < share
    if test.all() or not test.any():
        return
    split = Split(np.flatnonzero(~test), np.flatnonzero(test))
    predicted = rng.uniform(-2, 8, test.sum())
    assert score(ratings, split, predicted) == pytest.approx(naive_score(ratings, split, predicted), nan_ok=True)


def test_a_score_by_hand():
    """User 0 and item 0 have training ratings of 4 and 2; user 1 and item 1 none."""
    ratings = make_ratings([(0, 0, 4.0), (2, 0, 2.0), (2, 2, 1.5), (0, 2, 5.0), (1, 0, 1.0), (0, 1, 4.5), (1, 1, 2.5)])
    split = Split(np.arange(3), np.arange(3, 7))
    unseen, means = fallback(ratings, split.train, ratings.users[3:], ratings.items[3:])
    assert unseen.tolist() == [False, True, True, True]
    assert means[1:].tolist() == [3.0, 4.0, 2.5]  # of item 0, of user 0, of all
    found = score(ratings, split, np.array([7.0, 0.0, 4.5, 3.5]))  # clipped: 5, 0.5
    assert found == pytest.approx(
        {
            "rmse": math.sqrt((0 + 2**2 + 0.5**2 + 0) / 4),
            "mae": 2.5 / 4,
            "rmse_known": 0,
            "rmse_own_fallback": math.sqrt((0 + 0.5**2 + 0 + 1) / 4),
            "n_test": 4,
            "n_unseen": 3,
        }
    )


def test_a_prediction_that_is_not_a_number_is_no_score():
    split = split_ratings(RATINGS, 0.3, 0)
    found = score(RATINGS, split, np.full(len(split.test), NAN))
    assert all(math.isnan(found[name]) for name in ("rmse", "mae", "rmse_known", "rmse_own_fallback"))
    predicted = np.full(len(split.test), 3.0)
    predicted[7] = NAN
    assert math.isnan(score(RATINGS, split, predicted)["rmse"])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 60))
def test_a_fallback_is_the_mean_of_the_side_that_is_known(seed, n_train):
    ratings = random_ratings(seed)
    train = np.random.default_rng(seed).permutation(len(ratings))[:n_train]
    values = ratings.values.tolist()
    unseen, means = fallback(ratings, train, ratings.users, ratings.items)
    for k in range(len(ratings)):
        by_user = [values[t] for t in train if ratings.users[t] == ratings.users[k]]
        by_item = [values[t] for t in train if ratings.items[t] == ratings.items[k]]
        assert unseen[k] == (not by_user or not by_item)
        if unseen[k]:
            some = by_user or by_item or [values[t] for t in train]
            assert means[k] == pytest.approx(sum(some) / len(some), rel=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.floats(1, 30), st.floats(1, 30))
def test_biases_solve_their_least_squares(seed, user_shrinkage, item_shrinkage):
    """As one system of equations; users and items that have no rating are in it with their rating of 0 alone."""
    ratings = random_ratings(seed)
    users, items, values = ratings.users, ratings.items, ratings.values
    n_users, n_items = ratings.n_users + 1, ratings.n_items + 2
    design = np.zeros((len(values), n_users + n_items))
    for k, (user, item) in enumerate(zip(users, items, strict=True)):
        design[k, user] = design[k, n_users + item] = 1
    shrinkage = np.diag([user_shrinkage] * n_users + [item_shrinkage] * n_items)
    mean = values.mean(dtype=np.float64)
    solved = np.linalg.solve(design.T @ design + shrinkage, design.T @ (values - mean))
    overall, of_user, of_item = fit_biases(users, items, values, n_users, n_items, user_shrinkage, item_shrinkage)
    assert overall == pytest.approx(mean)
    # What a fixed number of rounds leaves is largest where little shrinks.
    assert of_user == pytest.approx(solved[:n_users], abs=5e-3)
    assert of_item == pytest.approx(solved[n_users:], abs=5e-3)
    assert of_user[-1] == of_item[-1] == 0


def test_biases_that_are_not_shrunk_are_means():
    users, items, values = np.array([0, 0, 1]), np.array([0, 0, 2]), np.array([1.0, 3.0, 5.0])
    overall, of_user, of_item = fit_biases(users, items, values, 3, 3, 0, 0)
    assert overall == 3
    assert of_item == pytest.approx([-1, 0, 2])  # which come first and leave nothing to the users
    assert of_user == pytest.approx([0, 0, 0])


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 300), st.integers(0, 50))
def test_held_back_ratings_are_a_tenth_drawn_by_the_seed(n, seed):
    train = 3 * np.arange(n) + 1
    inner = hold_back(Split(train, np.array([0])), seed)
    assert len(inner.test) == max(1, round(n / 10))
    assert sorted([*inner.train, *inner.test]) == train.tolist()
    assert (np.diff(inner.train) > 0).all()
    assert (np.diff(inner.test) > 0).all()
    again = hold_back(Split(train, np.arange(5)), seed)  # whatever the test ratings are
    assert again.test.tolist() == inner.test.tolist()
    if n >= 100:
        assert hold_back(Split(train, np.array([0])), seed + 1).test.tolist() != inner.test.tolist()


STOPPING = {
    "hidden_layers": [6],
    "learning_rate": 0.05,
    "train_batch_size": 8,
    "dense_refeeding": 0,
    "activation": "tanh",
}
WILD = {
    "hidden_layers": [4],
    "learning_rate": 1e12,
    "optimizer": "sgd",
    "activation": "relu",
    "epochs": 3,
    "train_batch_size": 2,
}


def test_the_watched_rmse_is_the_lowest_of_all_epochs():
    ratings = random_ratings(7)
    split, seen = split_ratings(ratings, 0.3, 0), []
    watched = hold_back(split, 5).test
    actual = [float(ratings.values[k]) for k in watched]
    config = FlexConfig.from_dict(STOPPING | {"epochs": 60, "patience": 2})
    model = fit(
        ratings,
        config,
        "holdout",
        5,
        split,
        "cpu",
        lambda m: seen.append(naive_rmse(actual, predict_ratings(m, watched).tolist())),
    )
    assert 2 < len(seen) < 60
    assert model.validation_rmse == pytest.approx(min(seen))
    assert model.validation_history == pytest.approx(seen)
    assert model.best_epoch == 1 + int(np.argmin(seen)) == len(seen) - 2
    plain = fit(ratings, config.replace(patience=0, epochs=3), "holdout", 5, split, "cpu")
    lost = fit(RATINGS, FlexConfig.from_dict(WILD | {"patience": 2}), "holdout", 5, device="cpu")
    assert lost.status == "diverged"
    assert [(math.isnan(m.validation_rmse), m.best_epoch) for m in (plain, lost)] == [(True, 0)] * 2
    assert plain.validation_history == []


@pytest.mark.parametrize("patience", [0, 4])
def test_training_ends_after_the_epoch_at_which_it_is_told_to(patience):
    ratings = random_ratings(7)
    config = FlexConfig.from_dict(STOPPING | {"epochs": 9, "patience": patience})
    model = fit(ratings, config, seed=5, device="cpu", on_epoch=lambda m: len(m.history) == 3)
    fewer = fit(ratings, config.replace(epochs=3), seed=5, device="cpu")
    assert model.history == fewer.history
    assert (model.status, model.best_epoch) == (fewer.status, fewer.best_epoch)
    assert predict_ratings(model, model.split.test).tolist() == predict_ratings(fewer, fewer.split.test).tolist()


@pytest.mark.parametrize("protocol", ["holdout", "released"])
def test_predictions_are_those_from_the_training_ratings_whatever_the_protocol(protocol):
    ratings = random_ratings(3)
    model = fit(ratings, FlexConfig.from_dict(STOPPING | {"epochs": 5}), protocol, 1, device="cpu")
    test = model.split.test
    predicted = predict_ratings(model, test)
    assert predict_ratings(model, test[::-1]).tolist() == pytest.approx(predicted[::-1].tolist(), rel=1e-5)
    model.protocol = Protocol(unseen_fallback=False)
    assert predicted == pytest.approx(evaluate(model).predictions["predicted"].to_numpy(), rel=1e-5)


# ---- networks as methods


def draw(space, seed):
    """A random point of a space: the settings, and what was suggested."""
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed)).ask()
    return space(trial), trial.params


@pytest.fixture(scope="module", autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.mark.parametrize("key", NETWORKS)
def test_what_a_network_is_suggested_is_a_configuration_and_comes_back_from_json(key):
    for seed in range(20):
        found, suggested = draw(NETWORKS[key].space, seed)
        assert json.loads(json.dumps(found)) == found
        assert FlexConfig.from_dict(found).patience == 0
        again = optuna.trial.FixedTrial(json.loads(json.dumps(suggested)))
        assert NETWORKS[key].space(again) == found
        assert (not suggested) == (key == "flexencoder_set1")
    if not suggested:
        assert found == PRESETS["table2:1"]


def test_autorec_keeps_what_makes_it_autorec():
    for key, pivot in (("autorec_item", [1, 0]), ("autorec_user", [0, 1])):
        drawn = [draw(NETWORKS[key].space, seed)[0] for seed in range(30)]
        for found in drawn:
            assert found["pivot_indexes"] == pivot
            assert (found["activation"], found["output_activation"], found["optimizer"]) == ("sigmoid", False, "adam")
            (width,) = found["hidden_layers"]
            assert 50 <= width <= 500
            assert found["train_batch_size"] in (32, 64, 128, 256, 512)
            assert 1e-4 <= found["learning_rate"] <= 1e-2
            assert 1 <= found["weight_decay"] <= 300
        assert len({found["train_batch_size"] for found in drawn}) == 5


def test_the_papers_space_is_that_of_its_random_search():
    drawn = [draw(suggest_paper, seed)[0] for seed in range(150)]
    for name, values in SPACES["paper"].items():
        plain = json.loads(json.dumps(values))
        if name in ("test_split_rate", "test_masking_rate"):  # which are not the network's
            assert name not in drawn[0]
        else:
            found = [config[name] for config in drawn]
            assert [v for v in found if v not in plain] == []
            assert [v for v in plain if v not in found] == []
    sizes = {size for config in drawn for size in config["hidden_layers"]}
    assert sizes == {2**k for k in range(1, 13)}
    assert {len(config["hidden_layers"]) for config in drawn} == {1, 2, 3, 4, 5}
    # Zero is three of twelve in the random search's lists, and here one of ten.
    assert sum(config["drop_probability"] == 0 for config in drawn) < 30


def test_the_extended_space_has_what_can_be_off_and_what_goes_with_another_choice():
    drawn = [draw(suggest_extended, seed)[0] for seed in range(200)]
    fixed = {"optimizer": "adam", "loss_decay": True, "output_activation": False, "dense_refeeding": 0}
    for found in drawn:
        assert {name: found[name] for name in fixed} == fixed
        assert 3e-4 <= found["learning_rate"] <= 1e-2
        assert 1 <= found["weight_decay"] <= 200
        assert found["drop_probability"] == 0 or 0.05 <= found["drop_probability"] <= 0.7
        assert found["noise_probability"] == 0 or 0.3 <= found["noise_probability"] <= 0.95
        assert ("denoising_loss" in found) == (found["noise_probability"] > 0)
        assert len(found["hidden_layers"]) in (1, 2)
        assert FlexConfig.from_dict(found)
    choices = {
        "activation": ("tanh", "sigmoid", "elu"),
        "centring": ("biases", "output-bias"),
        "train_batch_size": [2**k for k in range(6, 11)],
        "implicit_input": (False, True),
        "input_normalization": (False, True),
    }
    for name, values in choices.items():
        assert {found[name] for found in drawn} == set(values)
    assert {tuple(found["pivot_indexes"]) for found in drawn} == set(PIVOTS)
    assert {size for found in drawn for size in found["hidden_layers"]} == {2**k for k in range(5, 10)}
    for name in ("drop_probability", "noise_probability"):
        assert 50 < sum(found[name] == 0 for found in drawn) < 150


def test_members_of_a_mean_are_chosen_by_what_they_do_for_it():
    """Errors of +1 and -1 cancel, though another try has a lower one; a fourth, constant, is of no use."""
    actual = np.array([3.0, 4.0, 2.0, 5.0])
    off = {"low": 0.4, "high": 1.0, "opposite": -1.0}
    best = [{"settings": name, "predicted": (100 * (actual + by)).tolist()} for name, by in off.items()]
    best.append({"settings": "constant", "predicted": [350] * 4})
    assert choose_members(best, actual, 1) == ["low"]
    # After +0.4: 0.4 - 1 is -0.3 on average; then 0.4 - 1 + 0.4 is -0.07, and 0.4 - 1 + 0.4 + 0.4 is 0.05
    assert choose_members(best, actual, 4) == ["low", "opposite", "low", "low"]
    del best[1]["predicted"]  # as in tables from before
    assert choose_members(best, actual, 5) == ["low", "high", "opposite", "constant", "low"]
    assert choose_members([], actual, 3) == []


def test_a_try_with_early_stopping_is_training_for_its_best_epochs_on_what_is_not_held_back():
    ratings = random_ratings(7, 20, 25)
    split = split_ratings(ratings, 0.3, 0)
    network, given = NETWORKS["flexencoder"], STOPPING | {"epochs": 7}
    predicted, kept, curve, pruned = network.rehearse(ratings, split, 4, given)
    assert kept == given | {"epochs": kept["epochs"]}
    assert 0 < kept["epochs"] <= MOST_EPOCHS - PATIENCE
    assert (len(curve), pruned) == (kept["epochs"] + PATIENCE, False)
    inner = hold_back(split, 4)
    model = fit(ratings, FlexConfig.from_dict(kept), "holdout", 4, inner, "cpu")
    assert model.config.patience == 0
    assert predicted == pytest.approx(predict_ratings(model, inner.test).astype(float), rel=1e-5)
    rmse = naive_rmse([float(ratings.values[k]) for k in inner.test], predicted.tolist())
    assert curve[kept["epochs"] - 1] == min(curve) == pytest.approx(rmse, abs=1e-5)
    # Without, the epochs are as given.
    predicted, *rest = NETWORKS["flexencoder_paper"].rehearse(ratings, split, 4, given)
    assert rest == [given, (), False]
    model = fit(ratings, FlexConfig.from_dict(given), "holdout", 4, inner, "cpu")
    assert predicted.tolist() == predict_ratings(model, inner.test).tolist()
    # What is trained on all training ratings watches nothing.
    model = fit(ratings, FlexConfig.from_dict(given), "holdout", 4, split, "cpu")
    assert network.predict(ratings, split, 4, **given).tolist() == predict_ratings(model, split.test).tolist()


@pytest.mark.parametrize("key", ["flexencoder", "flexencoder_paper"])
def test_a_network_that_diverges_predicts_no_numbers(key):
    split = split_ratings(RATINGS, 0.3, 0)
    predicted, kept, _, pruned = NETWORKS[key].rehearse(RATINGS, split, 0, WILD)
    assert not pruned
    assert np.isnan(predicted).all()
    assert len(predicted) == len(hold_back(split, 0).test)
    assert kept["epochs"] >= 1
    assert np.isnan(NETWORKS[key].predict(RATINGS, split, 0, **WILD)).all()


def test_what_a_network_still_says_after_it_diverged_does_not_count(monkeypatch):
    """Its last loss was no number, and its weights may be some."""

    def diverged(*arguments, **named):
        model = fit(*arguments, **named)
        model.status = "diverged"
        return model

    split, network = split_ratings(RATINGS, 0.3, 0), NETWORKS["flexencoder_paper"]
    assert np.isfinite(network.predict(RATINGS, split, 0, **STOPPING, epochs=1)).all()
    monkeypatch.setattr(networks, "fit", diverged)
    assert np.isnan(network.predict(RATINGS, split, 0, **STOPPING, epochs=1)).all()


@pytest.mark.parametrize("key", ["flexencoder", "flexencoder_set1"])
def test_a_try_whose_estimate_is_too_high_is_not_made(key, monkeypatch):
    split, asked = split_ratings(RATINGS, 0.3, 0), PRESETS["table2:1"]
    expected = {"epochs": EXPECTED_EPOCHS} if key == "flexencoder" else {}
    limit = estimate_cost(FlexConfig.from_dict(asked | expected), RATINGS).seconds
    made = []

    def counted(*arguments, **named):
        made.append(arguments)
        return fit(*arguments, **named)

    monkeypatch.setattr(networks, "fit", counted)
    assert NETWORKS[key].rehearse(RATINGS, split, 0, asked, 0.999 * limit) is None
    assert made == []
    assert NETWORKS[key].rehearse(RATINGS, split, 0, asked, limit) is not None
    assert len(made) == 1


def test_the_epochs_expected_of_a_try_are_those_of_the_median_of_earlier_ones():
    split, asked = split_ratings(RATINGS, 0.3, 0), PRESETS["table2:1"]
    earlier = [[1.0] * epochs for epochs in (40, 7, 9, 12, 80)]
    for curves, epochs in ((earlier, 12), (earlier[:3], EXPECTED_EPOCHS)):
        limit = estimate_cost(FlexConfig.from_dict(asked | {"epochs": epochs}), RATINGS).seconds
        assert NETWORKS["flexencoder"].rehearse(RATINGS, split, 0, asked, 0.999 * limit, curves) is None
        assert NETWORKS["flexencoder"].rehearse(RATINGS, split, 0, asked, limit, curves) is not None


# ---- tries that are pruned

CURVES = st.lists(st.lists(st.floats(0.5, 2), min_size=1, max_size=20), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(CURVES, st.lists(st.floats(0.5, 2), min_size=1, max_size=40))
def test_a_try_is_pruned_where_its_lowest_rmse_is_above_the_median_of_those_of_earlier_ones(earlier, own):
    ends = median_rule(earlier)
    for epoch in range(1, len(own) + 1):
        by_then = [min(curve[:epoch]) for curve in earlier]
        is_late = epoch >= 2 * round(statistics.median(map(len, earlier)))
        expected = len(earlier) >= 4 and is_late and min(own[:epoch]) > statistics.median(by_then)
        assert ends(own[:epoch]) == expected


def test_a_pruned_network_is_that_of_its_best_epoch_until_then():
    ratings, split = RATINGS, split_ratings(RATINGS, 0.3, 0)
    network, slow = NETWORKS["flexencoder"], STOPPING | {"learning_rate": 1e-3, "output_activation": False}
    _, _, curve, pruned = network.rehearse(ratings, split, 4, slow)
    assert len(curve) > 20
    assert not pruned
    # Earlier ones took 7 epochs and were better: a try is given 14.
    earlier = [[9.0] * 6 + [0.1]] * 4
    predicted, kept, own, pruned = network.rehearse(ratings, split, 4, slow, earlier=earlier)
    assert pruned
    assert own == curve[:14]
    assert kept["epochs"] == 1 + int(np.argmin(own))
    actual = ratings.values[hold_back(split, 4).test].astype(float)
    assert naive_rmse(actual.tolist(), predicted.tolist()) == pytest.approx(min(own), abs=1e-5)
    # Too few to say so, or no better
    for others in (earlier[:3], [[9.0]] * 4):
        assert network.rehearse(ratings, split, 4, slow, earlier=others)[2:] == (curve, False)


# ---- runs


def tuned(out, plan, ratings=RATINGS):
    """Run a `Tuning` on these ratings: its records and tries, and (test ratings, predictions) of every score."""
    scored = []

    def watched(data, split, predicted):
        scored.append((split.test, predicted))
        return score(data, split, predicted)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "load_ratings", lambda name, *layout: ratings)
        patch.setattr(search, "load_cached", lambda name, checksum, *layout: ratings)
        patch.setattr(search, "score", watched)
        search.load_split.cache_clear()
        records, tries = run_tuning(plan, out)
    search.load_split.cache_clear()
    return records, tries, scored


def scrambled(ratings, test):
    """The ratings with other values at `test`: each is as far from the scale's other end."""
    values = ratings.values.copy()
    values[test] = ratings.scale[0] + ratings.scale[1] - values[test]
    return dataclasses.replace(ratings, values=values)


def timeless(table):
    """A table without what the clock says."""
    return table.drop(columns=[name for name in CLOCK if name in table])


def same(one, other):
    pd.testing.assert_frame_equal(timeless(one), timeless(other))


LEARNERS = ("item_mean", "biases", "als", "flexencoder_set1", "flexencoder")


@pytest.fixture(scope="module")
def learners(tmp_path_factory):
    """Several methods on one split, two networks averaged."""
    plan = Tuning(SMALL, LEARNERS, 0.3, 1, 2, average=2)
    return plan, *tuned(tmp_path_factory.mktemp("learners"), plan)


def test_values_of_test_ratings_reach_no_try_no_choice_and_no_prediction(learners, tmp_path):
    plan, records, tries, scored = learners
    test = split_ratings(RATINGS, 0.3, 0).test
    others, others_tries, others_scored = tuned(tmp_path, plan, scrambled(RATINGS, test))
    same(tries, others_tries)
    measured = ["rmse", "mae", "rmse_known", "rmse_own_fallback"]
    same(records.drop(columns=measured), others.drop(columns=measured))
    assert (records["rmse"] != others["rmse"]).all()
    # 1 + 2 + 2 + 1 + 2 tries, and 5 + 2 predictions of the test ratings
    assert len(scored) == len(others_scored) == 8 + 7
    for (at, predicted), (again, others_predicted) in zip(scored, others_scored, strict=True):
        assert at.tolist() == again.tolist()
        assert predicted.tolist() == others_predicted.tolist()
    assert sum(at.tolist() == test.tolist() for at, _ in scored) == 7


def test_values_of_training_ratings_do_reach_the_choice(learners, tmp_path):
    plan, _, tries, _ = learners
    train = split_ratings(RATINGS, 0.3, 0).train
    cheap = dataclasses.replace(plan, methods=("biases",))
    _, others, _ = tuned(tmp_path, cheap, scrambled(RATINGS, train[:100]))
    assert (others["validation_rmse"].to_numpy() != tries[tries["method"] == "biases"]["validation_rmse"]).all()


def test_one_search_for_all_splits_sees_no_test_rating_of_any(tmp_path):
    plan = Tuning(SMALL, ("biases", "flexencoder"), 0.2, 2, 2, shared=True)
    tests = [split_ratings(RATINGS, 0.2, seed).test for seed in range(2)]
    apart = sorted(set(range(len(RATINGS))) - set(np.concatenate(tests)))
    records, tries, scored = tuned(tmp_path / "a", plan)
    others, others_tries, _ = tuned(tmp_path / "b", plan, scrambled(RATINGS, np.unique(np.concatenate(tests))))
    same(tries, others_tries)
    assert records["settings"].tolist() == others["settings"].tolist()
    assert records["validation_rmse"].tolist() == others["validation_rmse"].tolist()
    # One search: its tries stand for every split, and so does what it chose.
    for _, own in tries.groupby("method"):
        assert own.groupby("split").size().tolist() == [2, 2]
        assert own["validation_rmse"].nunique() == 2
    assert records.groupby("method")["settings"].nunique().tolist() == [1, 1]
    watched = [at.tolist() for at, _ in scored if len(at) < len(tests[0])]
    assert len(watched) == 4
    assert watched[0] == watched[1] == watched[2] == watched[3]
    assert set(watched[0]) < set(apart)
    assert len(watched[0]) == round(len(apart) / 10)


def test_one_search_is_refused_where_every_rating_is_in_a_test_set(tmp_path, refused, monkeypatch):
    ratings = random_ratings(0, 20, 20)
    halves = np.arange(len(ratings)) % 2 == 0
    whole = dataclasses.replace(ratings, folds={"u1": np.flatnonzero(halves), "u2": np.flatnonzero(~halves)})
    monkeypatch.setattr(search, "load_ratings", lambda name, *layout: whole)
    plan = Tuning("hand-made", ("biases",), None, 2, 2, shared=True)
    refused(lambda: run_tuning(plan, tmp_path), "hand-made")


def test_validation_ratings_are_the_same_for_all_methods_and_for_early_stopping(tmp_path, monkeypatch):
    kept = []

    def watched(*arguments, **named):
        model = fit(*arguments, **named)
        kept.append(model.split.train.tolist())
        return model

    monkeypatch.setattr(networks, "fit", watched)
    _, _, scored = tuned(tmp_path, Tuning(SMALL, LEARNERS[1:], 0.3, 2, 1))
    drawn = []
    for seed in range(2):
        split = split_ratings(RATINGS, 0.3, seed)
        own = [at.tolist() for at, _ in scored if set(at) < set(split.train) and len(at) < len(split.test)]
        own = [at for at in own if len(at) == round(len(split.train) / 10)]
        drawn.append(max(own, key=own.count))
        assert own.count(drawn[-1]) == 4
        rest = sorted(set(split.train) - set(drawn[-1]))
        # Of each of the two: a try, and the final network with and without the ratings held back.
        assert kept.count(rest) == 4
        assert kept.count(split.train.tolist()) == 2
    assert len(kept) == 12
    assert drawn[0] != drawn[1]


class Planned:
    """A method of one setting, x: 0 is perfect on validation ratings, and 1 on test ratings. lost: the numbers of the
    tries, from 1, that diverge. dear: of those not made. pruned: of those that are ended. stop: at which the user
    interrupts. A curve has an epoch more than there are earlier curves."""

    name, made_by = "Planned", "nobody"

    def __init__(self, lost=(), dear=(), pruned=(), stop=None, first_tries=()):
        self.lost, self.dear, self.pruned, self.stop, self.first_tries = lost, dear, pruned, stop, first_tries
        self.tried, self.kept, self.tried_by_seed, self.earlier = [], [], {}, []

    def space(self, trial):
        return {"x": trial.suggest_float("x", 0, 1), "kind": trial.suggest_categorical("kind", ["a", "b"])}

    def rehearse(self, ratings, split, seed, settings, max_seconds, earlier):
        self.tried.append(settings["x"])
        self.earlier.append(earlier)
        self.tried_by_seed.setdefault(seed, []).append(settings["x"])
        if len(self.tried) == self.stop:
            raise FlexError("stopped")
        if len(self.tried) in self.dear:
            return None
        inner = hold_back(split, seed)
        actual = np.full(len(inner.test), NAN) if len(self.tried) in self.lost else ratings.values[inner.test]
        predicted, curve = actual * (1 - settings["x"]) + 3.0 * settings["x"], [settings["x"]] * (1 + len(earlier))
        return Rehearsal(predicted, settings | {"epochs": 3}, curve, len(self.tried) in self.pruned)

    def predict(self, ratings, split, seed=0, **settings):
        if len(split.test) + len(split.train) == len(ratings):  # not without validation ratings
            self.kept.append((seed, settings))
        return ratings.values[split.test] * settings["x"] + 3.0 * (1 - settings["x"]) + 0.01 * seed


@pytest.fixture
def planned(monkeypatch):
    """Put a `Planned` in the place of a method."""

    def make(key="planned", **options):
        method = Planned(**options)
        monkeypatch.setitem(ALL, key, method)
        return method

    return make


def test_the_best_settings_are_those_of_the_lowest_validation_rmse_whatever_the_test_rmse(planned, tmp_path):
    method = planned()
    records, tries, scored = tuned(tmp_path, Tuning(SMALL, ("planned",), 0.3, 2, 4))
    for seed, (split, own) in enumerate(tries.groupby("split")):
        x = [json.loads(text)["x"] for text in own["settings"]]
        assert split == f"seed {seed}"
        assert own["number"].tolist() == list(range(4))
        assert x == method.tried_by_seed[seed]
        assert len(set(x)) == 4
        assert [json.loads(text)["x"] for text in own["suggested"]] == x
        assert (
            own["validation_rmse"].rank().tolist() == own["settings"].map(lambda s: json.loads(s)["x"]).rank().tolist()
        )
        chosen = {"x": min(x), "kind": json.loads(own.loc[own["validation_rmse"].idxmin(), "settings"])["kind"]}
        row = records.set_index("split").loc[split]
        assert json.loads(row["settings"]) == chosen | {"epochs": 3}
        assert method.kept[seed] == (seed, chosen | {"epochs": 3})
        assert (row["validation_rmse"], row["tries"]) == (own["validation_rmse"].min(), 4)
        assert row["tuning_seconds"] == pytest.approx(own["seconds"].sum())
        whole = split_ratings(RATINGS, 0.3, seed)
        predicted = RATINGS.values[whole.test] * min(x) + 3 * (1 - min(x)) + 0.01 * seed
        expected = naive_score(RATINGS, whole, predicted)
        assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-5)
        # The one with the highest x had the lowest test RMSE.
        best = naive_score(RATINGS, whole, RATINGS.values[whole.test] * max(x) + 3 * (1 - max(x)))
        assert row["rmse"] > best["rmse"]
    inner = hold_back(split_ratings(RATINGS, 0.3, 0), 0)
    first = tries.loc[tries["split"] == "seed 0", "validation_rmse"]
    tried = [predicted for at, predicted in scored if at.tolist() == inner.test.tolist()]
    for predicted, rmse in zip(tried, first, strict=True):
        assert rmse == pytest.approx(naive_score(RATINGS, inner, predicted)["rmse"], rel=1e-5)
    assert list(records) == list(COLUMNS)
    assert list(tries) == list(TRY_COLUMNS)
    assert set(records["dataset"]) == {SMALL}


def test_tries_that_diverge_or_are_too_dear_never_win_and_are_counted(planned, tmp_path):
    method = planned(lost=(1, 4), dear=(2,))
    records, tries, _ = tuned(tmp_path, Tuning(SMALL, ("planned",), 0.3, 1, 6))
    assert len(method.tried) == len(tries) == records["tries"].item() == 6
    assert tries["validation_rmse"].isna().tolist() == [True, True, False, True, False, False]
    ended = [x for place, x in enumerate(method.tried) if place not in (0, 1, 3)]
    assert json.loads(records["settings"].item())["x"] == min(ended)
    assert records["validation_rmse"].item() == tries["validation_rmse"].min()


def test_pruned_tries_never_win_are_counted_and_are_no_measure_for_others(planned, tmp_path):
    firsts = tuple({"x": x, "kind": "a"} for x in (0.1, 0.3, 0.2, 0.5))
    method = planned(lost=(4,), pruned=(1, 3), first_tries=firsts)
    records, tries, _ = tuned(tmp_path, Tuning(SMALL, ("planned",), 0.3, 1, 5))
    assert tries["pruned"].tolist() == [True, False, True, False, False]
    assert tries["validation_rmse"].isna().tolist() == [False, False, False, True, False]
    assert json.loads(records["settings"].item())["x"] == min(0.3, method.tried[4])
    assert tries["curve"].map(json.loads).tolist() == [
        [x] * k for x, k in zip(method.tried, (1, 1, 2, 2, 2), strict=True)
    ]
    assert method.earlier == [[], [], *[[[0.3]]] * 3]
    # Where there is nothing else, the best of them does.
    planned(lost=(4,), pruned=(1, 2, 3, 5), first_tries=firsts)
    records, tries, _ = tuned(tmp_path / "all", Tuning(SMALL, ("planned",), 0.3, 1, 4))
    assert json.loads(records["settings"].item())["x"] == 0.1
    assert [json.loads(text)["x"] for text in best_suggestions(tries, "planned")] == [0.1]


def test_where_no_try_ends_well_the_tries_are_kept_once(planned, tmp_path):
    planned(lost=range(100))
    plan = Tuning(SMALL, ("planned",), 0.3, 1, 3)
    records, tries, _ = tuned(tmp_path, plan)
    assert (len(records), len(tries)) == (0, 3)
    assert tries["validation_rmse"].isna().all()
    _, again, _ = tuned(tmp_path, plan)
    same(tries, again)


def test_a_final_network_that_diverges_is_a_record_without_an_rmse(planned, tmp_path, monkeypatch):
    method = planned()
    monkeypatch.setattr(method, "predict", lambda ratings, split, seed, **_: np.full(len(split.test), NAN))
    records, _, _ = tuned(tmp_path, Tuning(SMALL, ("planned",), 0.3, 1, 2))
    assert len(records) == 1
    assert records[["rmse", "mae", "rmse_known"]].isna().all(axis=None)
    assert records["validation_rmse"].notna().all()


def test_a_mean_is_of_networks_of_the_chosen_tries(planned, tmp_path):
    """All errors are towards 3, so that no other try makes the best one's mean better."""
    method = planned("flexencoder", lost=(2,))
    records, tries, _ = tuned(tmp_path, Tuning(SMALL, ("flexencoder",), 0.3, 1, 6, average=3))
    x = [min(json.loads(row.settings)["x"] for row in tries.dropna().itertuples())] * 3
    # Weights of their own, each by a seed of its own
    assert [(seed, given["x"]) for seed, given in method.kept] == [(0, x[0]), (100, x[1]), (200, x[2])]
    assert records["networks"].tolist() == [1, 3]
    assert records["settings"].nunique() == 1
    split = split_ratings(RATINGS, 0.3, 0)
    each = [RATINGS.values[split.test] * one + 3 * (1 - one) + place for place, one in enumerate(x)]
    for row, predicted in zip(records.itertuples(), (each[0], np.mean(each, axis=0)), strict=True):
        expected = naive_score(RATINGS, split, predicted)
        assert {name: getattr(row, name) for name in expected} == pytest.approx(expected, rel=1e-5)


def test_there_are_as_many_networks_as_asked_for_of_a_network_alone(planned, tmp_path):
    method = planned("autorec_item", lost=(1,), pruned=(3,))
    planned()  # of which there is no mean, as it is no network
    records, _, _ = tuned(tmp_path, Tuning(SMALL, ("autorec_item", "planned"), 0.3, 1, 4, average=5))
    assert records[["method", "networks"]].to_numpy().tolist() == [
        ["autorec_item", 1],
        ["autorec_item", 5],
        ["planned", 1],
    ]
    one = min(method.tried[1], method.tried[3])
    assert [(seed, given["x"]) for seed, given in method.kept] == [(100 * k, one) for k in range(5)]


@pytest.fixture
def start():
    return ('{"x": 0.25, "kind": "b"}', '{"x": 0.75, "kind": "a"}')


def test_a_search_begins_with_what_it_is_given(planned, tmp_path, start):
    method = planned()
    records, tries, _ = tuned(tmp_path / "a", Tuning(SMALL, ("planned",), 0.3, 2, 3, start=start))
    assert len(tries) == 6
    for _, own in tries.groupby("split"):
        assert [json.loads(text) for text in own["suggested"][:2]] == list(map(json.loads, start))
    assert (records["tries"] == 3).all()
    tuned(tmp_path / "b", Tuning(SMALL, ("planned",), 0.3, 1, 1, start=start))
    assert method.tried[6:] == [0.25]  # as many tries as were asked for, not as were given


def test_what_a_method_begins_with_follows(planned, tmp_path, start):
    method = planned(first_tries=({"x": 0.5}, {"x": 0.625, "kind": "b"}))
    _, tries, _ = tuned(tmp_path, Tuning(SMALL, ("planned",), 0.3, 2, 5, start=start))
    for _, own in tries.groupby("split"):
        assert [json.loads(text)["x"] for text in own["suggested"][:4]] == [0.25, 0.75, 0.5, 0.625]
        assert json.loads(own["suggested"].iloc[3]) == {"x": 0.625, "kind": "b"}
    assert len(set(method.tried)) == 4 + 2


@pytest.mark.parametrize("key", ALL)
def test_what_a_method_begins_with_is_in_its_space(key):
    for first in ALL[key].first_tries:
        trial = optuna.trial.FixedTrial(first)  # which warns of what is out of range
        ALL[key].space(trial)
        assert trial.params == first


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Records and tries of a search that nobody stopped, and how they are made."""
    plan = Tuning(SMALL, ("planned",), 0.3, 2, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ALL, "planned", Planned())
        return plan, *tuned(tmp_path_factory.mktemp("undisturbed"), plan)[:2]


@pytest.mark.parametrize("stop", [1, 7])
def test_a_search_that_was_stopped_goes_on_as_if_it_had_not_been(planned, tmp_path, undisturbed, stop):
    plan, records, tries = undisturbed
    method, threads = planned(stop=stop), torch.get_num_threads()
    with pytest.raises(FlexError, match="stopped"):
        tuned(tmp_path / "stopped", plan)
    assert torch.get_num_threads() == threads
    method = planned()
    again, again_tries, _ = tuned(tmp_path / "stopped", plan)
    assert len(method.tried) == 8 - (stop - 1)
    same(tries.drop(columns="number"), again_tries.drop(columns="number"))
    same(records, again)
    assert again_tries["number"].tolist() == [0, 1, 2, 3] * 2


def slow_or_fast(trial):
    learning_rate = trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)
    return STOPPING | {"output_activation": False, "learning_rate": learning_rate, "train_batch_size": 16}


def test_a_search_with_pruned_networks_that_was_stopped_goes_on_as_if_it_had_not_been(monkeypatch, tmp_path):
    firsts = tuple({"learning_rate": rate} for rate in (3e-3, 2e-3, 1e-2, 2e-3))
    monkeypatch.setitem(ALL, "flexencoder", networks.Network("Made up", slow_or_fast, first_tries=firsts))
    plan = Tuning(SMALL, ("flexencoder",), 0.3, 1, 10)
    records, tries, _ = tuned(tmp_path / "whole", plan)
    assert tuple(json.loads(text) for text in tries["suggested"][:4]) == firsts
    assert tries["pruned"].any()
    assert not tries["pruned"].all()
    made = []

    def stopped(*arguments, **named):
        made.append(arguments)
        if len(made) == 8:
            raise FlexError("stopped")
        return fit(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(networks, "fit", stopped)
        with pytest.raises(FlexError, match="stopped"):
            tuned(tmp_path / "stopped", plan)
    again, again_tries, _ = tuned(tmp_path / "stopped", plan)
    same(records, again)
    same(tries, again_tries)
    # The rule looks back alone: with it, each try's curve is the start of what it would have been.
    split = split_ratings(RATINGS, 0.3, 0)
    for row in tries[tries["pruned"]].itertuples():
        curve = json.loads(row.curve)
        whole = ALL["flexencoder"].rehearse(RATINGS, split, 0, json.loads(row.settings)).curve
        assert 2 * (PATIENCE + 1) <= len(curve) < len(whole)
        assert curve == whole[: len(curve)]


def test_what_a_search_begins_with_is_not_lost_when_it_is_stopped(planned, tmp_path, start):
    plan = Tuning(SMALL, ("planned",), 0.3, 1, 3, start=start)
    planned(stop=2)
    with pytest.raises(FlexError, match="stopped"):
        tuned(tmp_path, plan)
    planned()
    _, tries, _ = tuned(tmp_path, plan)
    assert [json.loads(text) for text in tries["suggested"][:2]] == list(map(json.loads, start))
    assert len(tries) == 3


@pytest.fixture(scope="module")
def cheap(tmp_path_factory):
    """Cheap methods on two splits, one search for both; and the folder."""
    plan, out = Tuning(SMALL, ("biases", "als"), 0.3, 2, 3, shared=True), tmp_path_factory.mktemp("cheap")
    return plan, out, *run_tuning(plan, out)


def test_two_workers_make_the_same_records(cheap, tmp_path):
    plan, _, records, tries = cheap
    again, again_tries = run_tuning(plan, tmp_path, workers=2)
    same(records, again)
    same(tries, again_tries)


def test_what_is_there_is_not_run_again(cheap, monkeypatch):
    plan, out, records, tries = cheap
    for key in plan.methods:
        monkeypatch.setitem(ALL, key, None)  # which could neither be searched nor be trained
    again, again_tries = run_tuning(plan, out)
    pd.testing.assert_frame_equal(records, again)
    pd.testing.assert_frame_equal(tries, again_tries)
    # One more split needs the other methods anew, one more method itself alone.
    more, more_tries = run_tuning(dataclasses.replace(plan, methods=("als", "item_mean"), shared=False), out)
    assert more["method"].tolist() == ["als"] * 2 + ["biases"] * 2 + ["item_mean"] * 2
    pd.testing.assert_frame_equal(more[:4], records)
    assert len(more_tries) == len(tries) + 2
    path = out / f"{plan.name}.parquet"
    pd.testing.assert_frame_equal(load_tuned(path), more)
    pd.testing.assert_frame_equal(load_tuned(out / f"{plan.name}-tries.parquet", TRY_COLUMNS), more_tries)


def test_predictions_are_kept_in_hundredths_as_they_are_scored(cheap):
    plan, out, records, _ = cheap
    kept = load_predictions(out / f"{plan.name}-predictions.parquet").set_index(["method", "split"])["hundredths"]
    assert set(records[["method", "split"]].itertuples(index=False, name=None)) <= set(kept.index)
    for row in records.itertuples():
        seed = int(row.split.removeprefix("seed "))
        split = split_ratings(RATINGS, 0.3, seed)
        raw = ALL[row.method].predict(RATINGS, split, seed, **json.loads(row.settings))
        unseen, means = fallback(RATINGS, split.train, RATINGS.users[split.test], RATINGS.items[split.test])
        expected = [mean if new else min(max(p, 0.5), 5) for p, mean, new in zip(raw, means, unseen, strict=True)]
        found = kept[row.method, row.split] / 100
        assert np.abs(found - expected).max() <= 0.0051
        assert naive_rmse(RATINGS.values[split.test].tolist(), found.tolist()) == pytest.approx(row.rmse, abs=1e-3)


def test_predictions_of_validation_ratings_are_those_of_the_same_networks_trained_without_them(learners, tmp_path):
    plan, _, tries, _ = learners
    _, again, _ = tuned(tmp_path, plan)
    same(tries, again)
    kept = load_predictions(tmp_path / f"{plan.name}-predictions.parquet")
    kept = kept.set_index(["method", "networks"])["validation_hundredths"]
    assert sorted(kept.index) == sorted([(key, 1) for key in LEARNERS] + [(key, 2) for key in LEARNERS[3:]])
    inner = hold_back(split_ratings(RATINGS, 0.3, 0), 0)
    actual = RATINGS.values[inner.test].tolist()
    for (key, count), found in kept.items():
        own = tries[(tries["method"] == key) & ~tries["pruned"]].sort_values("validation_rmse")
        made = [json.loads(text) for text in own["settings"]]
        chosen = made[:1]
        if count == 2:  # the other is the one that makes the mean of both the best
            predicted = [np.clip(ALL[key].predict(RATINGS, inner, 0, **one), 0.5, 5) for one in made]
            chosen += [made[int(np.argmin([naive_rmse(actual, (predicted[0] + one) / 2) for one in predicted]))]]
        each = [ALL[key].predict(RATINGS, inner, 100 * k, **one) for k, one in enumerate(chosen)]
        unseen, means = fallback(RATINGS, inner.train, RATINGS.users[inner.test], RATINGS.items[inner.test])
        expected = np.where(unseen, means, np.clip(np.mean(each, axis=0), 0.5, 5))
        assert np.abs(found / 100 - expected).max() <= 0.0051
        if count == 1:  # the network of the try that won
            assert naive_rmse(actual, (found / 100).tolist()) == pytest.approx(own["validation_rmse"].min(), abs=1e-3)


def test_records_of_before_there_were_predictions_get_these_without_another_search(planned, tmp_path):
    plan = Tuning(SMALL, ("planned",), 0.3, 2, 3)
    planned()
    records, tries, _ = tuned(tmp_path, plan)
    path = tmp_path / f"{plan.name}-predictions.parquet"
    before = load_predictions(path)
    path.unlink()
    method = planned()
    again, again_tries, _ = tuned(tmp_path, plan)
    assert method.tried == []
    same(records, again)
    same(tries, again_tries)
    pd.testing.assert_frame_equal(load_predictions(path), before)


def test_records_of_before_there_were_predictions_of_validation_ratings_get_these_alike(planned, tmp_path):
    """Those of the second split are there, and are not made again."""
    plan = Tuning(SMALL, ("planned",), 0.3, 2, 3)
    planned(pruned=(2,))
    records, tries, _ = tuned(tmp_path, plan)
    path, tries_path = (tmp_path / f"{plan.name}-{what}.parquet" for what in ("predictions", "tries"))
    after = load_predictions(path)
    assert after["validation_hundredths"].map(len).gt(0).all()
    table = pq.read_table(path)
    place = table.column_names.index("validation_hundredths")
    made = [None, table["validation_hundredths"][1].as_py()]
    pq.write_table(table.set_column(place, "validation_hundredths", pa.array(made, pa.list_(pa.int16()))), path)
    assert load_predictions(path)["validation_hundredths"].map(len).tolist() == [0, len(made[1])]
    method = planned()
    again, again_tries, _ = tuned(tmp_path, plan)
    assert (method.tried, [seed for seed, _ in method.kept]) == ([], [0])
    same(records, again)
    same(tries, again_tries)
    pd.testing.assert_frame_equal(load_predictions(path), after)
    # Older ones know nothing of them, and of curves.
    pq.write_table(table.drop_columns("validation_hundredths"), path)
    pd.read_parquet(tries_path).drop(columns=["pruned", "curve"]).to_parquet(tries_path)
    assert load_predictions(path)["validation_hundredths"].map(list).tolist() == [[], []]
    assert load_tuned(tries_path, TRY_COLUMNS)[["pruned", "curve"]].to_numpy().tolist() == [[False, ""]] * 6
    method = planned()
    tuned(tmp_path, plan)
    assert (method.tried, [seed for seed, _ in method.kept]) == ([], [0, 1])
    assert load_predictions(path)["validation_hundredths"].map(len).gt(0).all()


def test_a_network_that_diverged_has_no_predictions(planned, tmp_path, monkeypatch):
    method = planned()
    monkeypatch.setattr(method, "predict", lambda ratings, split, seed, **_: np.full(len(split.test), NAN))
    plan = Tuning(SMALL, ("planned",), 0.3, 1, 2)
    tuned(tmp_path, plan)
    found = load_predictions(tmp_path / f"{plan.name}-predictions.parquet")
    assert found[["hundredths", "validation_hundredths"]].map(len).to_numpy().tolist() == [[0, 0]]
    method = planned()
    tuned(tmp_path, plan)
    assert (method.tried, method.kept) == ([], [])


def test_broken_predictions_are_refused_by_name(tmp_path, refused):
    path = tmp_path / "x-predictions.parquet"
    refused(lambda: load_predictions(path), "x-predictions.parquet: no such file")
    table = pd.DataFrame({"method": ["als"], "split": ["seed 0"], "networks": [1]})
    table.to_parquet(path)
    refused(lambda: load_predictions(path), "no column 'hundredths'")
    table.assign(hundredths=[3]).to_parquet(path)
    refused(lambda: load_predictions(path), "'hundredths'", "lists of whole numbers")
    table.assign(hundredths=[[3]], validation_hundredths=["3"]).to_parquet(path)
    refused(lambda: load_predictions(path), "'validation_hundredths'", "lists of whole numbers")


@pytest.mark.parametrize("shared", [False, True])
def test_a_method_with_nothing_to_tune_has_one_try(tmp_path, shared):
    records, tries = run_tuning(Tuning(SMALL, ("item_mean",), 0.3, 2, 5, shared=shared), tmp_path)
    assert records["tries"].tolist() == [1, 1]
    assert len(tries) == 2
    assert set(records["settings"]) == {"{}"}


@pytest.mark.parametrize("tries", [1, 2, 7])
def test_as_many_tries_are_made_as_were_asked_for(tries):
    one, other = (Search("biases", f"seed {seed}", seed, tries) for seed in (0, 1))
    for search_ in (one, other):
        while (found := search_.next_settings()) is not None:
            settings_, suggested = found
            assert settings_ == suggested  # nothing of it is derived
            search_.tell(
                suggested, {"validation_rmse": suggested["user_shrinkage"], "settings": settings_, "seconds": 0.0}
            )
    assert len(one.made) == tries
    assert len({made["suggested"]["user_shrinkage"] for made in one.made}) == tries
    assert other.made[0]["suggested"] != one.made[0]["suggested"]


def test_splits_are_the_folds_where_no_share_is_given():
    ratings = random_ratings(0)
    folds = {f"u{k}": np.arange(k, len(ratings), 5) for k in (1, 2, 3)}
    splits = Tuning("x", (), None, 2).load_splits(dataclasses.replace(ratings, folds=folds))
    assert list(splits) == ["u1", "u2"]
    for seed, (fold, (number, split)) in enumerate(splits.items()):
        assert number == seed
        assert split.test.tolist() == folds[fold].tolist()
        assert sorted([*split.train, *split.test]) == list(range(len(ratings)))
    drawn = Tuning("x", (), 0.25, 2).load_splits(ratings)
    assert list(drawn) == ["seed 0", "seed 1"]
    for seed, split in drawn.values():
        assert split.test.tolist() == split_ratings(ratings, 0.25, seed).test.tolist()


def test_records_are_named_by_data_share_and_tries():
    assert tuned_name("ml-1m", 0.1, 40) == "tuned-ml-1m-0.1-40tries"
    assert Tuning("/data/my ratings.csv", (), None, tries=5).name == "tuned-my-ratings.csv-folds-5tries"


def test_mistakes_are_refused_and_leave_nothing(tmp_path, refused):
    out = tmp_path / "out"
    refused(lambda: run_tuning(Tuning(SMALL, ("biases", "magic"), 0.3), out), "'magic'", "svdpp", "flexencoder_set1")
    assert not out.exists()
    for start, piece in (('{"user_shrinkage": 1e9}', "user_shrinkage"), ('{"centre": "edge"}', "edge")):
        key = "biases" if piece == "user_shrinkage" else "als"
        refused(lambda k=key, s=start: run_tuning(Tuning(SMALL, (k,), 0.3, start=(s,)), out), key, piece)
    assert not out.exists()
    refused(lambda: run_tuning(Tuning(SMALL, ("biases",), None), out), SMALL, "no folds")
    refused(lambda: run_tuning(Tuning(SMALL, ("biases",), 1.5), out), "1.5")
    assert list(out.glob("*.parquet")) == []


def csv(path, shift=0.0):
    rng = np.random.default_rng(3)
    rows = [(u, i, np.clip(rng.integers(1, 10) / 2 + shift, 0.5, 5)) for u in range(12) for i in range(15)]
    pd.DataFrame(rows, columns=["user", "item", "rating"]).to_csv(path, index=False)
    return str(path)


def test_records_of_other_ratings_of_that_name_are_refused(tmp_path, refused):
    plan = Tuning(csv(tmp_path / "mine.csv"), ("biases",), 0.3, 1, 2)
    run_tuning(plan, tmp_path / "out")
    records = (tmp_path / "out" / f"{plan.name}.parquet").read_bytes()
    csv(tmp_path / "mine.csv", 0.5)
    refused(lambda: run_tuning(plan, tmp_path / "out"), f"{plan.name}.parquet", "--out")
    assert (tmp_path / "out" / f"{plan.name}.parquet").read_bytes() == records


def test_a_search_on_other_ratings_of_that_name_is_not_gone_on_with(planned, tmp_path):
    plan = Tuning(csv(tmp_path / "mine.csv"), ("planned",), 0.3, 1, 4)
    planned(stop=3)
    with pytest.raises(FlexError, match="stopped"):
        run_tuning(plan, tmp_path / "out")
    csv(tmp_path / "mine.csv", 0.5)
    planned()
    afresh = run_tuning(plan, tmp_path / "elsewhere")
    for mine, expected in zip(run_tuning(plan, tmp_path / "out"), afresh, strict=True):
        known = [name for name in mine if "seconds" not in name]
        pd.testing.assert_frame_equal(mine[known], expected[known])


def test_broken_records_are_refused_by_name(tmp_path, refused):
    path = tmp_path / "tuned.parquet"
    refused(lambda: load_tuned(path), "tuned.parquet: no such file")
    path.write_text("no parquet")
    refused(lambda: load_tuned(path), "tuned.parquet: cannot be read")
    pd.DataFrame({"method": ["als"], "split": ["seed 0"]}).to_parquet(path)
    refused(lambda: load_tuned(path), "tuned.parquet: no column 'networks'")
    refused(lambda: load_tuned(path, TRY_COLUMNS), "tuned.parquet: no column 'number'")


def test_the_best_suggestions_are_of_each_split():
    rows = [
        ("a", "s0", 0.9, "1"),
        ("a", "s0", 0.8, "2"),
        ("a", "s0", NAN, "3"),
        ("a", "s1", 0.7, "4"),
        ("a", "s1", 0.75, "5"),
        ("b", "s0", 0.1, "6"),
        ("a", "s2", NAN, "7"),
    ]
    tries = pd.DataFrame(rows, columns=["method", "split", "validation_rmse", "suggested"]).assign(pruned=False)
    assert best_suggestions(tries, "a") == ("2", "4")
    assert best_suggestions(tries, "b") == ("6",)
    assert best_suggestions(tries, "c") == ()


def test_every_method_of_the_study_can_be_tuned():
    assert list(ALL) == [*METHODS, *NETWORKS]
    assert len({method.name for method in ALL.values()}) == len(ALL)
    assert all(callable(part) for method in ALL.values() for part in (method.space, method.predict, method.rehearse))
