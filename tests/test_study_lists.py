"""Recommended lists against slow ones: sorted by Python, measured by loops, and those that `recommend` gives."""

import dataclasses
import itertools
import json
import math

import numpy as np
import pytest
import torch
from conftest import make_ratings
from flexstudy.lists import (
    list_measures,
    measure_course,
    measure_lists,
    predict_all,
    shown_users,
    tied_lists,
    top_lists,
)
from flexstudy.one_run import learning_curve
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from flexlib.config import FlexConfig, FlexError
from flexlib.datasets.loading import load_ratings
from flexlib.evaluation import evaluate
from flexlib.serving.recommending import recommend
from flexlib.train import fit

SMALL = load_ratings("synthetic:users=60,items=90,ratings=1500,seed=1")
ROWS = {"user-based": {}, "item-based": {"pivot_indexes": [1, 0]}}
# Large steps, so that some predictions leave the scale.
CONFIG = {"hidden_layers": [16], "learning_rate": 0.02, "epochs": 10, "dense_refeeding": 0}
AT_RANDOM, TO_THE_MORE_RATED = "rounded, ties at random", "rounded, ties to the more rated"
UNROUNDED_AT_RANDOM, UNROUNDED_TO_THE_MORE_RATED = "unrounded, ties at random", "unrounded, ties to the more rated"


def fitted(rows="user-based", protocol="holdout", seed=0, ratings=SMALL, **changes):
    return fit(ratings, FlexConfig.from_dict(CONFIG | ROWS[rows] | changes), protocol, seed, device="cpu")


def constant(model, output=0.0):
    """The model with a network whose every output is the same."""
    with torch.no_grad():
        for weights in model.network.parameters():
            weights.zero_()
        model.network.decoder_biases[-1].fill_(output)
    return model


def training_counts(model):
    items = model.ratings.items[model.split.train].tolist()
    return [items.count(item) for item in range(model.ratings.n_items)]


def recommendable(model):
    """(user, item) of every item seen in training that the user has not rated anywhere, by a plain loop."""
    rated = set(zip(model.ratings.users.tolist(), model.ratings.items.tolist(), strict=True))
    items = [item for item, count in enumerate(training_counts(model)) if count]
    return [pair for pair in itertools.product(range(model.ratings.n_users), items) if pair not in rated]


def slow_measures(lists, shown, scale, genres, counts, n_users):
    """`list_measures` by loops. lists: of each user, without padding. shown: (users, items)."""
    entries = [(user, item) for user, own in enumerate(lists) for item in own]
    times = [sum(item in own for own in lists) for item, count in enumerate(counts) if count]
    gaps = sum(abs(one - other) for one in times for other in times)
    distances = []
    for own in lists:
        pairs = itertools.combinations([set(genres[item].split("|")) for item in own], 2)
        of_user = [1 - len(one & other) / len(one | other) for one, other in pairs]
        distances += [sum(of_user) / len(of_user)] if of_user else []
    return {
        "five_stars": sum(shown[entry] >= scale[1] for entry in entries) / len(entries),
        "coverage": sum(count > 0 for count in times) / len(times),
        "gini": gaps / (2 * len(times) * sum(times)),  # the mean difference, by twice the mean
        "entropy": stats.entropy(times, base=2),
        "distance": sum(distances) / len(distances) if distances else None,
        "novelty": sum(math.log2(n_users / counts[item]) for _, item in entries) / len(entries),
    }


@st.composite
def tables(draw):
    """Scores, allowed, ties and k, with few values, so that both scores and ties are often equal."""
    n_users, n_items = draw(st.integers(1, 4)), draw(st.integers(1, 8))

    def table(*values):
        row = st.lists(st.sampled_from(values), min_size=n_items, max_size=n_items)
        return np.array(draw(st.lists(row, min_size=n_users, max_size=n_users)))

    return table(-math.inf, -2.5, 3.0, 3.5, 5.0), table(True, True, False), table(0, 1, 7), draw(st.integers(1, 10))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(tables())
def test_top_lists_are_those_that_sorting_gives(case):
    scores, allowed, ties, k = case
    for user, found in enumerate(top_lists(scores, allowed, ties, k).tolist()):
        items = [item for item in range(scores.shape[1]) if allowed[user, item]]
        best = sorted(items, key=lambda item: (-scores[user, item], -ties[user, item], item))[:k]
        assert found == best + [-1] * (k - len(best))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(tables())
