"""Predictors of our own, against means by hand, solved least squares and loops over single ratings."""

import dataclasses
import math
import re
import sys
from importlib import metadata

import numpy as np
import pytest
import torch
from conftest import make_ratings, random_ratings
from flexstudy import references
from flexstudy.references import BASELINES, published_figures, row_mean_rmse, score_baselines
from test_project import ROOT

from flexlib import centring
from flexlib.centring import SHRINKAGE
from flexlib.config import FlexConfig
from flexlib.data import Split, split_ratings
from flexlib.evaluation import errors, evaluate
from flexlib.methods import hybrids
from flexlib.methods.boltzmann import rbm
from flexlib.methods.factorization import als, mean_field
from flexlib.methods.factorization_machines import bayesian_svdpp, bpmf
from flexlib.methods.hybrids import bottlenecks, cofils, hidden_similarity
from flexlib.methods.means_and_biases import biases, item_mean, user_mean
from flexlib.methods.tuning import ALL
from flexlib.seeds import Purpose, numpy_generator
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
        monkeypatch.setattr(centring, "ROUNDS", sweeps)
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
    """A test rating whose user or item has no training rating is predicted by the mean of the one that has some."""
    ratings, rate = random_ratings(4, 20, 25), 0.5
    rows = score_baselines(ratings, rate, [3, 8])
    assert [(row["seed"], row["fitted_on"]) for row in rows[::3]] == [
        (3, "all ratings"),
        (3, "training ratings"),
        (8, "all ratings"),
        (8, "training ratings"),
    ]
    assert [row["predictor"] for row in rows] == ["item mean", "user mean", "user and item biases"] * 4
    n_unseen = 0
    for row in rows:
        split = fit(ratings, FlexConfig(epochs=0, hidden_layers=[2], test_split_rate=rate), seed=row["seed"]).split
        used = split.train if row["fitted_on"] == "training ratings" else range(len(ratings))
        squares = []
        for test in split.test:
            of_user, of_item = (
                [float(ratings.values[k]) for k in used if ids[k] == ids[test]]
                for ids in (ratings.users, ratings.items)
            )
            if not (of_user and of_item):
                n_unseen += 1
                predicted = np.mean(of_user or of_item or ratings.values[used])
            elif row["predictor"] == "user and item biases":
                predicted = solved_biases(ratings, np.array(used))[test]
            else:
                predicted = np.mean(of_item if row["predictor"] == "item mean" else of_user)
            squares.append((float(ratings.values[test]) - predicted) ** 2)
        assert row["rmse"] == pytest.approx(math.sqrt(sum(squares) / len(squares)), abs=1e-4)
    assert n_unseen > 0


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

    monkeypatch.setattr(references, "BASELINES", {"constant": spy})
    rows = score_baselines(ratings, 0.3, [4])
    split = split_ratings(ratings, 0.3, 4)
    assert [used.tolist() for used in seen] == [list(range(len(ratings))), split.train.tolist()]
    assert np.isin(ratings.items[split.test], ratings.items[split.train]).all()
    assert np.isin(ratings.users[split.test], ratings.users[split.train]).all()
    by_hand = math.sqrt(np.mean((ratings.values[split.test].astype(float) - 3) ** 2))
    assert [row["rmse"] for row in rows] == pytest.approx([by_hand] * 2)


@pytest.mark.parametrize("item_based", [False, True])
def test_the_row_means_are_what_a_centred_network_predicts_that_has_learned_nothing(item_based):
    ratings = random_ratings(6, 20, 25, share=0.1)
    config = FlexConfig(
        epochs=0, hidden_layers=[2], test_split_rate=0.2, pivot_indexes=[1, 0] if item_based else [0, 1]
    )
    model = fit(ratings, config, "holdout", seed=4, device="cpu")
    with torch.no_grad():
        for weights in model.network.parameters():
            weights.zero_()
    scores = evaluate(model)
    assert scores.n_unseen > 0  # whose fallback is part of what it predicts
    assert row_mean_rmse(ratings, item_based, 0.2, 4) == pytest.approx(scores.rmse)
    assert row_mean_rmse(ratings, item_based, 0.2) != row_mean_rmse(ratings, item_based, 0.2, 4)


