"""The chapter on parameters: matrices, importance, claims and pairs, on planted data and against plain computations."""

import json
import math
import re
from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from conftest import SMALL, not_told, records_of
from flexstudy import correlation
from flexstudy.anova import ForestAnova
from flexstudy.paper import FIGURE_4
from flexstudy.correlation import (
    CLAIMS,
    FACTORS,
    LEAF,
    cells_agreement,
    cells_that_do_not_follow,
    centring_effects,
    check_claims,
    choices_matter,
    claims_table,
    correlation_numbers,
    factors,
    far_off,
    importance,
    logged_matrix,
    low_user_based_runs,
    measured_matrix,
    mixed_design,
    outcome,
    pairs_table,
    printed_matrix,
    rmse_columns,
    scored,
    shares_table,
    strongest_pairs,
    superiority,
    without_both,
)
from flexstudy.plans import experiment
from flexstudy.references import row_mean_rmse
from flexstudy.replay import summarise_authors
from flexstudy.statistics import holm, median_interval
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from flexlib.config import FlexConfig
from flexlib.datasets.loading import load_ratings
from flexlib.runs.plan import Plan
from flexlib.runs.sampling import SPACES

PLAN = Plan.sweep(SMALL, ("released", "holdout"), 150, 3)
CONFIGS = list(PLAN.configs)


def planted(k, protocol):
    """Mean normalization halves the RMSE; on held-out ratings user-based runs are worse; the rest is noise. Every tenth
    run diverges, of which rounding makes stars as released, and every eleventh is skipped, whatever its settings."""
    noise = np.random.default_rng([k, protocol == "holdout"]).normal(0, 0.05)
    if k % 10 == 4:
        as_stars = 1.4 + noise if CONFIGS[k].prediction_rounding and protocol == "released" else None
        return {"status": "diverged", "rmse_of_diverged": as_stars}
    rmse = (0.9 if CONFIGS[k].mean_normalization else 1.8) + noise
    return "skipped" if k % 11 == 6 else rmse + (0.1 if protocol == "holdout" and not CONFIGS[k].item_based else 0)


RECORDS = records_of(PLAN, planted)


def ended_well(protocol="released"):
    """RMSE by run, of those that ended well."""
    return {k: end for k in range(len(CONFIGS)) if isinstance(end := planted(k, protocol), float)}


def as_scored(protocol):
    """RMSE by run, of those that were made: infinite where the run diverged and nothing made stars of it."""
    made = {}
    for k in range(len(CONFIGS)):
        end = planted(k, protocol)
        if end != "skipped":
            made[k] = end if isinstance(end, float) else end["rmse_of_diverged"] or math.inf
    return made


def test_figure_4_is_symmetric_with_ones_on_its_diagonal():
    matrix = printed_matrix()
    assert matrix.shape == (14, 14)
    assert matrix.index.tolist() == matrix.columns.tolist()
    assert matrix.index[-1] == "RMSE"
    assert matrix.equals(matrix.T)
    assert np.diag(matrix).tolist() == [1] * 14
    assert matrix.to_numpy()[np.triu_indices(14, 1)].tolist() == [
        r for row in FIGURE_4["upper"].values() for r in row
    ]


def test_figure_4_is_the_papers(papers_figures):
    part = papers_figures[papers_figures.index("## Figure 4") : papers_figures.index("## Figure 5")]
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line.startswith("|")
    ]
    names, matrix = lines[0][1:], printed_matrix()
    assert matrix.index.tolist() == names
    cells = [
        (row[0], name, float(text)) for row in lines[2:] for name, text in zip(names, row[1:], strict=True) if text
    ]
    assert len(cells) == 13 * 12 / 2 + 13 + 13  # pairs, those with RMSE, and the diagonal but for RMSE's own
    for one, other, value in cells:
        assert matrix.loc[one, other] == matrix.loc[other, one] == value


def by_abbreviation(config):
    """A setting's numbers by the abbreviations of Figure 4."""
    return {row["abbreviation"]: config.to_dict()[row["parameter"]] for row in config.describe()}


def test_measured_correlations_are_those_of_the_runs_that_ended_well():
    matrix, n = measured_matrix(RECORDS, "holdout")
    runs = ended_well("holdout")
    assert n == len(runs) < 150
    assert matrix.index.tolist() == matrix.columns.tolist() == FIGURE_4["order"]
    columns = [by_abbreviation(CONFIGS[k]) | {"RMSE": rmse} for k, rmse in runs.items()]
    for one, other in [("MeN", "RMSE"), ("RMSE", "MeN"), ("LR", "WeD"), ("TBS", "PrR"), ("TSR", "RMSE")]:
        pair = [[float(row[name]) for row in columns] for name in (one, other)]
        assert matrix.loc[one, other] == pytest.approx(stats.pearsonr(*pair).statistic)


def report_of(configs=CONFIGS, rmse=None, one_at_a_time=40):
    """A replay's report, with the authors' part as `summarise_authors` makes it of some settings and their RMSE."""
    rmse = np.arange(1.0, len(configs) + 1) ** 2 / 900 if rmse is None else np.asarray(rmse)
    table = pd.DataFrame({"record": range(len(configs)), "published": rmse, "seconds": 1.0})
    return json.loads(json.dumps({"authors": summarise_authors(configs, table) | {"one_at_a_time": one_at_a_time}}))


