"""The chapter on parameters: matrices, importance, claims and pairs, on planted data and against plain computations."""

import json
import math
import re
from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from conftest import SMALL, not_told, records_of
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from flexlib.anova import ForestAnova
from flexlib.config import FlexConfig
from flexlib.plans import experiment
from flexlib.replay import summarise_authors
from flexlib.sampling import SPACES
from flexlib.statistics import holm, median_interval
from flexlib.study import correlation
from flexlib.study.correlation import (
    CLAIMS,
    FACTORS,
    PUBLISHED,
    cells_agreement,
    cells_that_do_not_follow,
    centring_effects,
    check_claims,
    choice_matters,
    correlation_numbers,
    correlations_with_rmse,
    factors,
    importance,
    logged_matrix,
    low_user_based_runs,
    measured_matrix,
    mixed_design,
    outcome,
    printed_matrix,
    rmse_columns,
    strongest_pairs,
    superiority,
)
from flexlib.sweep import Plan

PLAN = Plan.sweep(SMALL, ("released", "holdout"), 150, 3)
CONFIGS = [FlexConfig.from_dict(config) for config in PLAN.configs]


def status_or(k, rmse):
    """Every tenth run diverges and every eleventh is skipped, whatever its settings."""
    return "diverged" if k % 10 == 4 else "skipped" if k % 11 == 6 else rmse


def planted(k, protocol):
    """Mean normalization halves the RMSE; on held-out ratings user-based runs are worse; the rest is noise."""
    noise = np.random.default_rng([k, protocol == "holdout"]).normal(0, 0.05)
    rmse = (0.9 if CONFIGS[k].mean_normalization else 1.8) + noise
    return status_or(k, rmse + (0.1 if protocol == "holdout" and not CONFIGS[k].item_based else 0))


RECORDS = records_of(PLAN, planted)


def ended_well(protocol="released", outcome=planted):
    return {k: rmse for k in range(len(CONFIGS)) if not isinstance(rmse := outcome(k, protocol), str)}


