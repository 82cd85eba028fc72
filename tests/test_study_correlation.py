"""The chapter on parameters: matrices of correlations, columns of RMSE and the chapter's numbers, on planted data."""

import json
import math
import re
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from conftest import not_told
from flexstudy import correlation
from flexstudy.correlation import (
    cells_agreement,
    cells_that_do_not_follow,
    correlation_numbers,
    list_cells,
    logged_matrix,
    lowest_user_based,
    measured_matrix,
    mixed_design,
    printed_matrix,
    rmse_columns,
    strongest_pairs,
)
from flexstudy.importance import importance_numbers
from flexstudy.paper import FIGURE_4
from flexstudy.parameter_claims import check_claims, count_learned, parameter_claim_numbers
from flexstudy.replay import summarise_authors
from planted import CONFIGS, RATINGS, RECORDS, as_scored, ended_well, importances
from scipy import stats

from flexlib.config import FlexConfig


def test_figure_4_is_symmetric_with_ones_on_its_diagonal():
    matrix = printed_matrix()
    assert matrix.shape == (14, 14)
    assert matrix.index.tolist() == matrix.columns.tolist()
    assert matrix.index[-1] == "RMSE"
    assert matrix.equals(matrix.T)
    assert np.diag(matrix).tolist() == [1] * 14
    assert matrix.to_numpy()[np.triu_indices(14, 1)].tolist() == [r for row in FIGURE_4["upper"].values() for r in row]


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


def test_columns_of_correlations_are_over_runs_that_ended_well_and_ranks_over_all_that_were_made():
    report, replay = report_of(), RECORDS.assign(rmse=RECORDS["rmse"] ** 2, rmse_of_diverged=np.nan)
    tables = rmse_columns(RECORDS, replay, report, resamples=40)
    ours = ["replay", "released", "holdout"]
    spans = [f"{name}{end}" for name in ours for end in ("", " low", " high")]
    assert tables["pearson"].columns.tolist() == ["paper", "log"]
    assert tables["spearman"].columns.tolist() == ["log", *spans]
    assert tables["pearson"]["paper"].to_dict() == printed_matrix()["RMSE"].drop("RMSE").to_dict()
    for method, table in tables.items():
        assert table.index.tolist() == FIGURE_4["order"][:-1]
        assert table["log"].to_dict() == logged_matrix(report, method)["RMSE"].drop("RMSE").to_dict()
    for name, made in {
        "released": as_scored("released"),
        "holdout": as_scored("holdout"),
        "replay": {k: ended_well().get(k, math.inf) ** 2 for k in as_scored("released")},
    }.items():
        for short in ("MeN", "LR", "TSR"):
            values = [float(by_abbreviation(CONFIGS[k])[short]) for k in made]
            r, low, high = tables["spearman"].loc[short, [name, f"{name} low", f"{name} high"]]
            assert r == pytest.approx(stats.spearmanr(values, list(made.values())).statistic)
            # About as wide as Fisher's.
            half = 1.96 / math.sqrt(len(made) - 3)
            assert [low, high] == pytest.approx([math.tanh(math.atanh(r) + side) for side in (-half, half)], abs=0.15)
    assert rmse_columns(RECORDS, resamples=5)["spearman"].columns.tolist() == spans[3:]


@pytest.fixture(scope="module")
def evidence():
    """What the chapter hands to `correlation_numbers`, with a report or without."""

    def made(report=None):
        logged = logged_matrix(report) if report else printed_matrix()
        apart = cells_that_do_not_follow(printed_matrix(), logged)
        columns = rmse_columns(RECORDS, report=report, resamples=5)
        return columns, apart, importances(), report

    return made


def test_the_numbers_by_hand(evidence):
    parts = evidence(report_of())
    columns, apart, _, _ = parts
    numbers = correlation_numbers(*parts)
    assert (numbers["pairs"], numbers["outside"]) == (14 * 13 / 2, len(apart))
    assert 0 < numbers["outside_rmse"] == sum("RMSE" in (row.one, row.other) for row in apart.itertuples())
    assert numbers["men_printed"] == 0.010
    assert numbers["men_log_pearson"] == columns["pearson"].loc["MeN", "log"]
    for source in ("released", "holdout"):
        assert numbers[f"men_{source}"] == columns["spearman"].loc["MeN", source]
    assert numbers["men_released_low"] == columns["spearman"].loc["MeN", "released low"]
    assert numbers["men_holdout_high"] == columns["spearman"].loc["MeN", "holdout high"]
    assert numbers.items() >= importance_numbers(importances()).items()


