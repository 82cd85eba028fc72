"""Functional ANOVA of a forest, against the same forest asked for every combination of levels, and against Optuna's."""

import itertools

import numpy as np
import optuna
import pandas as pd
import pytest
from flexstudy.anova import ForestAnova
from flexstudy.importance import optuna_shares
from optuna.distributions import FloatDistribution
from optuna.importance import FanovaImportanceEvaluator
from optuna.trial import create_trial
from sklearn.ensemble import RandomForestRegressor


def factorial(sizes):
    """Every combination of levels as a table: factors a, b, c, ... with so many levels each."""
    names = [chr(ord("a") + k) for k in range(len(sizes))]
    return pd.DataFrame(list(itertools.product(*map(range, sizes))), columns=names)


def drawn(sizes, n, seed, outcome):
    """n rows at random from the factorial, the levels' names, and an outcome of each row."""
    codes = factorial(sizes).sample(n, replace=True, random_state=seed).reset_index(drop=True)
    levels = {name: [f"{name}{k}" for k in range(size)] for name, size in zip(codes, sizes, strict=True)}
    return codes, levels, outcome(codes, np.random.default_rng(seed)).to_numpy(float)


def by_brute_force(codes, sizes, values, seed, trees, leaf=1):
    """Shares of every non-empty set of factors and the dependence on each factor, from predictions over the whole
    factorial: each effect is the average over all other factors, less all effects of smaller sets."""
    forest = RandomForestRegressor(trees, max_depth=64, min_samples_leaf=leaf, random_state=seed, n_jobs=1)
    forest.fit(codes.to_numpy(float), values)
    places = range(len(sizes))
    subsets = [s for count in range(len(sizes) + 1) for s in itertools.combinations(places, count)]
    shares, dependence = dict.fromkeys(subsets[1:], 0.0), [np.zeros(size) for size in sizes]
    for tree in forest.estimators_:
        cube = tree.predict(factorial(sizes).to_numpy(float)).reshape(sizes)
        effects = {}
        for subset in subsets:
            averaged = cube.mean(axis=tuple(k for k in places if k not in subset), keepdims=True)
            smaller = [effects[other] for other in effects if set(other) < set(subset)]
            effects[subset] = averaged - sum(smaller)
        for subset in shares:
            shares[subset] += (effects[subset] ** 2).mean() / (cube.var() or np.inf) / trees
        for k in places:
            dependence[k] += cube.mean(axis=tuple(j for j in places if j != k)) / trees
    return shares, dependence


def noisy(codes, rng):
    return np.sin(codes["a"] * 2.0) + codes["b"] * (codes["a"] > 1) + 0.3 * rng.normal(size=len(codes))


@pytest.mark.parametrize(
    ("sizes", "n", "seed", "leaf"),
    [
        ((3, 2, 4), 60, 0, 1),
        ((2, 5, 3, 2), 40, 3, 1),
        ((4, 2), 9, 5, 1),
        ((3, 2, 4), 60, 0, 5),
    ],
)
def test_shares_and_dependence_are_those_of_the_same_forest_averaged_over_every_combination(sizes, n, seed, leaf):
    codes, levels, values = drawn(sizes, n, seed, noisy)
    anova = ForestAnova(codes, levels, values, seed, trees=5, leaf=leaf)
    shares, dependence = by_brute_force(codes, sizes, values, seed, 5, leaf)
    names = list(codes)
    mains, pairs = anova.main_effects(), anova.pair_effects()
    assert mains.index.tolist() == names
    assert pairs.index.tolist() == list(itertools.combinations(names, 2))
    for k, name in enumerate(names):
        assert mains[name] == pytest.approx(shares[k,], abs=1e-9)
        assert anova.dependence(name) == pytest.approx(dependence[k], abs=1e-9)
    for a, b in itertools.combinations(range(len(sizes)), 2):
        assert pairs[names[a], names[b]] == pytest.approx(shares[a, b], abs=1e-9)
    assert pairs.max() > 0.01  # else the pairs would show little


def test_mains_pairs_and_higher_orders_make_up_the_whole():
    """Mains and pairs leave out what three or more factors do together: nothing, where no more than two exist."""
    codes, levels, values = drawn((3, 2, 4), 60, 1, noisy)
    anova = ForestAnova(codes, levels, values, trees=6)
    shares, _ = by_brute_force(codes, (3, 2, 4), values, 0, 6)
    left = 1 - anova.main_effects().sum() - anova.pair_effects().sum()
    assert left == pytest.approx(shares[0, 1, 2], abs=1e-9)
    assert left > 1e-4
    codes, levels, values = drawn((4, 5), 60, 1, noisy)
    anova = ForestAnova(codes, levels, values, trees=6)
    assert anova.main_effects().sum() + anova.pair_effects().sum() == pytest.approx(1)