def test_tied_lists_are_those_that_sorting_finds(case):
    scores, allowed, _, k = case
    scores = np.where(np.isfinite(scores), scores, -9.0)
    for user, (ends, whole) in enumerate(zip(*tied_lists(scores, allowed, k), strict=True)):
        own = sorted(scores[user, allowed[user]], reverse=True)
        assert ends == (len(own) > k and own[k - 1] == own[k])
        assert whole == (len(own) >= k and len(set(own[:k])) == 1)


def test_top_lists_of_many_items():
    rng = np.random.default_rng(2)
    for scores in (rng.random((4, 3000)), rng.integers(0, 40, (4, 3000)) / 2):
        allowed, ties = rng.random(scores.shape) < 0.7, rng.permuted(np.tile(np.arange(3000), (4, 1)), axis=1)
        for user, found in enumerate(top_lists(scores, allowed, ties, 25).tolist()):
            items = sorted(np.flatnonzero(allowed[user]), key=lambda item: (-scores[user, item], -ties[user, item]))
            assert found == items[:25]


# Eight users and five items, the last of which has no training rating and so is not in the catalogue. Three users have
# a list; item 0 is on all of them, item 3 on none.
GENRES = ["Drama|War", "War", "Drama|War|Crime", "Musical", "Drama|War"]
COUNTS = np.array([4, 2, 1, 8, 0])
LISTS = np.array([[0, 1], [0, 2], [0, -1], *[[-1, -1]] * 5])
SHOWN = np.full((8, 5), 9.0)
SHOWN[[0, 0, 1, 1, 2], [0, 1, 0, 2, 0]] = 5.0, 4.9, 5.2, 4.5, 5.0


def with_genres(genres, n_users=8, scale=(0.5, 5.0, 0.5)):
    n_items = 5 if genres is None else len(genres)
    ratings = make_ratings([(0, 0, 4.0)], n_users, n_items, scale)
    return dataclasses.replace(ratings, genres=None if genres is None else np.array(genres, object))


@pytest.mark.parametrize(
    ("measure", "by_hand"),
    [
        ("five_stars", 3 / 5),  # 5.0, 5.2 and 5.0 of five entries; what is not listed is 9 and does not count
        ("coverage", 3 / 4),
        ("gini", 18 / (2 * 4 * 5)),  # listed 0, 1, 1, 3 times: the six pairs differ by 1 + 1 + 3 + 0 + 2 + 2, both ways
        ("entropy", -(0.6 * math.log2(0.6) + 0.4 * math.log2(0.2))),
        ("distance", ((1 - 1 / 2) + (1 - 2 / 3)) / 2),  # the third user's list has no pair
        ("novelty", (1 + 2 + 1 + 3 + 1) / 5),  # rated by 4, 2 and 1 of 8 users: 1, 2 and 3 bits
    ],
)
def test_each_measure_by_hand(measure, by_hand):
    assert list_measures(LISTS, SHOWN, with_genres(GENRES), COUNTS)[measure] == pytest.approx(by_hand, rel=1e-12)


def test_lists_that_are_all_alike_or_share_nothing():
    ratings, counts, shown = with_genres(["Drama", "War", "Crime", "Musical"], 4), np.ones(4, int), np.ones((4, 4))
    alike = list_measures(np.full((4, 1), 2), shown, ratings, counts)
    assert (alike["coverage"], alike["gini"], alike["entropy"]) == (0.25, 0.75, 0)  # Gini at most (n - 1) / n
    assert alike["distance"] is None  # lists of one item have no pairs
    apart = list_measures(np.arange(4)[:, None], shown, ratings, counts)
    assert (apart["coverage"], apart["gini"], apart["entropy"]) == (1, 0, 2)
    whole = list_measures(np.tile(np.arange(4), (4, 1)), shown, ratings, counts)
    assert (whole["distance"], whole["gini"], whole["novelty"]) == (1, 0, 2)


def test_items_without_genres_are_like_each_other_and_unlike_all_others():
    ratings, lists = with_genres(["", "", "Drama", "Drama|War", "War"]), np.array([[0, 1], [1, 2]])
    assert list_measures(lists[:1], SHOWN, ratings, COUNTS)["distance"] == 0
    assert list_measures(lists[1:], SHOWN, ratings, COUNTS)["distance"] == 1


def test_the_top_of_the_scale_is_the_datas_own():
    ratings = with_genres(GENRES, scale=(1.0, 4.5, 0.5))
    assert list_measures(LISTS, SHOWN, ratings, COUNTS)["five_stars"] == 1