def test_published_figures_name_their_split_source_and_what_was_chosen_on():
    figures = published_figures()
    assert not figures.duplicated(["method", "dataset", "split"]).any()
    assert set(figures["key"]) - {""} <= set(ALL)
    assert set(figures["epoch_chosen_on"]) == {"test", "validation", "nothing", "not said"}
    assert set(figures.loc[figures["epoch_chosen_on"] == "test", "method"]) == {"GLocal-K"}
    known = set(re.findall(r"@\w+\{([^,]+),", (ROOT / "references.bib").read_text(encoding="utf-8")))
    assert set(figures["source"]) <= known
    assert set(figures["dataset"] + " " + figures["split"]) == {
        "ml-1m 90/10",
        "ml-1m 5-fold",
        "ml-100k u1",
        "ml-100k u3",
        "ml-100k 5-fold",
    }
    assert figures["rmse"].between(0.8, 1).all()
    assert figures.notna().all(axis=None)


def test_figures_of_libraries_are_those_of_their_readmes():
    figures = published_figures()
    surprise = metadata.metadata("scikit-surprise")["Description"]
    heads = re.split(r"\| \[Movielens (100k|1M)\]", surprise)[1:]
    printed = {}
    for head, table in zip(heads[::2], heads[1::2], strict=True):
        for name, rmse in re.findall(r"^\| \[([^\]]+)\]\([^|]*\| +([\d.]+) +\|", table, re.M):
            printed[name.removesuffix(" (cache_ratings=True)"), f"ml-{head.lower()}"] = float(rmse)
    own = figures[figures["source"] == "hug2020surprise"]
    assert len(own) == 12
    for row in own.itertuples():
        assert row.rmse == printed[row.method, row.dataset]
    (myfm,) = figures.loc[figures["source"] == "ohtsuki2020myfm", "rmse"]
    assert (
        f"# with grouping\nfm = test_myfm(df_train, df_test, rank=8, grouping=True)\n# rmse={myfm}"
        in (metadata.metadata("myfm")["Description"])
    )


def unseen_split(ratings, seed=0):
    """A split whose test part holds all ratings of user 1 and of item 2, and a share of the others."""
    test = (ratings.users == 1) | (ratings.items == 2) | (np.random.default_rng(seed).random(len(ratings)) < 0.2)
    return Split(np.flatnonzero(~test), np.flatnonzero(test))


def planted(seed=0, users=150, items=100, noise=0.25):
    """Half stars of rank 2 around 3, half of all pairs: no bias of a user or an item tells them."""
    rng = np.random.default_rng(seed)
    scores = 3 + rng.normal(0, 0.9, (users, 2)) @ rng.normal(0, 0.9, (2, items))
    stars = np.clip(np.round(2 * (scores + rng.normal(0, noise, scores.shape))) / 2, 0.5, 5)
    return make_ratings([(u, i, stars[u, i]) for u in range(users) for i in range(items) if rng.random() < 0.5])


def rmse_of(predicted, ratings, split):
    return errors(ratings.values[split.test].astype(float), predicted)[0]


@pytest.mark.parametrize(
    ("predict", "below"),
    [(als, 0.55), (bpmf, 0.5), (bayesian_svdpp, 0.5), (mean_field, 0.5), (rbm, 0.75), (hidden_similarity, 0.75)],
)
def test_a_planted_structure_is_found_that_biases_miss(predict, below):
    ratings = planted()
    split = split_ratings(ratings, 0.2, 0)
    by_biases = rmse_of(biases(ratings, split.train)[split.test], ratings, split)
    assert rmse_of(predict(ratings, split), ratings, split) < below * by_biases


def residuals(ratings, split, centre):
    """Of the training ratings by (user, item): what is left of them, and the function that was taken off."""
    train = split.train.tolist()
    mean = sum(float(ratings.values[k]) for k in train) / len(train)
    off = biases(ratings, split.train, SHRINKAGE, SHRINKAGE) if centre == "biases" else np.full(len(ratings), mean)
    cells = {(int(ratings.users[k]), int(ratings.items[k])): float(ratings.values[k]) - off[k] for k in train}
    return cells, off[split.test]