def test_the_logs_correlations_come_from_its_summary():
    matrix = logged_matrix(report_of())
    assert matrix.index.tolist() == matrix.columns.tolist() == FIGURE_4["order"]
    men = [float(config.mean_normalization) for config in CONFIGS]
    rates = [config.learning_rate for config in CONFIGS]
    rmse = np.arange(1.0, 151) ** 2 / 900
    assert matrix.loc["MeN", "RMSE"] == pytest.approx(stats.pearsonr(men, rmse).statistic, abs=5e-5)
    assert matrix.loc["LR", "MeN"] == pytest.approx(stats.pearsonr(men, rates).statistic, abs=5e-5)
    ranked = logged_matrix(report_of(), "spearman")
    assert ranked.loc["MeN", "RMSE"] == pytest.approx(stats.spearmanr(men, rmse).statistic, abs=5e-5)
    constant = logged_matrix(report_of([config.replace(weight_decay=0.1) for config in CONFIGS]))
    assert np.isnan(constant.loc["WeD", "RMSE"])


def test_cells_that_are_off_do_not_follow_the_log():
    logged = printed_matrix()
    for one, other, r in (("LR", "WeD", 0.5), ("RMSE", "MeN", -0.7), ("PrR", "TSR", -0.12), ("DrP", "NoP", 0.361)):
        logged.loc[one, other] = logged.loc[other, one] = r
    cells = cells_that_do_not_follow(printed_matrix(), logged)
    # 0.010 + 0.7, 0.079 - 0.5; -0.164 + 0.12 is 0.044, which is near enough.
    assert cells[["one", "other"]].to_numpy().tolist() == [
        ["MeN", "RMSE"],
        ["LR", "WeD"],
    ]  # the larger difference first
    assert cells["printed"].tolist() == [0.010, 0.079]
    assert cells["logged"].tolist() == [-0.7, 0.5]
    assert cells["difference"].to_numpy() == pytest.approx([0.71, -0.421])
    assert len(cells_that_do_not_follow(printed_matrix(), logged, 0.04)) == 3
    assert len(cells_that_do_not_follow(printed_matrix(), logged, 0.5)) == 1
    assert cells_that_do_not_follow(printed_matrix(), printed_matrix(), 0.0).empty


def test_the_strongest_pairs_leave_rmse_out():
    matrix = printed_matrix()
    matrix.loc["LR", "RMSE"] = matrix.loc["RMSE", "LR"] = -0.99
    pairs = strongest_pairs(matrix, 3)
    assert list(pairs.items()) == [(("DrP", "Ep"), -0.375), (("DrP", "NoP"), 0.361), (("NoP", "Ep"), -0.36)]
    matrix.loc["DrP"] = matrix.loc[:, "DrP"] = np.nan  # a parameter that never changes
    assert strongest_pairs(matrix, 1).index.tolist() == [("NoP", "Ep")]
    assert strongest_pairs(matrix, 66).notna().all()


def test_factors_are_levels_in_their_order_with_layers_told_apart():
    layers = [[8], [4, 8], [8, 4], [4, 8, 2], [4, 4]]
    configs = [FlexConfig(hidden_layers=sizes, learning_rate=rate, optimizer=name, mean_normalization=on)
               for sizes, rate, name, on in zip(layers, [0.1, 0.001, 0.01, 0.1, 0.001],
                                                ["sgd", "adam", "sgd", "rmsprop", "adam"],
                                                [True, False, True, True, False], strict=True)]  # fmt: skip
    codes, levels = factors(records_of(Plan.replay(SMALL, ["holdout"], configs), lambda *_: 0.9))
    assert codes.columns.tolist() == [*FACTORS, "layers", "width", "order"] == list(levels)
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
    assert {short: known[short] for short in FACTORS} == FACTORS
    assert set(FACTORS.values()) == set(SPACES["paper"])


def test_a_diverged_run_has_the_score_of_the_stars_that_are_made_of_it_or_the_worst():
    for protocol in PLAN.protocols:
        made, rmse = scored(RECORDS, protocol)
        assert dict(zip(made["run"], rmse, strict=True)) == as_scored(protocol)
    finite = [sum(map(math.isfinite, as_scored(protocol).values())) for protocol in PLAN.protocols]
    assert finite[0] > len(ended_well())
    assert finite[1] == len(ended_well("holdout")) < len(as_scored("holdout"))


def test_the_outcome_is_the_share_of_runs_that_are_better():
    stars = {"status": "diverged", "rmse_of_diverged": 1.5}
    ends = ["skipped", 1.0, "diverged", 1.0, 2.0, "diverged", "failed", 0.9, stars]
    records = records_of(Plan.sweep(SMALL, ("released",), 9, 0), lambda k, _: ends[k])
    made, rank = outcome(records, "released")
    assert made["run"].tolist() == [1, 2, 3, 4, 5, 7, 8]
    assert rank.index.equals(made.index)
    # 0.9 is best; two of 1.0; the stars' 1.5; 2.0; two that diverged share the last places.
    assert (rank * 6).tolist() == pytest.approx([1.5, 5.5, 1.5, 4, 5.5, 0, 3])
    alone = outcome(records[records["run"] == 4], "released")[1]
    assert alone.tolist() == [0]
    assert outcome(records, "holdout")[1].empty


