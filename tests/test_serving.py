"""A fitted model in use: predictions by ids, lists of many users, training on all ratings, and new ratings."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import make_ratings, random_ratings

from flexlib import (
    FlexConfig,
    evaluate,
    fit,
    fold_in,
    load_model,
    recommend,
    save_model,
    split_ratings,
)
from flexlib.predict import predict_ratings
from flexlib.serving import folding
from flexlib.serving.methods import fit_method

PIVOTS = {"users": [0, 1], "items": [1, 0]}
RATINGS = random_ratings(5, 12, 15)
EVERY_PAIR = np.divmod(np.arange(RATINGS.n_users * RATINGS.n_items), RATINGS.n_items)


def fitted(rows="users", ratings=RATINGS, **changes):
    config = FlexConfig(hidden_layers=[5, 3], epochs=2, pivot_indexes=PIVOTS[rows], activation="tanh")
    return fit(ratings, config.replace(**changes), seed=3, device="cpu")


def of_all(ratings, rows="users", **changes):
    config = FlexConfig(hidden_layers=[5, 3], epochs=2, pivot_indexes=PIVOTS[rows], activation="tanh")
    return fit(ratings, config.replace(**changes), seed=3, split=split_ratings(ratings, 0), device="cpu")


@pytest.mark.parametrize("rows", PIVOTS)
@pytest.mark.parametrize("rounding", [True, False])
def test_predictions_by_id_are_those_that_are_scored(rows, rounding):
    model = fitted(rows, prediction_rounding=rounding)
    table = evaluate(model).predictions
    users, items = 100 + table["user"].to_numpy(), 200 + table["item"].to_numpy()
    expected = table["predicted"].to_numpy()
    np.testing.assert_allclose(model.predict(users, items), expected, rtol=1e-5)
    np.testing.assert_allclose(model.predict(users.astype(str), list(items)), expected, rtol=1e-5)
    one = model.predict(users[0], [items[0], items[0]])
    np.testing.assert_allclose(one, [expected[0], expected[0]], rtol=1e-5)


@pytest.mark.parametrize("rows", PIVOTS)
@pytest.mark.parametrize("protocol", ["holdout", "released"])
def test_an_unknown_user_or_item_has_a_training_mean(rows, protocol):
    ratings = make_ratings([(0, 0, 1.0), (0, 1, 2.0), (1, 1, 5.0), (1, 0, 4.0), (2, 1, 3.0)])
    config = FlexConfig(hidden_layers=[2], epochs=1, pivot_indexes=PIVOTS[rows])
    model = fit(ratings, config, protocol, split=split_ratings(ratings, 0), device="cpu")
    predicted = model.predict([100, "x", "x", 7], ["new", 201, "new", 8])
    assert predicted.tolist() == pytest.approx([1.5, 10 / 3, 3, 3])
    assert model.predict([], []).shape == (0,)


def test_ids_that_cannot_be_meant_are_refused(refused):
    model = fitted()
    refused(lambda: model.predict([100, 101], [200, 201, 202]), "2 users and 3 items")
    refused(lambda: model.predict([[100]], [200]), "(1, 1)")
    refused(lambda: model.predict([100.0], [200]), "float64", "whole numbers or texts")
    model.network.decoder_biases[-1].data.fill_(float("nan"))
    refused(lambda: model.predict(100, 200), "not finite")


@pytest.mark.parametrize("rows", PIVOTS)
def test_many_lists_are_those_of_single_calls_whatever_the_blocks(rows, monkeypatch):
    model = fitted(rows)
    users = [107, 100, 103]
    many = recommend(model, users, k=4)
    for user in users:
        own = many[many["user"] == user].reset_index(drop=True)
        assert own["rank"].tolist() == list(range(1, len(own) + 1))
        single = recommend(model, user, k=4)
        assert own["item"].tolist() == single["item"].tolist()
        np.testing.assert_allclose(own["predicted"], single["predicted"], rtol=1e-5)
    assert many["user"].unique().tolist() == users
    everyone = recommend(model, k=4)
    assert everyone["user"].unique().tolist() == RATINGS.user_ids.tolist()
    monkeypatch.setattr(type(model), "pairs_at_once", 40)
    blocks = recommend(model, k=4)
    assert blocks["item"].tolist() == everyone["item"].tolist()
    assert recommend(model, np.array(["107"]), k=4)["item"].tolist() == many[many["user"] == 107]["item"].tolist()


def test_one_who_has_rated_everything_has_no_rows_among_many(refused):
    ratings = make_ratings([(0, 0, 1.0), (0, 1, 2.0), (1, 1, 5.0)])
    model = of_all(ratings)
    assert recommend(model, k=3)["user"].tolist() == [101]
    assert recommend(model, [100], k=3).empty
    refused(lambda: recommend(model, 100), "user '100'", "rated every item")
    refused(lambda: recommend(model, [100, 9, 8]), "user '9'", "100, 101")


@pytest.mark.parametrize("k", [0, -3])
def test_a_list_has_at_least_one_item(refused, k):
    refused(lambda: recommend(fitted(), 100, k=k), f"k {k}", "at least 1")


@pytest.mark.parametrize("changes", [{}, {"patience": 1}])
def test_a_model_of_all_ratings_is_used_and_not_scored(tmp_path, refused, changes):
    model = of_all(RATINGS, **changes)
    assert len(model.split.test) == 0
    assert changes or len(model.split.train) == len(RATINGS)
    refused(lambda: evaluate(model), "nothing to score", "all ratings")
    save_model(model, tmp_path / "m.safetensors")
    again = load_model(tmp_path / "m.safetensors", device="cpu")
    assert recommend(again).equals(recommend(model))


CENTRINGS = ["rows", "biases", "three", "output-bias"]


@pytest.mark.parametrize("rows", PIVOTS)
@pytest.mark.parametrize("centring", CENTRINGS)
def test_ratings_that_are_known_change_nothing(rows, centring):
    model = fitted(rows, centring=centring, decoder_constraint=True)
    train = model.split.train[RATINGS.users[model.split.train] == 2]
    ids = RATINGS.user_ids[RATINGS.users[train]], RATINGS.item_ids[RATINGS.items[train]]
    folded = fold_in(model, *ids, RATINGS.values[train])
    users, items = EVERY_PAIR
    assert (folded.predict_pairs(users, items) == model.predict_pairs(users, items)).all()
    assert recommend(folded).equals(recommend(model))


@pytest.mark.parametrize(
    "changes", [{}, {"implicit_input": True}, {"input_normalization": True}, {"centring": "three"}]
)
def test_a_new_user_is_predicted_as_a_known_one_with_the_same_ratings(changes):
    """By a user-based network, in which a user is nothing but the ratings; a mean of rows is the user's own."""
    model = of_all(RATINGS, "users", **changes)
    own = RATINGS.users == 4
    items = RATINGS.item_ids[RATINGS.items[own]]
    folded = fold_in(model, "Ada", items, RATINGS.values[own])
    np.testing.assert_allclose(folded.predict("Ada", RATINGS.item_ids), model.predict(104, RATINGS.item_ids), rtol=1e-5)
    users, all_items = EVERY_PAIR
    assert (folded.predict_pairs(users, all_items) == model.predict_pairs(users, all_items)).all()
    # The model that was given is as it was.
    assert model.ratings is RATINGS
    assert folded.network is model.network


