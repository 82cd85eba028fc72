"""The importance of parameters, on planted data and against plain computations."""

import numpy as np
import pytest
from conftest import SMALL, records_of
from flexstudy.anova import ForestAnova
from flexstudy.importance import (
    FACTOR_WORDS,
    LEAF,
    PARAMETER_FACTORS,
    factor_levels,
    for_reading,
    importance_numbers,
    measure_importance,
)
from planted import CONFIGS, PLAN, RECORDS, as_scored, importances
from scipy import stats

from flexlib.config import FlexConfig
from flexlib.runs.plan import Plan
from flexlib.runs.sampling import SPACES


def test_factors_are_levels_in_their_order_with_layers_told_apart():
    layers = [[8], [4, 8], [8, 4], [4, 8, 2], [4, 4]]
    configs = [
        FlexConfig(hidden_layers=sizes, learning_rate=rate, optimizer=name, mean_normalization=on)
        for sizes, rate, name, on in zip(
            layers,
            [0.1, 0.001, 0.01, 0.1, 0.001],
            ["sgd", "adam", "sgd", "rmsprop", "adam"],
            [True, False, True, True, False],
            strict=True,
        )
    ]
    codes, levels = factor_levels(records_of(Plan.replay(SMALL, ["holdout"], configs), lambda *_: 0.9))
    assert codes.columns.tolist() == [*PARAMETER_FACTORS, "layers", "width", "order"] == list(levels)
    assert levels["LR"] == [0.001, 0.01, 0.1]
    assert codes["LR"].tolist() == [2, 0, 1, 2, 0]
    assert levels["Opt"] == ["adam", "rmsprop", "sgd"]
    assert codes["Opt"].tolist() == [2, 0, 2, 1, 0]
    assert levels["MeN"] == [False, True]
    assert levels["layers"] == [1, 2, 3]
    assert codes["layers"].tolist() == [0, 1, 1, 2, 1]
    assert levels["width"] == [4, 8]
    assert codes["width"].tolist() == [1, 1, 1, 1, 0]
    orders = ["one layer", "rising", "falling", "mixed", "rising"]
    assert [levels["order"][code] for code in codes["order"]] == orders
    assert levels["Act"] == ["selu"]
    assert set(codes["Act"]) == {0}


def test_every_factor_is_a_parameter_of_the_paper_or_a_switch_of_its_code():
    known = {row["abbreviation"]: row["parameter"] for row in FlexConfig().describe()}
    assert {short: known[short] for short in PARAMETER_FACTORS} == PARAMETER_FACTORS
    assert set(PARAMETER_FACTORS.values()) == set(SPACES["paper"])


def test_importance_finds_what_was_planted_beyond_chance():
    mains, pairs, _ = importances()["holdout"]
    assert mains.columns.tolist() == ["factor", "share", "low", "high", "noise", "direct", "optuna"]
    assert set(mains["factor"]) == {*PARAMETER_FACTORS, "layers", "width", "order"}
    assert mains["share"].is_monotonic_decreasing
    assert mains["factor"].tolist()[0] == "MeN"
    assert mains["low"].iloc[0] > mains["noise"].iloc[0]
    assert mains["optuna"].iloc[0] == pytest.approx(mains["share"].iloc[0], abs=0.3)
    assert mains["noise"].nunique() == 1
    assert (mains["low"] <= mains["high"]).all()
    assert mains["share"].sum() + pairs["share"].sum() <= 1
    assert (mains["share"][1:] < mains["share"].iloc[0] / 3).all()
    assert len(pairs) == 21 * 20 / 2
    assert pairs["share"].is_monotonic_decreasing
    # What the user-based runs lose on held-out ratings is not there as released.
    place = {name: parts.mains.set_index("factor")["share"]["PI"] for name, parts in importances().items()}
    assert place["holdout"] > 2 * place["released"]


