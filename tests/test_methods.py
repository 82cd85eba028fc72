"""The registry of methods: what each may look at and must be able to predict, and libraries by their own way in."""

import dataclasses
import inspect
import re
import subprocess
import sys
from importlib import metadata

import numpy as np
import optuna
import pandas as pd
import pytest
from conftest import make_ratings, random_ratings
from flexstudy.paper import TABLE_3_RMSE
from test_project import ROOT

from flexlib.data import Split, split_ratings
from flexlib.datasets.loading import load_ratings
from flexlib.evaluation import errors
from flexlib.methods.extras import with_version
from flexlib.methods.registry import METHODS
from flexlib.serving.methods import fit_method

SYNTHETIC = load_ratings("synthetic:users=200,items=150,ratings=8000,seed=1")
MACHINES = ("bpmf", "bayesian_svdpp")
DRAWS = {*MACHINES, "rbm", "cofils", "mean_field", "als", "hidden_similarity", "nmf", "svdpp", "improved_svd"}


def some_settings(key, seed=0):
    """A random point of the method's space."""
    return METHODS[key].space(optuna.create_study(sampler=optuna.samplers.RandomSampler(seed)).ask())


def split_with_unseen():
    """31 users and 41 items in two camps, of which user 1, item 4 and a pair of both have no training rating."""
    ratings = random_ratings(0, 30, 40)
    alike = (ratings.users + ratings.items) % 2 == 0
    ratings = dataclasses.replace(ratings, values=np.clip((ratings.values / 3 + 3 * alike).round(), 1, 4.5))
    test = (ratings.users == 1) | (ratings.items == 4) | (np.random.default_rng(1).random(len(ratings)) < 0.2)
    assert ((ratings.users == 1) & (ratings.items == 4)).any()
    return ratings, Split(np.flatnonzero(~test), np.flatnonzero(test))


@pytest.mark.parametrize("key", METHODS)
def test_values_of_the_test_ratings_are_never_read(key):
    ratings, split = split_with_unseen()
    settings, predicted = some_settings(key), []
    rng = np.random.default_rng(2)
    for others in (ratings.values[split.test], rng.permutation(ratings.values[split.test]), np.nan):
        values = ratings.values.copy()
        values[split.test] = others
        predicted.append(METHODS[key].predict(dataclasses.replace(ratings, values=values), split, 3, **settings))
    assert predicted[0].shape == (len(split.test),)
    assert predicted[0].dtype == np.float64
    # Finite for users and items without training ratings too
    assert np.isfinite(predicted[0]).all()
    assert np.array_equal(predicted[0], predicted[1])
    assert np.array_equal(predicted[0], predicted[2])


@pytest.mark.parametrize("key", METHODS)
def test_training_ratings_are_read_and_the_seed_draws(key):
    ratings, split = split_with_unseen()
    settings = some_settings(key, 1)
    predicted = METHODS[key].predict(ratings, split, 3, **settings)
    values = ratings.values.copy()
    values[split.train] = 5.5 - values[split.train]
    changed = METHODS[key].predict(dataclasses.replace(ratings, values=values), split, 3, **settings)
    assert np.abs(changed - predicted).max() > 0.1
    again = METHODS[key].predict(ratings, split, 4, **settings)
    assert np.array_equal(predicted, again) == (key not in {*DRAWS, "regularized_svd"})


@pytest.mark.parametrize("key", METHODS)
def test_nobody_beats_the_oracle_and_all_beat_a_guess(key):
    split = split_ratings(SYNTHETIC, 0.25, 0)
    actual = SYNTHETIC.values[split.test].astype(float)
    predicted = METHODS[key].predict(SYNTHETIC, split)
    lead = (predicted - actual) ** 2 - (SYNTHETIC.oracle[split.test] - actual) ** 2
    assert lead.mean() > -2 * lead.std() / np.sqrt(len(lead))
    guess = errors(actual, np.full(len(actual), SYNTHETIC.values[split.train].mean()))[0]
    assert errors(actual, predicted)[0] < guess * (1 if key.endswith("_mean") or key == "regularized_svd" else 0.97)


@pytest.mark.parametrize("key", METHODS)
def test_spaces_hold_a_few_plain_values(key):
    for seed in range(5):
        settings = some_settings(key, seed)
        assert all(type(value) in (int, float, str) for value in settings.values())
        assert METHODS[key].space(optuna.trial.FixedTrial(settings)) == settings
    fewest = 0 if key in ("user_mean", "item_mean", "slope_one") else 1 if key in MACHINES else 2
    assert fewest <= len(settings) <= (0 if fewest == 0 else 5)
    drawn = [some_settings(key, seed) for seed in range(5)]
    assert all(len({str(settings[name]) for settings in drawn}) > 1 for name in settings)


def test_every_citation_is_in_the_bibliography():
    known = re.findall(r"@\w+\{([^,]+),", (ROOT / "references.bib").read_text(encoding="utf-8"))
    assert len(known) == len(set(known))
    assert {method.citation for method in METHODS.values()} - {None} <= set(known)
    assert [key for key, method in METHODS.items() if method.citation is None] == ["user_mean", "item_mean"]