def test_the_printed_column_of_rmse_is_held_against_the_log(evidence):
    report = report_of()
    numbers = correlation_numbers(*evidence(report))
    off = {name: abs(printed_matrix().loc[name, "RMSE"] - r) for name, r in logged_matrix(report)["RMSE"].items()}
    worst = max((name for name in off if name != "RMSE" and not math.isnan(off[name])), key=off.get)
    assert (numbers["figure4_rmse_off_name"], numbers["figure4_rmse_off"]) == (worst, off[worst])
    assert off[worst] > 0.1
    without = correlation_numbers(*evidence())
    assert math.isnan(without["figure4_rmse_off"])
    assert without["figure4_rmse_off_name"] == ""


def test_the_sentences_about_the_log(evidence):
    report = report_of()
    numbers = correlation_numbers(*evidence(report))
    assert (numbers["rows"], numbers["singles"]) == (150, 40)
    r = logged_matrix(report).loc["MeN", "RMSE"]
    assert f"the authors' own log has a correlation of {r:.2f} with the RMSE, where" in numbers["log_short"]
    assert numbers["log_short"].endswith("where their Figure 4 prints 0.01")
    assert f"There {numbers['outside_rmse']} cells are off by more than 0.05." in numbers["log_cells"]
    assert numbers["strongest"] == "DrP with Ep"
    assert "the strongest pair of Figure 4 is dropout with epochs (-0.38)." in numbers["log_design"]
    assert numbers["log_design"].startswith("Of the 150 logged rows, 40 differ from one default setting")
    assert numbers["printed_like_log"] == cells_agreement(printed_matrix(), logged_matrix(report))
    assert numbers["design_like_log"] == cells_agreement(mixed_design(110, 40), logged_matrix(report))
    assert numbers["random_like_log"] == cells_agreement(mixed_design(150, 0), logged_matrix(report))
    for name in ("log_short", "log_cells", "log_design"):
        assert not re.search(r"[{}\n]|  ", numbers[name])


def test_every_number_of_the_chapters_text_is_there_with_and_without_the_log(evidence):
    claims = {name: check_claims(RECORDS, name, resamples=10) for name in importances()}
    told = parameter_claim_numbers(RECORDS, claims) | count_learned(RECORDS, RATINGS) | lowest_user_based(RECORDS)
    for report in (None, report_of()):
        numbers = correlation_numbers(*evidence(report)) | told
        assert not_told("05_correlation", numbers) == set()
        assert ("made without the authors' log" in numbers["log_design"]) == (report is None)
    assert correlation_numbers(*evidence())["outside"] == 0


def test_the_lowest_user_based_rmse_is_that_of_the_runs_that_ended_well():
    found = lowest_user_based(RECORDS)
    for protocol in ("released", "holdout"):
        own = [rmse for k, rmse in ended_well(protocol).items() if not CONFIGS[k].item_based]
        assert found[f"low_best_{protocol}"] == min(own)
        low = [k for k, rmse in ended_well(protocol).items() if not CONFIGS[k].item_based and rmse <= 0.91]
        assert found[f"low_n_{protocol}"] == len(low)
        assert found[f"low_men_{protocol}"] == sum(CONFIGS[k].mean_normalization for k in low)
        assert len(low) > 0
    none = lowest_user_based(RECORDS[RECORDS["pivot_indexes"] == "[1, 0]"])
    assert math.isnan(none["low_best_holdout"])
    assert none["low_n_holdout"] == 0
    assert math.isnan(none["low_men_released"])


def test_every_cell_of_figure_4_is_listed_with_that_of_each_set_of_runs():
    report = report_of()
    table = list_cells(RECORDS, RECORDS, report)
    assert len(table) == 14 * 13 / 2
    assert table.columns.tolist() == [look.words for look in correlation.SOURCES.values()]
    pair = ("MeN", "RMSE")
    known = [printed_matrix(), logged_matrix(report)]
    known += [measured_matrix(RECORDS, name)[0] for name in ("released", "released", "holdout")]
    assert table.loc[pair].tolist() == [matrix.loc[pair] for matrix in known]
    assert len(list_cells(RECORDS).columns) == 3