@pytest.fixture(scope="module")
def imports():
    return {name: importance(RECORDS, name, resamples=4, trees=6) for name in ("released", "holdout")}


def test_importance_finds_what_was_planted_beyond_chance(imports):
    mains, pairs, _ = imports["holdout"]
    assert mains.columns.tolist() == ["factor", "share", "low", "high", "noise", "direct", "optuna"]
    assert set(mains["factor"]) == {*FACTORS, "layers", "width", "order"}
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
    place = {name: parts[0].set_index("factor")["share"]["PI"] for name, parts in imports.items()}
    assert place["holdout"] > 2 * place["released"]


def test_importance_is_the_anova_of_the_rank(imports):
    mains, pairs, dependence = imports["released"]
    made = RECORDS[(RECORDS["protocol"] == "released") & RECORDS["status"].isin(["ok", "diverged"])]
    rmse = [as_scored("released")[k] for k in made["run"]]
    rank = []
    for own in rmse:
        ties = sum(other == own for other in rmse) - 1
        rank.append((sum(other < own for other in rmse) + ties / 2) / (len(rmse) - 1))
    codes, levels = factors(made)
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
    mains, _, _ = importance(records_of(PLAN, lambda k, _: noise[k]), "released", resamples=5, trees=6)
    assert (mains["share"] > mains["noise"]).sum() <= 1
    assert abs(mains["direct"].mean()) < 0.02  # no more for a factor of many levels: without a correction it is 0.02
    assert mains["share"].max() < 0.3


def test_chance_is_what_others_reach_beside_the_first_factor():
    """The outcome is MeN alone: mixed among runs of one level of it nothing changes, and nothing else explains any."""
    records = records_of(PLAN, lambda k, _: 1.0 if CONFIGS[k].mean_normalization else 2.0)
    mains, pairs, _ = importance(records, "released", resamples=3, trees=4)
    assert mains["factor"].iloc[0] == "MeN"
    assert mains[["share", "direct"]].iloc[0].tolist() == pytest.approx([1, 1])
    assert mains["noise"].iloc[0] == pytest.approx(0, abs=1e-12)
    assert pairs["noise"].iloc[0] == pytest.approx(0, abs=1e-12)


ranks = st.lists(st.one_of(st.integers(0, 5).map(float), st.just(math.inf)), min_size=1, max_size=9)


@given(ranks, ranks)
def test_superiority_counts_the_pairs_that_are_won_and_half_of_the_ties(one, other):
    won = sum((a < b) + (a == b) / 2 for a, b in product(one, other))
    assert superiority(np.array(one), np.array(other)) == pytest.approx(won / (len(one) * len(other)))
    assert superiority(np.array(one), np.array(other)) + superiority(np.array(other), np.array(one)) == pytest.approx(1)


def test_superiority_over_nobody_is_not_known():
    assert math.isnan(superiority(np.array([]), np.array([1.0])))
    assert math.isnan(superiority(np.array([1.0]), np.array([])))


# The claims once more: those looked at, and those with the property.
AS_CLAIMED = {
    "user_adam": (lambda c: not c.item_based, lambda c: c.optimizer == "adam"),
    "user_selu": (lambda c: not c.item_based, lambda c: c.activation == "selu"),
    "user_refeeding": (lambda c: not c.item_based, lambda c: c.dense_refeeding == 1),
    "user_men": (lambda c: not c.item_based, lambda c: c.mean_normalization),
    "prr": (lambda c: True, lambda c: c.prediction_rounding),
    "defr": (lambda c: c.dense_refeeding > 0, lambda c: c.dense_refeeding_rounding),
    "dropout": (lambda c: True, lambda c: c.drop_probability > 0),
    "noise": (lambda c: True, lambda c: c.noise_probability > 0),
    "high_dropout": (lambda c: c.drop_probability > 0, lambda c: c.drop_probability >= 0.5),
    "high_noise": (lambda c: c.noise_probability > 0, lambda c: c.noise_probability >= 0.5),
    "men": (lambda c: True, lambda c: c.mean_normalization),
    "men_item": (lambda c: c.item_based, lambda c: c.mean_normalization),
}  # fmt: skip


@pytest.mark.parametrize("protocol", ["released", "holdout"])
def test_claims_are_tested_on_the_runs_that_they_are_about(protocol):
    table = check_claims(RECORDS, protocol, resamples=40)
    assert table["key"].tolist() == list(AS_CLAIMED) == [key for key, *_ in CLAIMS]
    assert set(table["protocol"]) == {protocol}
    p_values = []
    for row, (among, has) in zip(table.itertuples(), AS_CLAIMED.values(), strict=True):
        sides, lost = {True: [], False: []}, {True: 0, False: 0}
        for k, rmse in as_scored(protocol).items():
            if among(CONFIGS[k]):
                sides[has(CONFIGS[k])].append(rmse)
                lost[has(CONFIGS[k])] += isinstance(planted(k, protocol), dict)
        assert (row.n_with, row.n_without) == (len(sides[True]), len(sides[False]))
        assert (row.diverged_with, row.diverged_without) == (lost[True], lost[False])
        won = sum((a < b) + (a == b) / 2 for a, b in product(sides[True], sides[False]))
        assert row.effect == pytest.approx(won / (row.n_with * row.n_without))
        assert row.low <= row.effect <= row.high
        p_values.append(stats.mannwhitneyu(sides[True], sides[False]).pvalue)
    assert table["p"].to_numpy() == pytest.approx(holm(p_values))
    # What was planted is found and nothing else is.
    clear = table[table["p"] < 0.05]
    assert clear["key"].tolist() == ["user_men", "men", "men_item"]
    assert (clear["low"] > 0.6).all()