def test_importance_is_the_anova_of_the_rank():
    mains, pairs, dependence = importances()["released"]
    made = RECORDS[(RECORDS["protocol"] == "released") & RECORDS["status"].isin(["ok", "diverged"])]
    rmse = [as_scored("released")[k] for k in made["run"]]
    rank = []
    for own in rmse:
        ties = sum(other == own for other in rmse) - 1
        rank.append((sum(other < own for other in rmse) + ties / 2) / (len(rmse) - 1))
    codes, levels = factor_levels(made)
    forest = ForestAnova(codes, levels, rank, 0, 6, leaf=LEAF)
    own = forest.main_effects()
    assert mains["share"].to_numpy() == pytest.approx(own[mains["factor"]].to_numpy(), abs=1e-12)
    top = pairs.iloc[0]
    assert top["share"] == pytest.approx(forest.pair_effects()[top["one"], top["other"]], abs=1e-12)
    for name in ("MeN", "Opt", "order"):
        part = dependence[dependence["factor"] == name]
        assert part["level"].tolist() == levels[name]
        assert part["value"].to_numpy() == pytest.approx(forest.dependence(name), abs=1e-12)
        assert (part["low"] <= part["high"]).all()
        groups = [[r for r, code in zip(rank, codes[name], strict=True) if code == k] for k in range(len(levels[name]))]
        anova = stats.f_oneway(*groups).statistic * (len(groups) - 1) / (len(rank) - len(groups))
        direct = mains.set_index("factor").loc[name, "direct"]
        freedom = (len(rank) - 1) / (len(rank) - len(groups))
        assert direct == pytest.approx(1 - freedom / (1 + anova))  # eta squared from F, less what chance gives
    without, with_it = dependence[dependence["factor"] == "MeN"]["value"]
    assert without > with_it + 0.3


def test_of_outcomes_that_nothing_explains_nothing_stands_out():
    noise = np.random.default_rng(9).permutation(150) / 100
    mains, _, _ = measure_importance(records_of(PLAN, lambda k, _: noise[k]), "released", resamples=5, trees=6)
    assert (mains["share"] > mains["noise"]).sum() <= 1
    assert abs(mains["direct"].mean()) < 0.02  # no more for a factor of many levels: without a correction it is 0.02
    assert mains["share"].max() < 0.3


def test_chance_is_what_others_reach_beside_the_first_factor():
    """The outcome is MeN alone: mixed among runs of one level of it nothing changes, and nothing else explains any."""
    records = records_of(PLAN, lambda k, _: 1.0 if CONFIGS[k].mean_normalization else 2.0)
    mains, pairs, _ = measure_importance(records, "released", resamples=3, trees=4)
    assert mains["factor"].iloc[0] == "MeN"
    assert mains[["share", "direct"]].iloc[0].tolist() == pytest.approx([1, 1])
    assert mains["noise"].iloc[0] == pytest.approx(0, abs=1e-12)
    assert pairs["noise"].iloc[0] == pytest.approx(0, abs=1e-12)


def test_tables_for_reading_are_in_words_and_per_cent():
    mains, pairs, dependence = importances()["holdout"]
    holdout = "held-out ratings (leak-free)"
    shares = for_reading(importances(), "mains").loc[holdout]
    row = mains.set_index("factor").loc["Opt"] * 100
    shown = shares[shares["parameter"] == "optimizer"].iloc[0]
    assert shown.drop("parameter").tolist() == row.tolist()
    assert shown["share without a forest (%)"] == row["direct"]
    two = for_reading(importances(), "pairs").loc[holdout].iloc[0]
    top = pairs.iloc[0]
    assert two[["one", "other"]].tolist() == [FACTOR_WORDS[top["one"]], FACTOR_WORDS[top["other"]]]
    assert two["by chance (%)"] == 100 * top["noise"]
    levels = for_reading(importances(), "dependence").loc[holdout]
    assert levels["level"].tolist() == dependence["level"].tolist()
    assert levels["mean rank (%)"].tolist() == (100 * dependence["value"]).tolist()


def test_the_numbers_of_the_prose_are_those_of_the_tables():
    numbers = importance_numbers(importances())
    mains = importances()["holdout"].mains
    assert numbers["main1_holdout_factor"] == "mean normalization"
    # Without the forest, whose own order is another here
    direct = dict(zip(mains["factor"], mains["direct"], strict=True))
    largest = sorted(direct, key=direct.get, reverse=True)[:2]
    assert largest != mains["factor"].tolist()[:2]
    assert [numbers[f"main{place}_holdout_factor"] for place in (1, 2)] == [FACTOR_WORDS[name] for name in largest]
    assert [numbers[f"main{place}_holdout_direct"] for place in (1, 2)] == [100 * direct[name] for name in largest]
    assert (numbers["above_holdout"], numbers["factors_holdout"]) == ((mains["share"] > mains["noise"]).sum(), 21)


def test_every_factor_has_words():
    assert list(FACTOR_WORDS) == [*PARAMETER_FACTORS, "layers", "width", "order"]
    assert len(set(FACTOR_WORDS.values())) == len(FACTOR_WORDS)