def test_additive_factors_have_main_effects_alone_in_the_ratio_of_their_variances():
    codes = pd.concat([factorial((2, 3, 2))] * 8, ignore_index=True)
    levels = {name: list(range(codes[name].max() + 1)) for name in codes}
    values = 2.0 * codes["a"] + 1.0 * codes["b"]
    anova = ForestAnova(codes, levels, values, trees=16)
    # Variances: 2 stars by a fair coin, 1; and 0, 1 or 2, 2/3. Nothing is left for pairs or the third factor.
    assert anova.main_effects().to_numpy() == pytest.approx([1 / (1 + 2 / 3), 2 / 3 / (1 + 2 / 3), 0], abs=1e-3)
    assert anova.pair_effects().to_numpy() == pytest.approx([0, 0, 0], abs=1e-3)
    assert anova.dependence("a") == pytest.approx([1, 3], abs=0.01)
    assert anova.dependence("b") == pytest.approx([1, 2, 3], abs=0.01)
    assert anova.dependence("c") == pytest.approx([2, 2], abs=0.01)


def test_a_pure_interaction_belongs_to_its_pair_alone():
    codes = pd.concat([factorial((2, 2, 2))] * 12, ignore_index=True)
    anova = ForestAnova(codes, {name: [0, 1] for name in codes}, codes["a"] ^ codes["c"], trees=16)
    assert anova.main_effects().to_numpy() == pytest.approx([0, 0, 0], abs=1e-6)
    assert anova.pair_effects()["a", "c"] == pytest.approx(1)
    assert anova.pair_effects().drop(("a", "c")).to_numpy() == pytest.approx([0, 0], abs=1e-6)


def test_every_level_counts_alike_however_often_it_was_drawn():
    """Three of four rows have level 0, whose outcome is 0; the average over the levels is that of 0 and 4."""
    codes = pd.DataFrame({"a": [0] * 30 + [1] * 10, "b": [0, 1] * 20})
    anova = ForestAnova(codes, {"a": ["x", "y"], "b": ["x", "y"]}, 4.0 * codes["a"], trees=8)
    assert anova.dependence("a").tolist() == [0, 4]
    assert anova.dependence("b").tolist() == [2, 2]


def test_an_outcome_without_variance_is_explained_by_nothing():
    codes, levels, _ = drawn((3, 2, 2), 20, 0, noisy)
    anova = ForestAnova(codes, levels, np.full(20, 3.0), trees=3)
    assert anova.main_effects().tolist() == [0, 0, 0]
    assert anova.pair_effects().tolist() == [0, 0, 0]
    assert anova.dependence("a").tolist() == [3, 3, 3]


def test_a_factor_with_one_level_explains_nothing_and_changes_nothing():
    codes, levels, values = drawn((3, 4), 50, 2, noisy)
    plain, with_one = (
        ForestAnova(codes.assign(**more), levels | {"only": ["x"]}, values) for more in ({}, {"only": 0})
    )
    assert with_one.main_effects()["only"] == 0
    assert with_one.dependence("only") == pytest.approx([with_one.dependence("a").mean()])
    assert with_one.pair_effects().loc[:, "only"].to_numpy() == pytest.approx([0, 0], abs=1e-12)
    assert with_one.main_effects()["a"] == pytest.approx(plain.main_effects()["a"], abs=0.05)


def test_main_effects_are_optunas_where_all_factors_have_two_levels():
    codes, levels, values = drawn(
        (2, 2, 2, 2), 70, 4, lambda t, rng: 2 * t["a"] + t["b"] * t["c"] + 0.5 * rng.normal(size=len(t))
    )
    known = {name: FloatDistribution(0, 1) for name in codes}
    study = optuna.create_study()
    for row, value in zip(codes.astype(float).to_dict("records"), values, strict=True):
        study.add_trial(create_trial(params=row, distributions=known, value=value))
    theirs = FanovaImportanceEvaluator(n_trees=64, seed=0).evaluate(study)
    mains = ForestAnova(codes, levels, values, seed=0).main_effects()
    assert mains.to_dict() == pytest.approx(theirs, abs=1e-9)
    assert mains["a"] > 0.5
    assert optuna_shares(codes, levels, values).to_dict() == pytest.approx(theirs, abs=1e-9)
    assert optuna_shares(codes.assign(e=0), levels | {"e": ["x"]}, values).to_dict() == pytest.approx(theirs, abs=1e-9)


def test_optuna_counts_levels_at_the_ends_half_so_that_more_levels_agree_less():
    """The reason for an implementation of our own: on a line of 0 to 2 the middle level has half of the weight."""
    codes, levels, values = drawn((3, 2), 80, 4, lambda t, _: (t["a"] == 1) * 2.0 + t["b"])
    # Levels alike: variances 8/9 and 1/4. The middle level with half of the weight: 1 and 1/4.
    assert ForestAnova(codes, levels, values).main_effects()["a"] == pytest.approx(8 / 9 / (8 / 9 + 1 / 4), abs=1e-6)
    assert optuna_shares(codes, levels, values)["a"] == pytest.approx(1 / (1 + 1 / 4), abs=1e-6)


def test_the_seed_decides_the_forest():
    codes, levels, values = drawn((3, 2, 4), 60, 0, noisy)
    one, again, other = (ForestAnova(codes, levels, values, seed, trees=4).main_effects() for seed in (0, 0, 1))
    assert one.equals(again)
    assert not one.equals(other)