def test_what_makes_runs_diverge_goes_with_a_higher_rmse():
    records = records_of(PLAN, lambda k, _: "diverged" if CONFIGS[k].prediction_rounding else 1.0)
    table = check_claims(records, "holdout", resamples=10).set_index("key")
    assert table.loc["prr", ["effect", "low", "high"]].tolist() == [0, 0, 0]
    assert table.loc["prr", "p"] < 1e-6


def test_a_claim_about_no_runs_is_not_tested_and_not_counted():
    item_based = RECORDS[RECORDS["pivot_indexes"] == "[1, 0]"]
    table = check_claims(item_based, "released", resamples=10).set_index("key")
    users = [key for key in AS_CLAIMED if key.startswith("user_")]
    assert table.loc[users, ["n_with", "n_without"]].to_numpy().tolist() == [[0, 0]] * 4
    assert table.loc[users, ["effect", "low", "high", "p"]].isna().all(axis=None)
    rest = [key for key in AS_CLAIMED if key not in users]
    assert table.loc[rest, "p"].notna().all()
    # The same runs: the smallest of the 8 p that there are is taken times 8.
    own = {k: rmse for k, rmse in as_scored("released").items() if CONFIGS[k].item_based}
    sides = [[rmse for k, rmse in own.items() if CONFIGS[k].mean_normalization == side] for side in (True, False)]
    p = stats.mannwhitneyu(*sides).pvalue
    assert table.loc["men", "p"] == pytest.approx(8 * p)


def test_the_low_user_based_runs_and_what_they_have_in_common():
    table = low_user_based_runs(RECORDS, "released", limit=0.9).set_index("trait")
    users = {k: rmse for k, rmse in ended_well().items() if not CONFIGS[k].item_based}
    low, other = ([CONFIGS[k] for k, rmse in users.items() if (rmse <= 0.9) == side] for side in (True, False))
    assert table.index.tolist() == ["ADAM", "SELU", "one re-feeding", "mean normalization"]
    assert set(table["n_low"]) == {len(low)}
    p_values = []
    for key, row in zip(list(AS_CLAIMED)[:4], table.itertuples(), strict=True):
        counts = [sum(map(AS_CLAIMED[key][1], side)) for side in (low, other)]
        assert (row.low, row.share_low, row.other) == (counts[0], counts[0] / len(low), counts[1] / len(other))
        sides = [[counts[0], len(low) - counts[0]], [counts[1], len(other) - counts[1]]]
        p_values.append(stats.fisher_exact(sides).pvalue)
    assert table["p"].to_numpy() == pytest.approx(holm(p_values))
    assert table.loc["mean normalization", ["share_low", "p"]].tolist() == [1.0, pytest.approx(0, abs=1e-3)]
    none = low_user_based_runs(RECORDS, "released", limit=0.1)
    assert none["n_low"].tolist() == [0] * 4
    assert none["share_low"].isna().all()
    assert none["p"].tolist() == [1] * 4


@pytest.mark.parametrize("protocol", ["released", "holdout"])
def test_runs_with_neither_dropout_nor_noise_are_counted_among_the_best_tenth(protocol):
    found = without_both(RECORDS, protocol, 0.2)
    order = sorted(as_scored(protocol).items(), key=lambda item: item[1])
    best = round(0.2 * len(order))
    counts = [sum(not CONFIGS[k].drop_probability and not CONFIGS[k].noise_probability for k, _ in part)
              for part in (order[:best], order[best:])]  # fmt: skip
    assert sum(counts) > 2
    assert (found["best"], found["n_best"]) == (counts[0], best)
    assert found["share"] == pytest.approx(100 * counts[0] / best)
    assert found["other"] == pytest.approx(100 * counts[1] / (len(order) - best))
    table = [[counts[0], best - counts[0]], [counts[1], len(order) - best - counts[1]]]
    assert found["p"] == pytest.approx(stats.fisher_exact(table).pvalue)


def test_runs_without_mean_normalization_are_told_apart_by_what_became_of_them():
    ends = [3.0, 3.2, 4.0, 4.5, 1e7, "diverged", {"status": "diverged", "rmse_of_diverged": 9.0},
            {"status": "diverged", "rmse_of_diverged": 1.5}, "skipped", 2.0, 3.7]  # fmt: skip
    off = [k for k in range(150) if not CONFIGS[k].mean_normalization]
    some = dict(zip(off, ends, strict=False))
    found = far_off(records_of(PLAN, lambda k, _: some.get(k, "skipped")), "holdout")
    # 9 stars of a run that diverged count as that; 3 stars are not above 3.
    assert found == {"off": 10, "off_above_3": 7, "off_diverged": 2, "off_above_4": 2, "off_between": 3}
    assert far_off(records_of(PLAN, lambda k, _: "skipped" if k in off else 9.0), "holdout")["off_above_3"] == 0