def test_a_new_item_is_predicted_as_a_known_one_with_the_same_ratings_by_an_item_based_network():
    """Users who rate it get other weights; a third one, who does not, sees both items alike."""
    model = of_all(RATINGS, "items")
    own = np.flatnonzero(RATINGS.items == 3)
    users = RATINGS.user_ids[RATINGS.users[own]]
    folded = fold_in(model, users, "sequel", RATINGS.values[own])
    others = np.setdiff1d(RATINGS.user_ids, users)
    assert len(others) > 2
    np.testing.assert_allclose(folded.predict(others, "sequel"), model.predict(others, 203), rtol=1e-5)


def test_weights_of_a_new_column_are_those_of_a_ridge_regression():
    """Where the output is linear: against NumPy's normal equations, feature by feature."""
    model = of_all(RATINGS, "items", output_activation=False)
    items, stars = np.array([200, 203, 205, 209]), np.array([5.0, 1.5, 4.0, 2.0], np.float32)
    folded = fold_in(model, "Ada", items, stars)
    network = model.network
    known = np.hstack([w.detach().numpy() for w in (network.decoder_weights[-1], network.decoder_biases[-1][:, None])])
    start, spread = known.mean(axis=0), known.var(axis=0)
    error = np.sqrt(np.mean((predict_ratings(model, model.split.train) - RATINGS.values) ** 2))
    dense = np.zeros((RATINGS.n_items, RATINGS.n_users), np.float32)
    # What an item's row holds is centred by its mean, in which Ada counts.
    for item in range(RATINGS.n_items):
        own = RATINGS.items == item
        added = stars[items == 200 + item]
        mean = np.concatenate([RATINGS.values[own], added]).mean()
        dense[item, RATINGS.users[own]] = RATINGS.values[own] - mean
    with torch.no_grad():
        inner = network.decode_inner(network.encode(torch.from_numpy(dense))).numpy()
    features = np.hstack([inner, np.ones((len(inner), 1))])[items - 200]
    means = folded.row_means[items - 200]
    precision = features.T @ features / error**2 + np.diag(1 / spread)
    expected = np.linalg.solve(precision, features.T @ (stars - means) / error**2 + start / spread)
    weights = folded.network.decoder_weights[-1][-1].detach().numpy()
    found = np.append(weights, folded.network.decoder_biases[-1][-1].item())
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    predicted = np.hstack([inner, np.ones((len(inner), 1))]) @ expected + folded.row_means
    np.testing.assert_allclose(folded.predict("Ada", RATINGS.item_ids), predicted, rtol=1e-3)