@settings(max_examples=100, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), n_users=st.integers(1, 6), n_items=st.integers(2, 9), k=st.integers(1, 5))
def test_measures_are_those_that_loops_find(seed, n_users, n_items, k):
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, n_users + 1, n_items)
    counts[0] = 1
    genres = ["|".join(rng.permutation(["A", "B", "C", "D"])[: rng.integers(1, 5)]) for _ in range(n_items)]
    lists = [rng.permutation(np.flatnonzero(counts))[: rng.integers(0, k + 1)].tolist() for _ in range(n_users)]
    lists[0] = lists[0] or [0]
    padded = np.array([own + [-1] * (k - len(own)) for own in lists])
    shown = rng.integers(8, 12, (n_users, n_items)) / 2
    ratings = with_genres(genres, n_users)
    slow = slow_measures(lists, shown, ratings.scale, genres, counts.tolist(), n_users)
    assert list_measures(padded, shown, ratings, counts) == pytest.approx(slow, abs=1e-12)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("changes", [{}, {"centring": "biases"}, {"mean_normalization": False}], ids=str)
def test_the_predictions_of_all_pairs_are_those_of_the_test_pairs(rows, changes):
    model = fitted(rows, **changes)
    everything, table = predict_all(model), evaluate(model).predictions
    assert everything.shape == (60, 90)
    seen = table[~table["unseen"]]
    assert len(seen) > 400
    assert everything[seen["user"], seen["item"]] == pytest.approx(seen["predicted"].to_numpy(), abs=1e-5)


@pytest.mark.parametrize("rows", ROWS)
def test_all_pairs_are_predicted_from_training_ratings_whatever_the_protocol_shows(rows):
    model = fitted(rows, "released", prediction_rounding=True)
    everything = predict_all(model)
    plain = dataclasses.replace(
        model,
        protocol=model.protocol.replace(test_input="training"),
        config=model.config.replace(prediction_rounding=False),
    )
    table = evaluate(plain).predictions
    assert everything[table["user"], table["item"]] == pytest.approx(table["predicted"].to_numpy(), abs=1e-5)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("protocol", ["holdout", "released"])
@pytest.mark.parametrize("stretch", [1, 30], ids=["trained", "stretched far over the scale's ends"])
def test_rounding_only_makes_ties(rows, protocol, stretch):
    """It never turns two predictions round, so that ties broken by what they were give the same lists again."""
    model = fitted(rows, protocol)
    with torch.no_grad():
        for weights in model.network.parameters():
            weights.mul_(stretch)
    measured = measure_lists(model)
    assert measured["same_lists"] == 1
    assert measured["five_stars"]["rounded"] >= measured["five_stars"]["unrounded"] > 0


def test_predictions_that_tie_before_rounding_stay_in_their_order():
    model = constant(fitted())
    assert measure_lists(model)["same_lists"] == 1
    assert measure_lists(model, k=90)["same_lists"] == 1


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("protocol", ["holdout", "released"])
def test_errors_are_those_of_the_model_with_and_without_prediction_rounding(rows, protocol):
    model = fitted(rows, protocol)
    off, on = (evaluate(fitted(rows, protocol, prediction_rounding=rounding)) for rounding in (False, True))
    table = off.predictions
    into_scale = [min(max(value, 0.5), 5.0) for value in table["predicted"]]
    clipped = math.sqrt(sum((a - b) ** 2 for a, b in zip(table["actual"], into_scale, strict=True)) / len(table))
    measured = measure_lists(model)["rmse"]
    assert measured == {"unrounded": off.rmse, "clipped": pytest.approx(clipped, rel=1e-9), "rounded": on.rmse}
    assert len(set(measured.values())) == 3  # else the test would show little


def test_errors_are_of_the_ratings_that_the_protocol_scores():
    model = fitted(protocol="described")
    scores = evaluate(model)
    assert scores.n_scored < len(scores.predictions)
    assert measure_lists(model)["rmse"]["unrounded"] == scores.rmse


@pytest.mark.parametrize("rows", ROWS)
def test_a_models_own_prediction_rounding_does_not_matter(rows):
    assert measure_lists(fitted(rows, prediction_rounding=True)) == measure_lists(fitted(rows))


@pytest.mark.parametrize("rows", ROWS)
def test_five_star_shares_are_of_the_items_that_may_be_recommended(rows):
    model = fitted(rows)
    everything, pairs = predict_all(model), recommendable(model)
    assert min(training_counts(model)) == 0  # else it could not show that such items do not count
    values = [everything[pair] for pair in pairs]
    share = measure_lists(model)["five_stars"]
    assert share["unrounded"] == sum(value >= 5 for value in values) / len(pairs)
    assert share["rounded"] == sum(value >= 4.75 for value in values) / len(pairs)  # 4.75 goes to the even step, 5
    assert share["rounded"] > share["unrounded"] > 0