def test_runs_that_need_neither_are_found_among_the_best():
    def outcome(k, _):
        return 0.8 if CONFIGS[k].drop_probability == 0 and CONFIGS[k].noise_probability == 0 else 1 + k / 1000

    found = without_both(records_of(PLAN, outcome), "holdout", best=0.01)
    # All that tie with the best are: every one without, and no other.
    assert (found["share"], found["other"]) == (100, 0)
    assert found["n_best"] == found["best"] > 2
    assert found["p"] < 1e-6


def test_the_share_of_a_choice_is_kruskal_and_wallis():
    table = choices_matter(RECORDS, resamples=60)
    keys = ["protocol", "parameter", "pivot"]
    assert table[keys].to_numpy().tolist() == [
        [*key] for key in product(PLAN.protocols, ("activation", "optimizer"), ("user-based", "item-based"))
    ]
    p_values = []
    for row in table.itertuples():
        groups = {}
        for k, rmse in as_scored(row.protocol).items():
            if CONFIGS[k].mean_normalization and CONFIGS[k].item_based == (row.pivot == "item-based"):
                groups.setdefault(getattr(CONFIGS[k], row.parameter), []).append(rmse)
        assert row.n == sum(map(len, groups.values()))
        found = stats.kruskal(*groups.values())
        assert row.share == pytest.approx((found.statistic - len(groups) + 1) / (row.n - len(groups)))
        assert row.low < row.share < row.high
        p_values.append(found.pvalue)
    assert table["p"].to_numpy() == pytest.approx(holm(p_values))
    assert choices_matter(RECORDS, resamples=60).equals(table)
    assert choices_matter(RECORDS, ("holdout",), resamples=60)["share"].tolist() == table["share"].tolist()[4:]


def test_a_choice_that_decides_everything_explains_everything():
    order = {"adam": 0.8, "adagrad": 0.9, "rmsprop": 1.0, "sgd": 1.1}
    decided = records_of(PLAN, lambda k, _: order[CONFIGS[k].optimizer])
    table = choices_matter(decided, ("holdout",), resamples=30)
    own = table[table["parameter"] == "optimizer"]
    assert own[["share", "low", "high"]].to_numpy() == pytest.approx(np.ones((2, 3)))
    assert (own["p"] < 1e-4).all()


def test_a_choice_that_decides_nothing_explains_nothing_on_average():
    """Drawing runs again makes small groups differ by more; the interval is around the share all the same."""
    made, tables = RECORDS[RECORDS["protocol"] == "holdout"], []
    for seed in range(25):
        mixed = made.assign(rmse=np.random.default_rng(seed).permutation(150).astype(float), status="ok")
        tables.append(choices_matter(mixed, ("holdout",), resamples=40))
    table = pd.concat(tables)
    assert table["share"].mean() == pytest.approx(0, abs=3 * table["share"].std() / 10)
    assert table["share"].min() < 0 < table["share"].max()
    own = table[table["parameter"] == "activation"]
    assert ((own["low"] + own["high"]) / 2 - own["share"]).mean() == pytest.approx(0, abs=0.06)


def test_where_there_is_no_choice_or_no_difference_nothing_is_explained():
    one = choices_matter(RECORDS[RECORDS["optimizer"] == "sgd"], ("holdout",), resamples=5)
    one = one[one["parameter"] == "optimizer"]
    assert one[["low", "high", "p"]].isna().all(axis=None)
    assert (one["n"] > 3).all()
    alike = choices_matter(RECORDS.assign(rmse=1.0, status="ok"), ("holdout",), resamples=5)
    assert alike[["share", "low", "high", "p"]].isna().all(axis=None)


def test_choices_among_no_runs_matter_nothing():
    table = choices_matter(RECORDS[RECORDS["pivot_indexes"] == "[0, 1]"], ("holdout",), resamples=5)
    none = table[table["pivot"] == "item-based"]
    assert none["n"].tolist() == [0, 0]
    assert none[["share", "low", "high", "p"]].isna().all(axis=None)


def cells(matrix):
    return matrix.to_numpy()[np.triu_indices(len(matrix), 1)]


def test_parameters_correlate_where_some_rows_vary_one_at_a_time_and_not_at_random():
    random, mixed = mixed_design(600, 0), mixed_design(300, 300)
    assert random.index.tolist() == mixed.columns.tolist() == FIGURE_4["order"][:-1]
    assert np.abs(cells(random)).max() < 4 / math.sqrt(600)  # four standard errors, of 78 cells
    # The defaults have no noise and no dropout, as many epochs as there are and centring on: half of the rows.
    assert mixed.loc["DrP", "NoP"] > 0.2
    assert mixed.loc["Ep", "MeN"] > 0.2
    assert mixed.loc["Ep", "NoP"] < -0.2
    assert mixed_design(60, 60).equals(mixed_design(60, 60))
    assert not mixed_design(60, 60).equals(mixed_design(60, 60, seed=1))


def test_rows_of_one_at_a_time_differ_from_the_default_in_one_parameter_at_most(monkeypatch):
    made = []
    frame = pd.DataFrame
    monkeypatch.setattr(correlation.pd, "DataFrame", lambda rows: made.extend(rows) or frame(rows))
    mixed_design(5, 80)
    default = FlexConfig().to_dict()
    differing = [{name for name, value in row.items() if value != default[name]} for row in made]
    assert len(made) == 85
    assert {len(names) for names in differing[5:]} == {0, 1}
    assert len(set().union(*differing[5:])) > 10
    assert min(len(names) for names in differing[:5]) > 5