@pytest.mark.parametrize("rows", PIVOTS)
@pytest.mark.parametrize("tied", [True, False])
def test_new_users_and_items_are_told_apart_saved_and_listed(tmp_path, rows, tied):
    model = of_all(RATINGS, rows, decoder_constraint=tied, implicit_input=True, centring="biases")
    frame = pd.DataFrame({"user": ["Ada", "Ada", "Bo", "100"], "item": ["200", "sequel", "sequel", "sequel"]})
    folded = fold_in(model, frame["user"], frame["item"], [5.0, 4.0, 1.0, 2.0])
    assert folded.ratings.n_users == RATINGS.n_users + 2
    assert folded.ratings.item_ids[-1] == "sequel"
    assert folded.ratings.titles[-1] == ""
    save_model(folded, tmp_path / "m.safetensors")
    again = load_model(tmp_path / "m.safetensors", device="cpu")
    lists = recommend(again, ["Ada", "Bo"], k=3)
    assert lists.equals(recommend(folded, ["Ada", "Bo"], k=3))
    assert not {"200", "sequel"} & set(lists[lists["user"] == "Ada"]["item"])
    assert np.isfinite(again.predict("Bo", RATINGS.item_ids)).all()
    # Twice is as once.
    twice = fold_in(folded, "Ada", "200", 5.0)
    np.testing.assert_array_equal(twice.predict("Ada", RATINGS.item_ids), folded.predict("Ada", RATINGS.item_ids))


def test_a_rating_is_replaced_and_a_test_rating_becomes_one_of_training():
    model = fitted()
    place = model.split.test[0]
    user, item = RATINGS.user_ids[RATINGS.users[place]], RATINGS.item_ids[RATINGS.items[place]]
    folded = fold_in(model, user, item, 0.5)
    assert place in folded.split.train
    assert place not in folded.split.test
    assert folded.ratings.values[place] == 0.5
    assert len(folded.ratings) == len(RATINGS)
    own = folded.split.train[RATINGS.users[folded.split.train] == RATINGS.users[place]]
    assert folded.row_means[RATINGS.users[place]] == pytest.approx(folded.ratings.values[own].mean())
    others = np.arange(RATINGS.n_users) != RATINGS.users[place]
    assert (folded.row_means[others] == model.row_means[others]).all()


def test_more_ratings_bring_a_users_predictions_nearer_to_them():
    """An item-based network's weights of a new user are fitted: the loss falls below that of the average user."""
    model = of_all(random_ratings(8, 40, 30), "items", epochs=10, hidden_layers=[8])
    items = np.arange(200, 230)
    stars = np.where(items % 2, 5.0, 1.0)
    error = [
        np.square(fold_in(model, "Ada", items[:n], stars[:n]).predict("Ada", items[:n]) - stars[:n]).mean()
        for n in (3, 30)
    ]
    average = np.square(model.predict("Ada", items) - stars).mean()
    assert max(error) < average


def test_another_method_learns_new_ratings_as_if_it_had_had_them():
    model = fit_method(RATINGS, "biases")
    items = RATINGS.item_ids[:4]
    folded = fold_in(model, "Ada", items, [5.0, 4.5, 4.0, 5.0])
    triples = [*zip(RATINGS.users.tolist(), RATINGS.items.tolist(), RATINGS.values.tolist(), strict=True)]
    added = [(RATINGS.n_users, item, stars) for item, stars in enumerate([5.0, 4.5, 4.0, 5.0])]
    whole = fit_method(make_ratings(triples + added), "biases")
    expected = whole.predict(100 + RATINGS.n_users, RATINGS.item_ids)
    np.testing.assert_allclose(folded.predict("Ada", RATINGS.item_ids), expected)
    assert model.ratings is RATINGS


def test_new_ratings_that_cannot_be_are_refused(refused):
    model = fitted()
    refused(lambda: fold_in(model, 100, 200, 7.0), "rating 7", "0.5 to 5")
    refused(lambda: fold_in(model, 100, 200, float("nan")), "rating nan")
    refused(lambda: fold_in(model, [100, 101], [200], [1.0, 2.0, 3.0]), "(2,)", "(3,)")
    refused(lambda: fold_in(model, [100, 100], [200, 200], [1.0, 2.0]), "twice")
    refused(lambda: fold_in(model, 1.5, 200, [1.0]), "float64")
    refused(lambda: fold_in(dataclasses.replace(model, status="diverged"), 100, 200, 1.0), "diverged")


def test_texts_that_are_no_numbers_join_ids_that_are():
    known = np.array([3, 5])
    assert folding._with_new(known, np.array(["5", "7"])).tolist() == [3, 5, 7]
    assert folding._with_new(known, np.array(["5", "x"])).tolist() == ["3", "5", "x"]
    assert folding._with_new(np.array(["a"], object), np.array(["b"])).tolist() == ["a", "b"]