@pytest.mark.parametrize(("protocol", "lowest"), [("holdout", 4.5), ("released", 4.75)])
def test_predictions_are_rounded_as_the_protocol_says(protocol, lowest):
    """On a scale of whole stars: holdout rounds to whole ones, the released code to half ones even there."""
    model = fitted(protocol=protocol, ratings=dataclasses.replace(SMALL, scale=(1.0, 5.0, 1.0)))
    everything, pairs = predict_all(model), recommendable(model)
    share = measure_lists(model)["five_stars"]["rounded"]
    assert share == sum(everything[pair] >= lowest for pair in pairs) / len(pairs)
    assert any(4.5 <= everything[pair] < 4.75 for pair in pairs)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize(("rounding", "kind"), [(False, UNROUNDED_TO_THE_MORE_RATED), (True, TO_THE_MORE_RATED)])
def test_lists_are_those_that_recommend_gives(rows, rounding, kind):
    model = fitted(rows, prediction_rounding=rounding)
    lists, shown = [], {}
    for user in range(60):
        table = recommend(model, SMALL.user_ids[user], 7)
        lists.append([SMALL.item_ids.tolist().index(item) for item in table["item"]])
        shown |= {(user, item): value for item, value in zip(lists[-1], table["predicted"], strict=True)}
    slow = slow_measures(lists, shown, SMALL.scale, SMALL.genres, training_counts(model), 60)
    assert measure_lists(model, k=7)["lists"][kind] == pytest.approx(slow)
    kinds = [UNROUNDED_AT_RANDOM, UNROUNDED_TO_THE_MORE_RATED, AT_RANDOM, TO_THE_MORE_RATED]
    assert list(measure_lists(model)["lists"]) == kinds


def test_ties_at_random_favour_no_item():
    """Where all predictions tie the rule alone makes the list: here they are like lists drawn from a hat."""
    model = constant(fitted(), 9.0)  # 9 stars or more over each user's mean: all are 5 once rounded
    lists = measure_lists(model)["lists"]
    by_chance, popular = lists[AT_RANDOM], lists[TO_THE_MORE_RATED]
    assert popular == lists[UNROUNDED_TO_THE_MORE_RATED]
    of_user = [[item for user, item in recommendable(model) if user == own] for own in range(60)]
    rng, counts = np.random.default_rng(3), training_counts(model)
    hats = [[rng.choice(items, 10, replace=False).tolist() for items in of_user] for _ in range(40)]
    drawn = [slow_measures(hat, np.full((60, 90), 5.0), SMALL.scale, SMALL.genres, counts, 60) for hat in hats]
    for measure, value in by_chance.items():
        values = [one[measure] for one in drawn]
        assert value == pytest.approx(np.mean(values), abs=4 * np.std(values)), measure
    assert popular["gini"] > 2 * by_chance["gini"]
    assert measure_lists(model)["lists"] == lists
    assert measure_lists(dataclasses.replace(model, seed=99))["lists"][AT_RANDOM] != by_chance


def test_unrounded_predictions_that_tie_are_broken_by_both_rules_too():
    """Where all are one number before rounding as after it, rounding changes nothing under either rule."""
    measured = measure_lists(constant(fitted(mean_normalization=False), 4.0))
    lists = measured["lists"]
    assert lists[UNROUNDED_AT_RANDOM] == lists[AT_RANDOM]
    assert lists[UNROUNDED_TO_THE_MORE_RATED] == lists[TO_THE_MORE_RATED]
    assert lists[UNROUNDED_AT_RANDOM]["coverage"] > 1.5 * lists[UNROUNDED_TO_THE_MORE_RATED]["coverage"]
    assert measured["ties"] == measured["one_value"] == {"unrounded": 1, "rounded": 1}


def test_without_ties_both_rules_give_the_same_lists():
    model = fitted()
    everything, pairs = predict_all(model), recommendable(model)
    assert len({everything[pair] for pair in pairs}) > 0.99 * len(pairs)
    measured = measure_lists(model)
    assert measured["ties"]["unrounded"] == measured["one_value"]["unrounded"] == 0
    assert measured["lists"][UNROUNDED_AT_RANDOM] == measured["lists"][UNROUNDED_TO_THE_MORE_RATED]
    assert measured["lists"][AT_RANDOM] != measured["lists"][TO_THE_MORE_RATED]