def small_case(centre):
    # The mean of all is 3, which some ratings are: what is left of them is 0, and they count as ratings all the same.
    ratings = random_ratings(3, 9, 8)
    split = unseen_split(ratings)
    values = ratings.values.copy()
    values[split.train[::3]] = 3
    values[split.train[0]] += 3 * len(split.train) - values[split.train].sum()
    ratings = dataclasses.replace(ratings, values=values)
    cells, off = residuals(ratings, split, centre)
    assert centre == "biases" or sum(value == 0 for value in cells.values()) > 5
    return ratings, split, cells, off


def dots(left, right, ratings, split):
    return [left[ratings.users[k]] @ right[ratings.items[k]] for k in split.test]


@pytest.mark.parametrize("centre", ["mean", "biases"])
def test_als_solves_a_ridge_regression_for_each_user_and_item_in_turn(centre):
    ratings, split, cells, off = small_case(centre)
    start = numpy_generator(5, Purpose.FACTORS).normal(0, 0.1, (ratings.n_items, 3))
    of_user, of_item = {}, dict(enumerate(start))
    for _ in range(4):
        for own, other, axis, n in ((of_user, of_item, 0, ratings.n_users), (of_item, of_user, 1, ratings.n_items)):
            for k in range(n):
                rated = [(other[cell[1 - axis]], value) for cell, value in cells.items() if cell[axis] == k]
                own[k] = np.zeros(3)
                if rated:
                    # Ridge regression as least squares with a row for each term of the penalty
                    design = np.array([v for v, _ in rated] + list(np.sqrt(0.3 * len(rated)) * np.eye(3)))
                    own[k] = np.linalg.lstsq(design, np.array([value for _, value in rated] + [0] * 3))[0]
    predicted = als(ratings, split, seed=5, factors=3, regularization=0.3, sweeps=4, centre=centre)
    assert predicted == pytest.approx(off + dots(of_user, of_item, ratings, split), abs=1e-9)
    assert np.abs(predicted - off).max() > 0.1


@pytest.mark.parametrize("centre", ["mean", "biases"])
def test_mean_fields_updates_are_lim_and_tehs(centre):
    ratings, split, cells, off = small_case(centre)
    n, users, items = 2, range(ratings.n_users), range(ratings.n_items)
    v = numpy_generator(6, Purpose.FACTORS).normal(0, 0.1, (ratings.n_items, n))
    u, phi = np.zeros((len(users), n)), np.zeros((len(users), n, n))
    psi = np.array([np.eye(n) / n for _ in items])
    sigma2, rho2 = np.ones(n), np.full(n, 1 / n)
    tau2 = sum(m**2 for m in cells.values()) / len(cells)
    for _ in range(3):
        for i in users:
            rated = [(j, m) for (user, j), m in cells.items() if user == i]
            inverse = np.diag(1 / sigma2) + sum(((psi[j] + np.outer(v[j], v[j])) / tau2 for j, _ in rated), 0 * phi[0])
            phi[i] = np.linalg.inv(inverse)
            u[i] = phi[i] @ sum((m * v[j] / tau2 for j, m in rated), np.zeros(n))
        for j in items:
            raters = [(i, m) for (i, item), m in cells.items() if item == j]
            inverse = np.diag(1 / rho2) + sum(((phi[i] + np.outer(u[i], u[i])) / tau2 for i, _ in raters), 0 * phi[0])
            psi[j] = np.linalg.inv(inverse)
            v[j] = psi[j] @ sum((m * u[i] / tau2 for i, m in raters), np.zeros(n))
        sigma2 = np.array([sum(phi[i, f, f] + u[i, f] ** 2 for i in users) / (len(users) - 1) for f in range(n)])
        total = 0.0
        for (i, j), m in cells.items():
            both = (phi[i] + np.outer(u[i], u[i])) @ (psi[j] + np.outer(v[j], v[j]))
            total += m**2 - 2 * m * u[i] @ v[j] + np.trace(both)
        tau2 = total / (len(cells) - 1)
    predicted = mean_field(ratings, split, seed=6, factors=n, sweeps=3, centre=centre)
    assert predicted == pytest.approx(off + dots(u, v, ratings, split), abs=1e-9)