def test_figure_4_is_symmetric_with_ones_on_its_diagonal():
    matrix = printed_matrix()
    assert matrix.shape == (14, 14)
    assert matrix.index.tolist() == matrix.columns.tolist()
    assert matrix.index[-1] == "RMSE"
    assert matrix.equals(matrix.T)
    assert np.diag(matrix).tolist() == [1] * 14
    assert matrix.to_numpy()[np.triu_indices(14, 1)].tolist() == [
        r for row in PUBLISHED["figure4"]["upper"].values() for r in row
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


@pytest.mark.parametrize("method", ["pearson", "spearman"])
def test_measured_correlations_are_those_of_the_runs_that_ended_well(method):
    matrix, n = measured_matrix(RECORDS, "holdout", method)
    runs = ended_well("holdout")
    assert n == len(runs) < 150
    assert matrix.index.tolist() == matrix.columns.tolist() == PUBLISHED["figure4"]["order"]
    columns = [by_abbreviation(CONFIGS[k]) | {"RMSE": rmse} for k, rmse in runs.items()]
    correlate = stats.pearsonr if method == "pearson" else stats.spearmanr
    for one, other in [("MeN", "RMSE"), ("RMSE", "MeN"), ("LR", "WeD"), ("TBS", "PrR"), ("TSR", "RMSE")]:
        pair = [[float(row[name]) for row in columns] for name in (one, other)]
        assert matrix.loc[one, other] == pytest.approx(correlate(*pair).statistic)


def report_of(configs=CONFIGS, rmse=None, one_at_a_time=40):
    """A replay's report, with the authors' part as `summarise_authors` makes it of some settings and their RMSE."""
    rmse = np.arange(1.0, len(configs) + 1) ** 2 / 900 if rmse is None else np.asarray(rmse)
    table = pd.DataFrame({"record": range(len(configs)), "published": rmse, "seconds": 1.0})
    return json.loads(json.dumps({"authors": summarise_authors(configs, table) | {"one_at_a_time": one_at_a_time}}))


def test_the_logs_correlations_come_from_its_summary():
    matrix = logged_matrix(report_of())
    assert matrix.index.tolist() == matrix.columns.tolist() == PUBLISHED["figure4"]["order"]
    men = [float(config.mean_normalization) for config in CONFIGS]
    rates = [config.learning_rate for config in CONFIGS]
    rmse = np.arange(1.0, 151) ** 2 / 900
    assert matrix.loc["MeN", "RMSE"] == pytest.approx(stats.pearsonr(men, rmse).statistic, abs=5e-5)
    assert matrix.loc["LR", "MeN"] == pytest.approx(stats.pearsonr(men, rates).statistic, abs=5e-5)
    ranked = logged_matrix(report_of(), "spearman")
    assert ranked.loc["MeN", "RMSE"] == pytest.approx(stats.spearmanr(men, rmse).statistic, abs=5e-5)
    constant = logged_matrix(report_of([config.replace(weight_decay=0.1) for config in CONFIGS]))
    assert np.isnan(constant.loc["WeD", "RMSE"])


def test_cells_outside_the_interval_of_what_the_log_has_do_not_follow_it():
    logged, n = printed_matrix(), 103
    for one, other, r in (("LR", "WeD", 0.5), ("MeN", "RMSE", -0.7), ("PrR", "TSR", 0.0), ("DrP", "NoP", 0.2)):
        logged.loc[one, other] = logged.loc[other, one] = r
    # Fisher's z has a standard error of 1 / sqrt(100): 0.196 to either side.
    expected = {}
    for one, other in combinations(logged.index, 2):
        z = math.atanh(logged.loc[one, other])
        low, high = math.tanh(z - 0.1959964), math.tanh(z + 0.1959964)
        if not low <= printed_matrix().loc[one, other] <= high:
            expected[one, other] = (low, high)
    assert set(expected) == {("LR", "WeD"), ("MeN", "RMSE")}  # 0.361 is inside of 0.2's interval, as -0.164 is of 0's
    cells = cells_that_do_not_follow(printed_matrix(), logged, n)
    assert cells[["one", "other"]].to_numpy().tolist() == [
        ["MeN", "RMSE"],
        ["LR", "WeD"],
    ]  # the larger difference first
    assert cells["printed"].tolist() == [0.010, 0.079]
    assert cells["logged"].tolist() == [-0.7, 0.5]
    for row in cells.itertuples():
        assert (row.low, row.high) == pytest.approx(expected[row.one, row.other])
    assert cells_that_do_not_follow(printed_matrix(), printed_matrix(), n).empty
    assert len(cells_that_do_not_follow(printed_matrix(), logged, 100_003)) == 4


def test_correlations_with_rmse_are_a_column_a_matrix():
    measured = measured_matrix(RECORDS, "released")
    table = correlations_with_rmse({"paper": printed_matrix(), "ours": measured})
    assert table.index.tolist() == PUBLISHED["figure4"]["order"][:-1]
    assert table.loc["LR", "paper"] == 0.088
    assert table["ours"].tolist() == measured[0]["RMSE"].tolist()[:-1]


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


def test_the_outcome_is_the_share_of_runs_that_are_better():
    ends = ["skipped", 1.0, "diverged", 1.0, 2.0, "diverged", "failed", 0.9]
    records = records_of(Plan.sweep(SMALL, ("released",), 8, 0), lambda k, _: ends[k])
    made, rank = outcome(records, "released")
    assert made["run"].tolist() == [1, 2, 3, 4, 5, 7]
    assert rank.index.equals(made.index)
    # Six runs: 0.9 is best; two 1.0 share ranks 2 and 3; 2.0; two that diverged share 5 and 6, counted from 1.
    assert rank.tolist() == pytest.approx([1.5 / 5, 4.5 / 5, 1.5 / 5, 3 / 5, 4.5 / 5, 0])
    alone = outcome(records[records["run"] == 4], "released")[1]
    assert alone.tolist() == [0]
    assert outcome(records, "holdout")[1].empty


@pytest.fixture(scope="module")
def imports():
    return {name: importance(RECORDS, name, resamples=5, trees=6) for name in ("released", "holdout")}


def test_importance_finds_what_was_planted_beyond_chance(imports):
    mains, pairs, _ = imports["holdout"]
    assert mains.columns.tolist() == ["factor", "share", "low", "high", "noise", "optuna"]
    assert set(mains["factor"]) == {*FACTORS, "layers", "width", "order"}
    assert mains["share"].is_monotonic_decreasing
    assert mains["factor"].tolist()[0] == "MeN"
    assert mains["low"].iloc[0] > mains["noise"].iloc[0]
    assert mains["optuna"].iloc[0] == pytest.approx(mains["share"].iloc[0], abs=0.1)
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
    """Twice as many trees as the bootstrap's, over all runs that were made."""
    mains, pairs, dependence = imports["released"]
    made = RECORDS[(RECORDS["protocol"] == "released") & RECORDS["status"].isin(["ok", "diverged"])]
    rmse = [ended_well().get(k, math.inf) for k in made["run"]]
    rank = [
        (sum(other < own for other in rmse) + (sum(other == own for other in rmse) - 1) / 2) / (len(rmse) - 1)
        for own in rmse
    ]
    codes, levels = factors(made)
    forest = ForestAnova(codes, levels, rank, 0, 12)
    own = forest.main_effects()
    assert mains["share"].to_numpy() == pytest.approx(own[mains["factor"]].to_numpy(), abs=1e-12)
    top = pairs.iloc[0]
    assert top["share"] == pytest.approx(forest.pair_effects()[top["one"], top["other"]], abs=1e-12)
    for name in ("MeN", "Opt", "order"):
        part = dependence[dependence["factor"] == name]
        assert part["level"].tolist() == levels[name]
        assert part["value"].to_numpy() == pytest.approx(forest.dependence(name), abs=1e-12)
        assert (part["low"] <= part["high"]).all()
    without, with_it = dependence[dependence["factor"] == "MeN"]["value"]
    assert without > with_it + 0.3


def test_of_outcomes_that_nothing_explains_nothing_stands_out():
    noise = np.random.default_rng(9).permutation(150) / 100
    mains, _, _ = importance(records_of(PLAN, lambda k, _: noise[k]), "released", resamples=8, trees=6)
    assert (mains["share"] > mains["noise"]).sum() <= 1
    assert mains["share"].max() < 0.2


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
        sides = {True: [], False: []}
        for k, config in enumerate(CONFIGS):
            end = planted(k, protocol)
            if end != "skipped" and among(config):
                sides[has(config)].append(math.inf if end == "diverged" else end)
        assert (row.n_with, row.n_without) == (len(sides[True]), len(sides[False]))
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
    made = item_based[(item_based["protocol"] == "released") & item_based["status"].isin(["ok", "diverged"])]
    rmse = made["rmse"].fillna(np.inf)
    p = stats.mannwhitneyu(rmse[made["mean_normalization"]], rmse[~made["mean_normalization"]]).pvalue
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


def test_the_share_of_a_choice_is_kruskal_and_wallis():
    share, low, high, n, p = choice_matters(RECORDS, "holdout", "activation", "[1, 0]", resamples=60)
    groups = {}
    for k, config in enumerate(CONFIGS):
        end = planted(k, "holdout")
        if end != "skipped" and config.item_based and config.mean_normalization:
            groups.setdefault(config.activation, []).append(math.inf if end == "diverged" else end)
    assert n == sum(map(len, groups.values()))
    found = stats.kruskal(*groups.values())
    assert p == pytest.approx(found.pvalue)
    assert share == pytest.approx((found.statistic - len(groups) + 1) / (n - len(groups)))
    assert low <= high
    assert choice_matters(RECORDS, "holdout", "activation", "[1, 0]", resamples=60) == (share, low, high, n, p)


def test_a_choice_that_decides_everything_explains_everything_and_one_that_does_not_nothing():
    order = {"adam": 0.8, "adagrad": 0.9, "rmsprop": 1.0, "sgd": 1.1}
    decided = records_of(PLAN, lambda k, _: order[CONFIGS[k].optimizer])
    share, low, high, _, p = choice_matters(decided, "holdout", "optimizer", "[0, 1]", resamples=30)
    assert (share, low, high) == pytest.approx((1, 1, 1))
    assert p < 1e-4
    made, shares = RECORDS[RECORDS["protocol"] == "holdout"], []
    for seed in range(40):
        mixed = made.assign(rmse=np.random.default_rng(seed).permutation(150), status="ok")
        shares.append(choice_matters(mixed, "holdout", "optimizer", "[0, 1]", resamples=1)[0])
    assert np.mean(shares) == pytest.approx(0, abs=3 * np.std(shares) / math.sqrt(40))
    assert min(shares) < 0 < max(shares)


@pytest.mark.parametrize("rows", [
    RECORDS[RECORDS["optimizer"] == "sgd"], RECORDS[:0], RECORDS.assign(rmse=1.0, status="ok"),
], ids=["one optimizer", "no runs", "all alike"])  # fmt: skip
def test_where_there_is_no_choice_or_no_difference_nothing_is_explained(rows):
    share, low, high, n, p = choice_matters(rows, "holdout", "optimizer", "[1, 0]", resamples=5)
    assert all(map(math.isnan, (share, low, high, p)))
    made = (rows["protocol"] == "holdout") & (rows["pivot_indexes"] == "[1, 0]") & rows["mean_normalization"]
    assert n == (made & rows["status"].isin(["ok", "diverged"])).sum()


def cells(matrix):
    return matrix.to_numpy()[np.triu_indices(len(matrix), 1)]


def test_parameters_correlate_where_some_rows_vary_one_at_a_time_and_not_at_random():
    random, mixed = mixed_design(600, 0), mixed_design(300, 300)
    assert random.index.tolist() == mixed.columns.tolist() == PUBLISHED["figure4"]["order"][:-1]
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


CENTRED = experiment("centring", SMALL, n_seeds=2, records=RECORDS)
N_CENTRED = len(CENTRED.configs) // 6


def place_of(k):
    """Setting, way ("rows", "three" or "off") and seed of run k, by its configuration alone."""
    config = CENTRED.configs[k]
    return (k // 3) % N_CENTRED, config["centring"] if config["mean_normalization"] else "off", CENTRED.seeds[k]


def centred(k, protocol):
    """Row means are worth more from setting to setting, and on one of four nothing; splits differ."""
    setting, way, seed = place_of(k)
    gain = {"rows": 0.0, "three": 0.01 * (setting - 3), "off": 0.1}[way]
    return 1 + 0.1 * setting + 0.03 * seed + gain * (2 if protocol == "released" else 1)


def test_settings_centred_three_ways_are_paired_with_themselves():
    assert N_CENTRED > 8
    for k in range(0, 3 * N_CENTRED, 3):
        plain = [FlexConfig.from_dict(config).replace(centring="rows", mean_normalization=True)
                 for config in CENTRED.configs[k : k + 3]]  # fmt: skip
        assert plain[0] == plain[1] == plain[2]
        assert [place_of(k + way)[1] for way in range(3)] == ["rows", "three", "off"]
    table = centring_effects(records_of(CENTRED, centred))
    assert table[["protocol", "against"]].to_numpy().tolist() == [
        [name, against] for name in ("holdout", "released") for against in ("filled with 3", "not centred")
    ]
    for row in table.itertuples():
        by = 2 if row.protocol == "released" else 1
        if row.against == "filled with 3":
            gaps, better = [-0.01 * (setting - 3) * by for setting in range(N_CENTRED)], N_CENTRED - 4
        else:
            gaps, better = [-0.1 * by] * N_CENTRED, N_CENTRED
        assert (row.n, row.better) == (N_CENTRED, better)
        assert (row.change, row.low, row.high) == pytest.approx(median_interval(gaps), abs=1e-9)


def test_differences_of_centring_are_signed_ranks_corrected_over_the_table():
    rng = np.random.default_rng(2)
    noise = {(k, name): rng.normal(0, 0.02) for k in range(len(CENTRED.configs)) for name in CENTRED.protocols}
    table = centring_effects(records_of(CENTRED, lambda k, name: centred(k, name) + noise[k, name]))
    p_values = []
    for row in table.itertuples():
        means = {}
        for k in range(len(CENTRED.configs)):
            setting, way, _ = place_of(k)
            means.setdefault((setting, way), []).append(centred(k, row.protocol) + noise[k, row.protocol])
        against = "three" if row.against == "filled with 3" else "off"
        gaps = [np.mean(means[s, "rows"]) - np.mean(means[s, against]) for s in range(N_CENTRED)]
        assert row.better == sum(gap < 0 for gap in gaps)
        assert row.change == pytest.approx(np.median(gaps))
        p_values.append(stats.wilcoxon(gaps).pvalue)
    assert table["p"].to_numpy() == pytest.approx(holm(p_values))


def test_a_setting_that_is_lost_on_one_split_is_left_out_of_its_pair_alone():
    def lost(k, protocol):
        setting, way, seed = place_of(k)
        if (setting, way, seed, protocol) == (2, "three", 1, "holdout"):
            return "diverged"
        if (setting, way, protocol) == (4, "rows", "holdout"):
            return "skipped"
        return centred(k, protocol)

    table = centring_effects(records_of(CENTRED, lost)).set_index(["protocol", "against"])
    assert table["n"].tolist() == [N_CENTRED - 2, N_CENTRED - 1, N_CENTRED, N_CENTRED]
    left = [setting for setting in range(N_CENTRED) if setting not in (2, 4)]
    assert table["change"].iloc[0] == pytest.approx(np.median([-0.01 * (setting - 3) for setting in left]))


def test_columns_of_correlations_with_rmse_have_fishers_intervals():
    report = report_of()
    tables = rmse_columns(RECORDS, RECORDS.assign(rmse=RECORDS["rmse"] ** 2), report)
    sources = ["log", "replay", "released", "holdout"]
    spans = [f"{name}{end}" for name in sources for end in ("", " low", " high")]
    assert tables["spearman"].columns.tolist() == spans
    assert tables["pearson"].columns.tolist() == ["paper", *spans]
    assert tables["pearson"]["paper"].to_dict() == printed_matrix()["RMSE"].drop("RMSE").to_dict()
    for method, table in tables.items():
        assert table.index.tolist() == PUBLISHED["figure4"]["order"][:-1]
        sizes = {
            "log": 150,
            "replay": len(ended_well()),
            "released": len(ended_well()),
            "holdout": len(ended_well("holdout")),
        }
        for name, n in sizes.items():
            r, low, high = table.loc["MeN", [name, f"{name} low", f"{name} high"]]
            assert (low, high) == pytest.approx(
                (
                    math.tanh(math.atanh(r) - 1.959964 / math.sqrt(n - 3)),
                    math.tanh(math.atanh(r) + 1.959964 / math.sqrt(n - 3)),
                )
            )
        assert table["log"].to_dict() == logged_matrix(report, method)["RMSE"].drop("RMSE").to_dict()
        assert (
            table["holdout"].to_dict() == measured_matrix(RECORDS, "holdout", method)[0]["RMSE"].drop("RMSE").to_dict()
        )
    # The replay's RMSE are squares: the ranks are the same, the straight line is not.
    assert tables["spearman"]["replay"].to_numpy() == pytest.approx(tables["spearman"]["released"].to_numpy())
    assert tables["pearson"].loc["MeN", "replay"] != tables["pearson"].loc["MeN", "released"]
    assert rmse_columns(RECORDS)["spearman"].columns.tolist() == spans[6:]


def evidence(imports, report=None):
    columns = rmse_columns(RECORDS, report=report)
    claims = {name: check_claims(RECORDS, name, resamples=10) for name in imports}
    choices = {
        (protocol, name, pivot): choice_matters(RECORDS, protocol, name, pivot, resamples=10)
        for protocol, name, pivot in product(imports, ("activation", "optimizer"), ("[1, 0]", "[0, 1]"))
    }
    logged = logged_matrix(report) if report else printed_matrix()
    apart = cells_that_do_not_follow(printed_matrix(), logged, 150)
    return RECORDS, columns, apart, imports, claims, choices, centring_effects(records_of(CENTRED, centred)), report


def test_the_numbers_by_hand(imports):
    parts = evidence(imports, report_of())
    _, columns, apart, _, claims, choices, pairs, _ = parts
    numbers = correlation_numbers(*parts)
    assert (numbers["pairs"], numbers["outside"]) == (14 * 13 / 2, len(apart))
    assert 0 < numbers["outside_rmse"] == sum("RMSE" in (row.one, row.other) for row in apart.itertuples())
    assert numbers["men_printed"] == 0.010
    for source, method in product(("log", "released", "holdout"), ("pearson", "spearman")):
        row = columns[method].loc["MeN"]
        for end in ("", "low", "high"):
            found = numbers["_".join(filter(None, ["men", source, method, end]))]
            assert found == row[" ".join(filter(None, [source, end]))]
    mains, two, _ = imports["holdout"]
    assert numbers["main1_holdout_factor"] == "MeN"
    assert numbers["main2_holdout_factor"] == mains["factor"].iloc[1]
    assert numbers["main1_holdout"] == 100 * mains["share"].iloc[0]
    assert (numbers["main3_holdout_low"], numbers["main3_holdout_high"]) == tuple(
        100 * mains.loc[mains.index[2], ["low", "high"]]
    )
    assert numbers["chance_holdout"] == 100 * mains["noise"].iloc[0]
    assert (numbers["above_holdout"], numbers["factors_holdout"]) == ((mains["share"] > mains["noise"]).sum(), 21)
    assert numbers["pair_holdout"] == f"{two['one'].iloc[0]} with {two['other'].iloc[0]}"
    assert numbers["pair_share_holdout"] == 100 * two["share"].iloc[0]
    made = [k for k in range(150) if planted(k, "holdout") != "skipped"]
    assert (numbers["n_holdout"], numbers["skipped_holdout"]) == (len(made), 150 - len(made))
    assert numbers["highest_released"] == max(ended_well().values())
    men = claims["released"].set_index("key").loc["men"]
    assert [numbers[f"men_released{end}"] for end in ("", "_low", "_high", "_p")] == men[
        ["effect", "low", "high", "p"]
    ].tolist()
    share, low, high, n, p = choices["holdout", "optimizer", "[1, 0]"]
    found = [numbers[f"optimizer_item_holdout{end}"] for end in ("", "_low", "_high", "_n", "_p")]
    assert found == [100 * share, 100 * low, 100 * high, n, p]
    assert numbers["activation_user_released_n"] == choices["released", "activation", "[0, 1]"][3]
    row = pairs[(pairs["protocol"] == "holdout") & (pairs["against"] == "not centred")].iloc[0]
    found = [numbers[f"not_holdout{end}"] for end in ("", "_low", "_high", "_n", "_better", "_p")]
    assert found == row[["change", "low", "high", "n", "better", "p"]].tolist()


def test_the_sentences_about_the_log(imports):
    report = report_of()
    numbers = correlation_numbers(*evidence(imports, report))
    assert (numbers["rows"], numbers["singles"], numbers["randoms"]) == (150, 40, 110)
    highest = 150**2 / 900
    assert numbers["highest_log"] == highest
    assert numbers["log_outliers"].startswith(
        f"The log's largest RMSE is {highest:.1f}. The largest of the fresh sample"
    )
    r = logged_matrix(report).loc["MeN", "RMSE"]
    assert f"correlation of mean normalization with RMSE is {r:.2f} (95 % interval" in numbers["log_short"]
    assert numbers["log_short"].endswith("where Figure 4 prints 0.01")
    assert numbers["log_cells"].startswith(f"Of the 91 cells of Figure 4, {numbers['outside']} lie outside")
    assert "the log of 150 runs has" in numbers["log_cells"]
    assert numbers["strongest"] == "DrP with Ep"
    assert "is that of DrP with Ep (-0.38)" in numbers["log_design"]
    assert numbers["log_design"].startswith("40 of the 150 logged rows differ from one default setting")
    assert numbers["printed_like_log"] == cells_agreement(printed_matrix(), logged_matrix(report))
    assert numbers["design_like_log"] == cells_agreement(mixed_design(110, 40), logged_matrix(report))
    assert numbers["random_like_log"] == cells_agreement(mixed_design(150, 0), logged_matrix(report))
    for name in ("log_short", "log_cells", "log_design", "log_outliers"):
        assert not re.search(r"[{}\n]|  ", numbers[name])


def test_every_number_of_the_chapters_text_is_there_with_and_without_the_log(imports):
    for report in (None, report_of()):
        numbers = correlation_numbers(*evidence(imports, report))
        assert not_told("05_correlation", numbers) == set()
        assert ("made without the authors' log" in numbers["log_design"]) == (report is None)
    assert correlation_numbers(*evidence(imports))["outside"] == 0