@pytest.mark.parametrize("rows", ROWS)
def test_lists_that_ties_decide_are_counted_by_a_loop(rows):
    model = fitted(rows)
    everything, pairs, measured = predict_all(model), recommendable(model), measure_lists(model)
    of_user = [[everything[pair] for pair in pairs if pair[0] == user] for user in range(60)]
    near = [[min(max(round(2 * value) / 2, 0.5), 5.0) for value in own] for own in of_user]
    for kind, table in (("unrounded", of_user), ("rounded", near)):
        best = [sorted(own, reverse=True) for own in table]
        assert measured["ties"][kind] == sum(own[9] == own[10] for own in best) / 60
        assert measured["one_value"][kind] == sum(own[0] == own[9] for own in best) / 60
    assert measured["ties"]["rounded"] > 0.5


@pytest.mark.parametrize("rows", ROWS)
def test_which_five_stars_are_listed_does_not_depend_on_how_ties_are_broken(rows):
    lists = measure_lists(fitted(rows))["lists"]
    unrounded = lists[UNROUNDED_TO_THE_MORE_RATED]["five_stars"]
    assert unrounded == lists[UNROUNDED_AT_RANDOM]["five_stars"]
    assert lists[AT_RANDOM]["five_stars"] == lists[TO_THE_MORE_RATED]["five_stars"] > unrounded > 0
    assert lists[AT_RANDOM]["novelty"] > lists[TO_THE_MORE_RATED]["novelty"]


def test_without_genres_only_the_distance_is_unknown():
    model = fitted()
    bare = dataclasses.replace(model, ratings=dataclasses.replace(SMALL, genres=None))
    for kind, known in measure_lists(model)["lists"].items():
        unknown = measure_lists(bare)["lists"][kind]
        assert unknown.pop("distance") is None
        assert known.pop("distance") > 0
        assert unknown == known


@pytest.mark.parametrize("rows", ROWS)
def test_a_user_who_rated_everything_has_an_empty_list(rows, refused):
    rng = np.random.default_rng(5)
    triples = [
        (user, item, rng.integers(6, 11) / 2)
        for user in range(8)
        for item in range(9)
        if user == 3 or rng.random() < 0.5
    ]
    genres = np.array(["A", "B", "A|B"] * 3, object)
    ratings = dataclasses.replace(make_ratings(triples), genres=genres)
    model = fitted(rows, ratings=ratings)
    assert refused(lambda: recommend(model, 103), "every item")
    lists, shown = [], {}
    for user in range(8):
        try:
            table = recommend(model, 100 + user, 4)
        except FlexError:
            lists.append([])
            continue
        lists.append((table["item"] - 200).tolist())
        shown |= {(user, item): value for item, value in zip(lists[-1], table["predicted"], strict=True)}
    slow = slow_measures(lists, shown, ratings.scale, genres, training_counts(model), 8)
    measured = measure_lists(model, k=4)
    assert measured["lists"][UNROUNDED_TO_THE_MORE_RATED] == pytest.approx(slow)
    assert measured["same_lists"] == 1


def test_predictions_that_are_not_finite_are_never_listed():
    model = fitted()
    model.row_means[3] = np.nan
    measures = measure_lists(model)
    assert measures["same_lists"] == 1
    assert all(0 <= of["five_stars"] <= 1 for of in measures["lists"].values())


def test_where_there_is_nothing_to_recommend_there_is_nothing_to_measure():
    model = fitted()
    model.row_means[:] = np.nan
    measures = measure_lists(model)
    assert measures["five_stars"] == {"unrounded": None, "rounded": None}
    assert measures["lists"][UNROUNDED_AT_RANDOM]["novelty"] is None
    assert json.loads(json.dumps(measures, allow_nan=False)) == measures


def course_of(rows="user-based", protocol="holdout", ratings=SMALL, **changes):
    """A run and what is measured of it, with the test RMSE watched as a plan does."""
    test, config = [], FlexConfig.from_dict(CONFIG | ROWS[rows] | changes)
    model = fit(ratings, config, protocol, 0, device="cpu", on_epoch=lambda m: test.append(evaluate(m).rmse))
    return model, measure_course(model, test)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("protocol", ["released", "described", "holdout"])