def chosen_by_taste(users=600):
    """Two camps of users, who rate the first 20 items at 2 or at 4; which of the other 60 they rate tells their camp.

    What they give these is about 3 in both camps.
    """
    rng = np.random.default_rng(0)
    triples = []
    for user in range(users):
        camp = user % 2
        disputed, telling = rng.choice(20, 3, replace=False), 20 + 30 * camp + rng.choice(30, 6, replace=False)
        for item in (*disputed, *telling):
            score = 3 + rng.normal(0, 0.5) + (2 * camp - 1 if item < 20 else 0)
            triples.append((user, int(item), float(np.clip(np.round(2 * score) / 2, 0.5, 5))))
    return make_ratings(triples)


def test_who_rated_what_tells_the_taste_that_few_ratings_do_not():
    ratings = chosen_by_taste()
    split = split_ratings(ratings, 0.3, 0)
    with_sets, without = (rmse_of(predict(ratings, split, 0, 2), ratings, split) for predict in (bayesian_svdpp, bpmf))
    by_biases = rmse_of(biases(ratings, split.train)[split.test], ratings, split)
    assert with_sets < 0.95 * without
    assert without < 0.85 * by_biases


def naive_rbm(ratings, split, seed, hidden, epochs, rate, decay, batch):
    """The same machine, rating by rating, with the same random numbers."""
    n_levels = 10
    rng, train = numpy_generator(seed, Purpose.BOLTZMANN_MACHINE), split.train.tolist()
    seen = {u: {} for u in range(ratings.n_users)}
    for k in train:
        seen[int(ratings.users[k])][int(ratings.items[k])] = round(float(ratings.values[k]) * 2) - 1
    levels = [level for rated in seen.values() for level in rated.values()]
    shares = np.array([levels.count(level) / len(levels) + 1e-3 for level in range(n_levels)])
    visible = np.zeros((ratings.n_items, n_levels))
    for item in range(ratings.n_items):
        counts = shares + np.array([sum(rated.get(item) == level for rated in seen.values()) for level in range(10)])
        visible[item] = np.log(counts / counts.sum())
    weights = rng.normal(0, 0.01, (ratings.n_items * n_levels, hidden)).reshape(ratings.n_items, n_levels, hidden)
    offsets = np.zeros(hidden)

    def up_from(rated):
        return 1 / (1 + np.exp(-offsets - sum((weights[i, level] for i, level in rated.items()), np.zeros(hidden))))

    for epoch in range(epochs):
        now = rate * (1 - epoch / epochs)
        batches = np.array_split(rng.permutation(ratings.n_users), ratings.n_users // batch)
        for rows in batches:
            ups = [up_from(seen[u]) for u in rows.tolist()]
            states = rng.random((len(rows), hidden), np.float32) < np.array(ups)
            gumbels = iter(rng.gumbel(size=(sum(len(seen[u]) for u in rows.tolist()), n_levels)))
            moves = np.zeros_like(weights), np.zeros_like(visible), np.zeros_like(offsets)
            for u, up, state in zip(rows.tolist(), ups, states, strict=True):
                drawn = {i: np.argmax(visible[i] + weights[i] @ state + next(gumbels)) for i in sorted(seen[u])}
                again = up_from(drawn)
                for rated, h, sign in ((seen[u], up, 1), (drawn, again, -1)):
                    for i, level in rated.items():
                        moves[0][i, level] += sign * h
                        moves[1][i, level] += sign
                    moves[2][:] += sign * h
            for part, move in zip((weights, visible, offsets), moves, strict=True):
                part += now * move / len(rows)
        weights *= (1 - now * decay) ** len(batches)
    predicted = []
    for k in split.test.tolist():
        item = ratings.items[k]
        chances = np.exp(visible[item] + weights[item] @ up_from(seen[int(ratings.users[k])]))
        predicted.append(sum(p * (level + 1) / 2 for level, p in enumerate(chances / chances.sum())))
    return predicted


def test_the_boltzmann_machine_is_that_of_loops_over_single_ratings():
    ratings = random_ratings(8, 12, 10)
    ratings = make_ratings(sorted(zip(ratings.users, ratings.items, ratings.values, strict=True)))
    split = unseen_split(ratings)
    expected = naive_rbm(ratings, split, 4, 6, 5, 0.8, 0.05, 5)
    predicted = rbm(ratings, split, 4, hidden=6, epochs=5, learning_rate=0.8, weight_decay=0.05, batch=5)
    assert predicted == pytest.approx(expected, abs=1e-4)
    assert np.abs(rbm(ratings, split, 4, hidden=6, epochs=0) - predicted).max() > 0.1


@pytest.mark.parametrize("item_based", [False, True])
def test_bottlenecks_are_the_encoders_outputs_from_the_training_ratings(item_based):
    ratings = random_ratings(2, 12, 10)
    pivot = [1, 0] if item_based else [0, 1]
    config = FlexConfig(hidden_layers=[5, 3], activation="tanh", epochs=2, centring="biases", pivot_indexes=pivot)
    model = fit(ratings, config, seed=1, split=unseen_split(ratings), device="cpu")
    found = bottlenecks(model)
    n_rows, n_columns = model.shape
    assert found.shape == (n_rows, 3)
    for row in range(n_rows):
        inner = np.zeros(n_columns)
        for k in model.split.train.tolist():
            if model.rows[k] == row:
                inner[model.columns[k]] = (
                    ratings.values[k] - model.row_means[row] - model.column_offsets[model.columns[k]]
                )
        for weight, bias in zip(model.network.encoder_weights, model.network.encoder_biases, strict=True):
            inner = np.tanh(inner @ weight.detach().numpy() + bias.detach().numpy())
        assert found[row] == pytest.approx(inner, abs=1e-5)


@pytest.mark.parametrize("pivot", ["items", "users"])
def test_neighbours_in_the_bottlenecks_space_are_those_of_a_loop(monkeypatch, pivot):
    ratings = random_ratings(9, 14, 12)
    split, asked = unseen_split(ratings), []
    rows, columns = (ratings.items, ratings.users) if pivot == "items" else (ratings.users, ratings.items)
    vectors = np.random.default_rng(0).normal(size=(rows.max() + 1, 4))

    def encoded(ratings, split, seed, pivot, **settings):
        asked.append((pivot, settings["hidden_layers"]))
        return vectors.copy()

    monkeypatch.setattr(hybrids, "_encoded", encoded)
    monkeypatch.setattr(hybrids, "PAIRS_PER_BLOCK", 40)
    predicted = hidden_similarity(ratings, split, factors=4, neighbours=2, shrinkage=0.7, pivot=pivot)
    assert asked == [((1, 0) if pivot == "items" else (0, 1), [8, 4])]
    off, expected = biases(ratings, split.train, SHRINKAGE, SHRINKAGE), []
    for test in split.test.tolist():
        alike = []
        for k in split.train.tolist():
            if columns[k] == columns[test]:
                one, other = vectors[rows[test]], vectors[rows[k]]
                cosine = one @ other / math.sqrt((one @ one) * (other @ other))
                alike.append((cosine, float(ratings.values[k]) - off[k]))
        nearest = [(max(cosine, 0), left) for cosine, left in sorted(alike, reverse=True)[:2]]
        above = sum(weight * left for weight, left in nearest) / (sum(weight for weight, _ in nearest) + 0.7)
        expected.append(off[test] + above)
    assert predicted == pytest.approx(expected, abs=1e-6)
    assert (np.abs(predicted - off[split.test]) > 0.05).mean() > 0.3


def test_cofils_forest_learns_from_the_users_and_the_items_vector(monkeypatch):
    rng = np.random.default_rng(0)
    of = {(0, 1): rng.normal(size=(60, 1)), (1, 0): rng.normal(size=(50, 1))}
    high = (of[0, 1] > 0) ^ (of[1, 0].T > 0)  # neither vector alone tells
    ratings = make_ratings([(u, i, 4.0 if high[u, i] else 2.0) for u in range(60) for i in range(50)])
    split = split_ratings(ratings, 0.3, 0)
    monkeypatch.setattr(hybrids, "_encoded", lambda ratings, split, seed, pivot, **settings: of[pivot])
    assert rmse_of(cofils(ratings, split), ratings, split) < 0.4
    of[1, 0][:] = 0
    assert rmse_of(cofils(ratings, split), ratings, split) > 0.9


def test_without_scikit_learn_cofils_says_what_to_install(monkeypatch, refused):
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    ratings = random_ratings(1)
    refused(lambda: cofils(ratings, split_ratings(ratings)), "cofils", "sklearn", "pip install 'flexlib[methods]'")