def test_published_numbers_are_those_of_table_3(papers_figures):
    text = re.search(r"## Table 3.*?\n(.*?)\n\(", papers_figures, re.S).group(1)
    printed = {
        name.strip(): float(number) for name, number in re.findall(r"([A-Z][^,]*?) (0\.\d+)", text.replace("\n", " "))
    }
    networks = {"flexencoder": "FlexEncoder", "autorec": "AutoRec"}
    names = {key: networks[key] if key in networks else METHODS[key].name for key in TABLE_3_RMSE}
    assert printed == {names[key]: rmse for key, rmse in TABLE_3_RMSE.items()}
    assert len(printed) == len(TABLE_3_RMSE) == 11


def test_slope_one_by_hand():
    # User 2 has rated item 0 with 2; item 1 is 1.5 and 0.5 above item 0 for the two users who have rated both.
    triples = [(0, 0, 2.5), (0, 1, 4.0), (1, 0, 3.0), (1, 1, 3.5), (2, 0, 2.0), (2, 2, 4.5), (1, 2, 1.0)]
    ratings = make_ratings([*triples, (2, 1, 5.0)])
    (predicted,) = METHODS["slope_one"].predict(ratings, Split(np.arange(7), np.array([7])))
    # Item 1 above item 2: 3.5 - 1. User 2's mean 3.25, plus the mean of what item 1 is above each item of theirs.
    assert predicted == pytest.approx(3.25 + ((1.5 + 0.5) / 2 + 2.5) / 2)


@pytest.mark.parametrize("scale", [(0.5, 5.0, 0.5), (1.0, 5.0, 1.0)])
def test_neighbours_and_slope_one_are_surprises_by_its_own_way_in(scale):
    import surprise

    ratings, split = split_with_unseen()
    values = np.maximum(np.floor(ratings.values / scale[2]) * scale[2], scale[0]).astype(np.float32)
    ratings = dataclasses.replace(ratings, values=values, scale=scale)
    table = pd.DataFrame({"u": ratings.users, "i": ratings.items, "r": values * (2 if scale[2] == 0.5 else 1)})
    trainset = surprise.Dataset.load_from_df(
        table.iloc[np.random.default_rng(0).permutation(split.train)], surprise.Reader(rating_scale=(1, 10))
    ).build_full_trainset()
    seen = np.isin(ratings.users[split.test], ratings.users[split.train])
    seen &= np.isin(ratings.items[split.test], ratings.items[split.train])
    assert 0 < seen.sum() < len(seen)
    unit = 0.5 if scale[2] == 0.5 else 1
    alike = dict(name="pearson_baseline", user_based=False, shrinkage=30)
    around = dict(method="als", n_epochs=10, reg_u=5, reg_i=5)
    knn = surprise.KNNBaseline(k=7, sim_options=alike, bsl_options=around, verbose=False)
    for key, algorithm, settings in (
        ("slope_one", surprise.SlopeOne(), {}),
        ("item_knn", knn, {"neighbours": 7, "shrinkage": 30}),
    ):
        algorithm.fit(trainset)
        pairs = table.iloc[split.test[seen]]
        expected = [algorithm.predict(u, i, clip=False).est * unit for u, i in zip(pairs["u"], pairs["i"], strict=True)]
        predicted = METHODS[key].predict(ratings, split, **settings)
        assert predicted[seen] == pytest.approx(expected, abs=1e-6)
        assert predicted[~seen] == pytest.approx(values[split.train].mean(dtype=np.float64))


def dense_machine(ratings, split, seed, factors, draws, burn_in, with_sets):
    """myfm's regression on one row of numbers for each rating, as Rendle et al. (2019) lay it out."""
    import myfm

    users, items, train = ratings.users.tolist(), ratings.items.tolist(), set(split.train.tolist())
    rows, groups = [], []
    for k in range(len(ratings)):
        parts = []
        for own, other in ((users, items), (items, users)):
            parts.append([float(own[k] == one) for one in range(max(own) + 1)])
            if with_sets:
                rated = {other[j] for j in train if own[j] == own[k]}
                parts.append([(one in rated) / max(len(rated), 1) ** 0.5 for one in range(max(other) + 1)])
        rows.append([number for part in parts for number in part])
        groups = [group for group, part in enumerate(parts) for _ in part]
    features = np.array(rows)
    machine = myfm.MyFMRegressor(rank=factors, random_seed=seed)
    values = ratings.values[split.train].astype(float)
    machine.fit(
        features[split.train],
        values,
        grouping=groups,
        n_iter=draws,
        n_kept_samples=draws - burn_in,
        callback=lambda *_: (False, None),
    )
    return machine.predict(features[split.test])