def test_matrices_agree_by_their_cells_without_rmse():
    one, other = printed_matrix(), printed_matrix()
    other.loc["RMSE"] = other.loc[:, "RMSE"] = 0.0
    assert cells_agreement(one, other) == pytest.approx(1)
    inner = [name for name in one.index if name != "RMSE"]
    shuffled = one.loc[inner[::-1], inner[::-1]]
    assert cells_agreement(one, shuffled) == pytest.approx(1)  # by name, not by place
    assert cells_agreement(one, -one) == pytest.approx(-1)
    random = mixed_design(200, 0)
    pairs = list(combinations(inner, 2))
    expected = stats.pearsonr([one.loc[pair] for pair in pairs], [random.loc[pair] for pair in pairs]).statistic
    assert cells_agreement(one, random) == pytest.approx(expected)


RATINGS = load_ratings(SMALL)
CENTRED = experiment("centring", SMALL, n_seeds=2, records=RECORDS[RECORDS["run"] < 40])
N_CENTRED = len(CENTRED.configs) // 4


def place_of(k):
    """Setting, way ("rows" or "three") and seed of run k."""
    return k // 2 % N_CENTRED, CENTRED.configs[k]["centring"], CENTRED.seeds[k]


def level_of(setting, seed):
    """The RMSE of the row means on this split, which networks are placed around."""
    config = CENTRED.configs[2 * setting]
    return row_mean_rmse(RATINGS, config.item_based, config.test_split_rate, seed)


def worth(setting):
    """What filling with 3 adds to the RMSE; no two settings are alike."""
    return 0.003 * (setting - 4.5) * (1 + setting / 100)


def centred(k, _=None):
    """By row means a third of the settings learn much, a third next to nothing, a third get worse; filled with 3 they
    do a little more or less well, by the setting."""
    setting, way, seed = place_of(k)
    learned = (-0.05, -0.001, 0.05)[setting % 3]
    return level_of(setting, seed) + learned + (way == "three") * worth(setting)


def test_settings_centred_two_ways_are_paired_with_themselves():
    assert N_CENTRED > 12
    for k in range(0, len(CENTRED.configs), 2):
        plain = [FlexConfig.from_dict(config).replace(centring="rows") for config in CENTRED.configs[k : k + 2]]
        assert plain[0] == plain[1]
        assert [place_of(k + way)[1] for way in range(2)] == ["rows", "three"]
    table = centring_effects(records_of(CENTRED, centred), RATINGS).set_index("group")
    gaps = {setting: -worth(setting) for setting in range(N_CENTRED)}
    # Those that filling with 3 takes 0.01 or more below the row means have learned by that.
    learned = [s for s in gaps if (-0.05, -0.001, 0.05)[s % 3] + min(0, -gaps[s]) <= -0.01]
    groups = {"all": list(gaps), "that have learned": learned}
    assert table.index.tolist() == list(groups)
    p_values = []
    for name, chosen in groups.items():
        own, row = [gaps[setting] for setting in chosen], table.loc[name]
        assert (row["n"], row["better"]) == (len(own), sum(gap < 0 for gap in own))
        assert tuple(row[["change", "low", "high"]]) == pytest.approx(median_interval(own), abs=1e-9)
        means = [np.mean([level_of(setting, seed) for seed in (0, 1)]) for setting in chosen]
        assert row["row_mean"] == pytest.approx(np.median(means))
        by_rows = [mean + (-0.05, -0.001, 0.05)[s % 3] for s, mean in zip(chosen, means, strict=True)]
        assert row["rows"] == pytest.approx(np.median(by_rows))
        assert row["three"] == pytest.approx(np.median(np.array(by_rows) - own))
        p_values.append(stats.wilcoxon(own).pvalue)
    assert table["p"].to_numpy() == pytest.approx(holm(p_values))
    by_three_alone = [s for s in learned if (-0.05, -0.001, 0.05)[s % 3] > -0.01]
    assert 0 < len(by_three_alone) < len(learned) < N_CENTRED / 2


def test_a_setting_that_is_lost_on_one_split_is_left_out():
    lost = {(2, "three", 1): "diverged", (4, "rows", 0): "skipped"}
    table = centring_effects(records_of(CENTRED, lambda k, _: lost.get(place_of(k), centred(k))), RATINGS)
    left = [setting for setting in range(N_CENTRED) if setting not in (2, 4)]
    assert table["n"].iloc[0] == len(left)
    assert table["change"].iloc[0] == pytest.approx(np.median([-worth(setting) for setting in left]))


def test_where_nothing_has_learned_there_is_nothing_to_compare():
    table = centring_effects(records_of(CENTRED, lambda *_: 3.0), RATINGS).set_index("group")
    assert table["n"].tolist() == [N_CENTRED, 0]
    assert table.loc["that have learned", ["change", "low", "high", "p", "rows"]].isna().all()
    assert table.loc["all", ["change", "better"]].tolist() == [0, 0]