def test_a_course_has_the_curves_of_the_run(rows, protocol):
    model, course = course_of(rows, protocol)
    curve = learning_curve(SMALL, model.config, protocol, 0, device="cpu")
    assert course["training"] == curve["training"].tolist()
    assert course["test"] == curve["test"].tolist()
    assert course["rmse"] == measure_lists(model)["rmse"]
    assert course["rmse"]["unrounded"] == course["test"][-1]
    assert json.loads(json.dumps(course, allow_nan=False)) == course


def counted(values, low, high):
    """How many values are nearest to each quarter star of a scale, half-way goes up; what is outside counts at its
    ends."""
    counts = [0] * round((high - low) / 0.25 + 1)
    for value in values:
        place = math.floor((value - low) / 0.25 + 0.5)
        counts[min(max(place, 0), len(counts) - 1)] += 1
    return counts


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("protocol", ["released", "described", "holdout"])
@pytest.mark.parametrize("stretch", [1, 5], ids=["trained", "stretched over both of the scale's ends"])
def test_a_courses_histogram_counts_the_scored_test_ratings(rows, protocol, stretch):
    model = fitted(rows, protocol, output_activation=False)
    with torch.no_grad():
        for weights in model.network.parameters():
            weights.mul_(stretch)
    course = measure_course(model, [])
    assert course["edges"] == pytest.approx([0.375 + 0.25 * k for k in range(20)])
    tables = {"unrounded": evaluate(model).predictions}
    rounded = dataclasses.replace(model, config=model.config.replace(prediction_rounding=True))
    tables["rounded"] = evaluate(rounded).predictions
    for kind, table in tables.items():
        scored = [row for row in table.to_dict("records") if row["scored"]]
        values = [float(row["predicted"]) for row in scored]
        assert course["histogram"][kind] == counted(values, 0.5, 5.0)
        assert course["histogram"]["actual"] == counted([row["actual"] for row in scored], 0.5, 5.0)
        if kind == "unrounded" and stretch > 1:  # else it could not show that what is outside counts
            assert min(values) < 0.375
            assert max(values) > 5.125
        assert sum(course["histogram"][kind]) == len(scored) == evaluate(model).n_scored


def test_a_histogram_covers_the_datas_own_scale():
    course = measure_course(fitted(ratings=dataclasses.replace(SMALL, scale=(1.0, 4.0, 1.0))), [])
    assert (course["edges"][0], course["edges"][-1], len(course["edges"])) == (0.875, 4.125, 14)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("rounding", [False, True])
def test_a_courses_lists_are_those_that_recommend_gives_without_rounding(rows, rounding):
    model, course = course_of(rows, prediction_rounding=rounding)
    plain = fitted(rows)
    assert list(course["lists"]) == [str(user) for user in shown_users(SMALL)]
    for user, own in course["lists"].items():
        table = recommend(plain, user, 10)
        expected = [[row.item, row.title, pytest.approx(row.predicted, abs=5.1e-4)] for row in table.itertuples()]
        assert own == expected
    assert measure_course(dataclasses.replace(model, ratings=dataclasses.replace(SMALL, titles=None)), [])["lists"] == {
        user: [[item, "", stars] for item, _, stars in own] for user, own in course["lists"].items()
    }


def test_a_user_without_a_list_is_told_why():
    rng = np.random.default_rng(5)
    triples = [
        (user, item, rng.integers(6, 11) / 2)
        for user in range(8)
        for item in range(9)
        if user == 3 or rng.random() < 0.5
    ]
    _, course = course_of(ratings=make_ratings(triples))
    assert course["lists"]["103"] == [["user '103' has rated every item that the model knows", "", None]]
    others = [own for user, own in course["lists"].items() if user != "103"]
    assert len(others) == 5
    assert all(stars > 0 for own in others for _, _, stars in own)


def test_shown_users_go_from_the_fewest_ratings_to_the_most():
    counts = {0: 5, 1: 1, 2: 9, 3: 1, 4: 7, 5: 2, 6: 3, 7: 8, 8: 4, 9: 6, 10: 10}
    triples = [(user, item, 3.0) for user, count in counts.items() for item in range(count)]
    ratings = make_ratings(triples)
    # Ranks 0, 2, 4, 6, 8 and 10 of 11 users; of the two with one rating, the lower id comes first.
    assert shown_users(ratings).tolist() == [101, 105, 108, 109, 107, 110]
    assert shown_users(ratings, 2).tolist() == [101, 110]
    few = make_ratings([(0, 0, 3.0), (0, 1, 2.0), (1, 0, 4.0)])
    assert set(shown_users(few).tolist()) == {100, 101}