@pytest.mark.parametrize("key", MACHINES)
def test_factorization_machines_are_myfms_on_plain_rows_of_features(key):
    ratings, split = split_with_unseen()
    settings = dict(factors=3, draws=12, burn_in=4)
    expected = dense_machine(ratings, split, 5, **settings, with_sets=key == "bayesian_svdpp")
    predicted = METHODS[key].predict(ratings, split, 5, **settings)
    assert predicted == pytest.approx(expected, abs=1e-6)
    assert np.abs(METHODS[key].predict(ratings, split, 5, **settings | {"burn_in": 0}) - predicted).max() > 0.01


def test_factorization_machines_say_nothing():
    code = (
        "from conftest import random_ratings; from flexlib.data import split_ratings; "
        "from flexlib.methods.registry import METHODS; ratings = random_ratings(0, 30, 40); "
        "[METHODS[key].predict(ratings, split_ratings(ratings), draws=20, burn_in=5) "
        "for key in ('bpmf', 'bayesian_svdpp')]"
    )
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, cwd=ROOT / "tests"
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_before_any_step_the_svds_are_the_mean_or_nothing():
    ratings, split = split_with_unseen()
    mean, seen = ratings.values[split.train].mean(), ~np.isin(ratings.users[split.test], [1])
    seen &= np.isin(ratings.items[split.test], ratings.items[split.train])
    for key, start in (("regularized_svd", 0.0), ("improved_svd", mean), ("svdpp", mean)):
        assert METHODS[key].predict(ratings, split, n_epochs=0, n_factors=3)[seen] == pytest.approx(start, abs=0.2)


MODULES = {"scikit-surprise": "surprise", "myfm": "myfm"}
BY_A_LIBRARY = [(key, MODULES[name]) for key in METHODS if (name := METHODS[key].made_by.split()[0]) in MODULES]


@pytest.mark.parametrize(("key", "module"), BY_A_LIBRARY)
def test_without_its_library_a_method_says_what_to_install(key, module, monkeypatch, refused):
    monkeypatch.setitem(sys.modules, module, None)
    ratings, split = split_with_unseen()
    refused(lambda: METHODS[key].predict(ratings, split), module, "pip install 'flexlib[methods]'")


def test_libraries_are_named_with_their_versions():
    assert {module for _, module in BY_A_LIBRARY} == set(MODULES.values())
    for key, _ in BY_A_LIBRARY:
        name, number = METHODS[key].made_by.split()
        assert number == metadata.version(name)
    assert with_version("no-such-library") == "no-such-library not installed"


def test_the_registries_import_without_the_libraries_of_an_extra():
    code = "import sys, flexlib.methods.registry, flexlib.methods.networks; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert {"flexlib.methods.registry", "torch"} <= set(found.stdout.split())
    assert set(found.stdout.split()) & {"distributed", "myfm", "optuna", "sklearn", "surprise"} == set()


@pytest.mark.parametrize("key", METHODS)
def test_a_method_takes_all_settings_of_its_space_and_no_others(key, refused):
    defaults = METHODS[key].defaults
    for seed in range(20):
        settings = some_settings(key, seed)
        changed = defaults.replace(**settings).to_dict()
        assert changed == defaults.to_dict() | settings
    for name in ("seed", "split", "ratings", "used", "settings", "self"):
        refused(lambda name=name: fit_method(SYNTHETIC, key, {name: 1}), f"unknown {key} key '{name}'")
    for name, parameter in defaults.parameters().items():
        for value in ("no", None, -1, True, [2], float("nan")):
            refused(lambda name=name, value=value: fit_method(SYNTHETIC, key, {name: value}), name, "is not")
        assert parameter.expected.startswith(
            {int: "a whole number", float: "a finite number", str: "one of"}[type(parameter.default)]
        )


def test_defaults_are_those_with_which_a_method_predicts():
    """Surprise's own where it makes the method."""
    import surprise

    ratings, split = split_with_unseen()
    for key in ("als", "biases", "item_knn", "rbm"):
        given = METHODS[key].defaults.to_dict()
        assert (
            METHODS[key].predict(ratings, split, 3, **given).tolist()
            == METHODS[key].predict(ratings, split, 3).tolist()
        )
    for key, algorithm in (("regularized_svd", "SVD"), ("improved_svd", "SVD"), ("svdpp", "SVDpp"), ("nmf", "NMF")):
        theirs = inspect.signature(getattr(surprise, algorithm)).parameters
        for name, value in METHODS[key].defaults.to_dict().items():
            assert value == theirs["reg_pu" if name == "regularization" else name].default


def test_settings_are_a_mapping(refused):
    refused(lambda: fit_method(SYNTHETIC, "als", [1]), "als")
    refused(lambda: fit_method(SYNTHETIC, "als", {3: 1}), "als", "3")


def test_draws_of_which_none_counts_are_refused(refused):
    model = fit_method(SYNTHETIC, "bpmf", {"draws": 5, "burn_in": 5})
    refused(lambda: model.predict_pairs(np.array([0]), np.array([0])), "burn_in: 5", "5")