def test_tables_for_reading_are_in_per_cent_with_intervals(imports):
    mains, pairs, _ = imports["holdout"]
    shares = shares_table(imports)
    row = mains.set_index("factor").loc["Opt"] * 100
    assert shares.loc["Opt", "holdout"].to_dict() == {
        "share (%)": f"{row['share']:.1f} ({row['low']:.1f} to {row['high']:.1f})", "direct": round(row["direct"], 1),
        "optuna": round(row["optuna"], 1),
    }  # fmt: skip
    two = pairs_table(imports, 2)
    assert two.index.get_level_values("protocol").tolist() == ["released"] * 2 + ["holdout"] * 2
    top = pairs.iloc[0]
    text = " to ".join(f"{100 * top[end]:.1f}" for end in ("low", "high"))
    assert two.loc[("holdout", top["one"], top["other"])].tolist() == [
        f"{100 * top['share']:.1f} ({text})", round(100 * top["noise"], 1)
    ]  # fmt: skip


def test_claims_are_read_with_the_protocols_beside_each_other():
    claims = {name: check_claims(RECORDS, name, resamples=10) for name in ("released", "holdout")}
    table = claims_table(claims)
    for name, own in claims.items():
        row = own.set_index("key").loc["men_item"]
        shown = table.loc[(9, "mean normalization (MeN), item-based")]
        assert shown["n"].tolist() == [row["n_with"], row["n_without"]]
        p = "< 0.001" if row["p"] < 0.001 else f"{row['p']:.3f}"
        assert shown[name].to_dict() == {
            "effect": f"{row['effect']:.2f} ({row['low']:.2f} to {row['high']:.2f})", "p": p,
            "diverged": f"{row['diverged_with']} / {row['diverged_without']}",
        }  # fmt: skip
    assert table.index.get_level_values("what").tolist() == [what for _, _, what, *_ in CLAIMS]


def test_columns_of_correlations_are_over_runs_that_ended_well_and_ranks_over_all_that_were_made():
    report, replay = report_of(), RECORDS.assign(rmse=RECORDS["rmse"] ** 2, rmse_of_diverged=np.nan)
    tables = rmse_columns(RECORDS, replay, report, resamples=40)
    ours = ["replay", "released", "holdout"]
    spans = [f"{name}{end}" for name in ours for end in ("", " low", " high")]
    assert tables["pearson"].columns.tolist() == ["paper", "log", *ours]
    assert tables["spearman"].columns.tolist() == ["log", *spans]
    assert tables["pearson"]["paper"].to_dict() == printed_matrix()["RMSE"].drop("RMSE").to_dict()
    for method, table in tables.items():
        assert table.index.tolist() == FIGURE_4["order"][:-1]
        assert table["log"].to_dict() == logged_matrix(report, method)["RMSE"].drop("RMSE").to_dict()
    for name in ours[1:]:
        assert tables["pearson"][name].to_dict() == measured_matrix(RECORDS, name)[0]["RMSE"].drop("RMSE").to_dict()
    for name, made in {
        "released": as_scored("released"), "holdout": as_scored("holdout"),
        "replay": {k: ended_well().get(k, math.inf) ** 2 for k in as_scored("released")},
    }.items():  # fmt: skip
        for short in ("MeN", "LR", "TSR"):
            values = [float(by_abbreviation(CONFIGS[k])[short]) for k in made]
            r, low, high = tables["spearman"].loc[short, [name, f"{name} low", f"{name} high"]]
            assert r == pytest.approx(stats.spearmanr(values, list(made.values())).statistic)
            # About as wide as Fisher's.
            half = 1.96 / math.sqrt(len(made) - 3)
            assert [low, high] == pytest.approx([math.tanh(math.atanh(r) + side) for side in (-half, half)], abs=0.15)
    assert rmse_columns(RECORDS, resamples=5)["spearman"].columns.tolist() == spans[3:]


@pytest.fixture(scope="module")
def evidence(imports):
    """What the chapter hands to `correlation_numbers`, with a report or without."""
    claims = {name: check_claims(RECORDS, name, resamples=10) for name in imports}
    choices = choices_matter(RECORDS, resamples=10)
    pairs = centring_effects(records_of(CENTRED, centred), RATINGS)

    def made(report=None):
        logged = logged_matrix(report) if report else printed_matrix()
        apart = cells_that_do_not_follow(printed_matrix(), logged)
        columns = rmse_columns(RECORDS, report=report, resamples=5)
        return RECORDS, columns, apart, imports, claims, choices, pairs, report

    return made


def test_the_numbers_by_hand(evidence, imports):
    parts = evidence(report_of())
    _, columns, apart, _, claims, choices, pairs, _ = parts
    numbers = correlation_numbers(*parts)
    assert (numbers["pairs"], numbers["outside"]) == (14 * 13 / 2, len(apart))
    assert 0 < numbers["outside_rmse"] == sum("RMSE" in (row.one, row.other) for row in apart.itertuples())
    assert numbers["men_printed"] == 0.010
    assert numbers["largest"] == abs(apart["printed"] - apart["logged"]).max()
    for source in ("log", "released", "holdout"):
        assert numbers[f"men_{source}_pearson"] == columns["pearson"].loc["MeN", source]
        assert numbers[f"men_{source}"] == columns["spearman"].loc["MeN", source]
    assert numbers["men_released_low"] == columns["spearman"].loc["MeN", "released low"]
    assert numbers["men_holdout_high"] == columns["spearman"].loc["MeN", "holdout high"]
    mains, two, _ = imports["holdout"]
    assert numbers["main1_holdout_factor"] == "MeN"
    assert numbers["main1_holdout"] == 100 * mains["share"].iloc[0]
    # Order and value are of one column, without the forest, whose own order is another here.
    direct = dict(zip(mains["factor"], mains["direct"], strict=True))
    largest = sorted(direct, key=direct.get, reverse=True)[:3]
    assert largest != mains["factor"].tolist()[:3]
    assert [numbers[f"main{place}_holdout_factor"] for place in (1, 2, 3)] == largest
    assert [numbers[f"main{place}_holdout_direct"] for place in (1, 2, 3)] == [100 * direct[name] for name in largest]
    third = mains.set_index("factor").loc[largest[2]]
    assert [numbers["main3_holdout_low"], numbers["main3_holdout_high"]] == [100 * third["low"], 100 * third["high"]]
    assert numbers["chance_holdout"] == 100 * mains["noise"].iloc[0]
    assert (numbers["above_holdout"], numbers["factors_holdout"]) == ((mains["share"] > mains["noise"]).sum(), 21)
    assert numbers["pair_holdout"] == f"{two['one'].iloc[0]} with {two['other'].iloc[0]}"
    assert numbers["pair_share_holdout"] == 100 * two["share"].iloc[0]
    assert numbers["named_holdout"].split(", ")[0] == "MeN"
    assert len(numbers["named_holdout"].split(", ")) == numbers["above_holdout"]
    made = as_scored("holdout")
    assert (numbers["n_holdout"], numbers["skipped_holdout"]) == (len(made), 150 - len(made))
    assert numbers["diverged_holdout"] == len(made) - len(ended_well("holdout"))
    off = [rmse for k, rmse in made.items() if not CONFIGS[k].mean_normalization]
    assert (numbers["off_holdout"], numbers["off_above_3_holdout"]) == (len(off), sum(map(math.isinf, off)))
    assert numbers["off_diverged_holdout"] == numbers["off_above_3_holdout"] > 0
    neither = without_both(RECORDS, "released")
    assert {name: numbers[f"neither_released_{name}"] for name in neither} == neither
    assert numbers["highest_released"] == max(ended_well().values())
    men = claims["released"].set_index("key").loc["men"]
    found = [numbers[f"men_released_effect{end}"] for end in ("", "_low", "_high", "_p", "_n", "_diverged_without")]
    assert found == men[["effect", "low", "high", "p", "n_with", "diverged_without"]].tolist()
    assert numbers["prr_holdout"] == claims["holdout"].set_index("key").loc["prr", "effect"]
    row = choices.set_index(["protocol", "parameter", "pivot"]).loc[("holdout", "optimizer", "item-based")]
    found = [numbers[f"optimizer_item_holdout{end}"] for end in ("", "_low", "_high", "_p")]
    assert found == [100 * row["share"], 100 * row["low"], 100 * row["high"], row["p"]]
    row = pairs.set_index("group").loc["that have learned"]
    found = [numbers[f"centred_that{end}"] for end in ("", "_low", "_high", "_n", "_better", "_p")]
    assert found == row[["change", "low", "high", "n", "better", "p"]].tolist()


def test_the_sentences_about_the_log(evidence):
    report = report_of()
    numbers = correlation_numbers(*evidence(report))
    assert (numbers["rows"], numbers["singles"], numbers["randoms"]) == (150, 40, 110)
    highest = 150**2 / 900
    assert numbers["highest_log"] == highest
    assert numbers["log_outliers"].startswith(f"The log's largest RMSE is {highest:.1f}. The largest of the fresh")
    r = logged_matrix(report).loc["MeN", "RMSE"]
    assert f"correlation of mean normalization with RMSE is {r:.2f}, where" in numbers["log_short"]
    assert numbers["log_short"].endswith("where Figure 4 prints 0.01")
    assert f"Of the 91 cells, {numbers['outside']} are off by more than 0.05: " in numbers["log_cells"]
    assert f" {numbers['outside_rmse']} of them are in the column of RMSE" in numbers["log_cells"]
    assert "the log of 150 runs" in numbers["log_cells"]
    assert numbers["strongest"] == "DrP with Ep"
    assert "is that of DrP with Ep (-0.38)" in numbers["log_design"]
    assert numbers["log_design"].startswith("40 of the 150 logged rows differ from one default setting")
    assert numbers["printed_like_log"] == cells_agreement(printed_matrix(), logged_matrix(report))
    assert numbers["design_like_log"] == cells_agreement(mixed_design(110, 40), logged_matrix(report))
    assert numbers["random_like_log"] == cells_agreement(mixed_design(150, 0), logged_matrix(report))
    for name in ("log_short", "log_cells", "log_design", "log_outliers"):
        assert not re.search(r"[{}\n]|  ", numbers[name])


def test_every_number_of_the_chapters_text_is_there_with_and_without_the_log(evidence):
    for report in (None, report_of()):
        numbers = correlation_numbers(*evidence(report))
        assert not_told("05_correlation", numbers) == set()
        assert ("made without the authors' log" in numbers["log_design"]) == (report is None)
    assert correlation_numbers(*evidence())["outside"] == 0
