"""The chapter on the sweep: its tables and numbers, on records made by hand."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from conftest import SMALL, not_told
from drawings import lines
from flexstudy.repetitions import find_report
from flexstudy.replay import CLOSEST, LOG_COLUMNS, LOW_TRAITS, read_authors_records, summarise_authors
from flexstudy.style import COLOURS
from flexstudy.sweep import (
    Evidence,
    agreement_table,
    common_curves,
    count_runs,
    find_evidence,
    gap_table,
    log_numbers,
    log_table,
    plot_agreement,
    plot_rmse_distributions,
    protocol_gaps,
    report_table,
    sweep_numbers,
)

from flexlib.config import PAPERS_DATASET, FlexConfig
from flexlib.runs.plan import Plan
from flexlib.runs.records import blank_record, config_of, save_records, to_table

# run: item-based, mean normalization, then status and RMSE as released and on held-out ratings
RUNS = [
    (True, True, "ok", 0.8, "ok", 0.9),
    (True, True, "ok", 0.9, "ok", 0.95),
    (True, False, "ok", 1.2, "ok", 1.2),
    (True, False, "diverged", None, "ok", 1.1),
    (False, True, "ok", 0.95, "ok", 0.99),
    (False, True, "skipped", None, "skipped", None),
]


@pytest.fixture
def fresh():
    configs = [
        FlexConfig(pivot_indexes=[1, 0] if item else [0, 1], mean_normalization=centred) for item, centred, *_ in RUNS
    ]
    plan = Plan.replay(SMALL, ["released", "holdout"], configs)
    ratings, records = plan.load(), []
    for run, (_, _, *ends) in enumerate(RUNS):
        for protocol, status, rmse in (("released", *ends[:2]), ("holdout", *ends[2:])):
            seconds = None if status == "skipped" else 2.0 + run
            blank = blank_record(plan.run(run, protocol, 2.0), ratings, status)
            measured = {"rmse": rmse, "mae": rmse, "seconds": seconds, "device": "cpu"}
            records.append({"run": run} | blank | measured)
    return to_table(records, "run")


def test_runs_are_counted_with_none_left_out(fresh):
    table = count_runs(Evidence(fresh)).set_index(["protocol", "pivot"])
    assert table["runs"].tolist() == [2, 4, 2, 4]
    released = table.loc["released", "item-based"]
    assert released[["ok", "diverged", "failed", "skipped"]].tolist() == [3, 1, 0, 0]
    assert released[["lowest", "median", "highest"]].tolist() == [0.8, 0.9, 1.2]
    assert released["below_1"] == 2 / 4  # of those made, the diverged one too
    assert table.loc["holdout", "user-based"]["below_1"] == 1.0  # the skipped one was not made


def test_curves_are_of_settings_made_under_both_protocols(fresh):
    curves = {(curve.protocol, curve.pivot): curve for curve in common_curves(Evidence(fresh))}
    assert curves["released", "item-based"].rmse.tolist() == [0.8, 0.9, 1.2]
    assert curves["released", "item-based"].n == 4  # the diverged one too
    assert [curves["released", "item-based"].quantile(share) for share in (0.25, 0.26, 0.75, 0.9)] == [
        0.8,
        0.9,
        1.2,
        math.inf,
    ]
    assert curves["released", "user-based"].n == 1
    only_leaky = fresh["status"].where((fresh["run"] != 1) | (fresh["protocol"] == "released"), "skipped")
    fewer = {
        (curve.source, curve.protocol, curve.pivot): curve.rmse.tolist()
        for curve in common_curves(Evidence(fresh.assign(status=only_leaky), fresh.rename(columns={"run": "record"})))
    }
    assert fewer["fresh sample", "released", "item-based"] == [0.8, 1.2]
    assert fewer["replay", "released", "item-based"] == [0.8, 0.9, 1.2]


def test_gaps_are_paired_by_run(fresh):
    gaps = protocol_gaps(fresh)
    assert gaps["run"].tolist() == [0, 1, 2, 4]
    np.testing.assert_allclose(gaps["gap"], [-0.1, -0.05, 0.0, -0.04])
    assert gaps["mean_normalization"].tolist() == [True, True, False, True]
    assert gaps["pivot"].tolist() == ["item-based"] * 3 + ["user-based"]


def test_the_numbers_by_hand(fresh):
    numbers = sweep_numbers(Evidence(fresh))
    assert (numbers["runs_released"], numbers["made_released"], numbers["skipped_released"]) == (6, 5, 1)
    assert numbers["diverged_released"] == 1
    # 0.8, 0.9, 0.95, 1.2 as released, whose quartiles are 0.875 and 1.0125
    assert numbers["middle_half_released"] == pytest.approx(0.1375)
    assert numbers["middle_half_holdout"] == pytest.approx(1.1 - 0.95)
    assert (numbers["worth_item"], numbers["worth_user"]) == pytest.approx(((0.1 + 0.05) / 2, 0.04))
    assert gap_table(fresh)["n"].tolist() == [1, 2, 1]
    assert gap_table(fresh)["median without PrR"].tolist() == gap_table(fresh)["median"].tolist()  # no run rounds
    table = gap_table(fresh.assign(prediction_rounding=fresh["run"].isin([1, 2])))
    np.testing.assert_allclose(table["median without PrR"], [np.nan, -0.1, -0.04])
    assert numbers["replay_lost"] == numbers["replay_published"] == ""
    assert "without the authors' log" in numbers["replay_answer"]


def report_of():
    close = {
        "n": 3,
        "spearman": 0.97,
        "low": 0.9,
        "high": 0.99,
        "median": 0.01,
        "median_low": 0.008,
        "median_high": 0.02,
        "p90": 0.2,
    }
    pivot = {"n": 11, "different": 10, "below_1": 3, "rmse_quantiles": np.linspace(0.83, 2.83, 201).tolist()}
    counts = {"optimizer": {'"adam"': 700, '"sgd"': 373}, "epochs": dict.fromkeys(["1", "2", "4", "8", "10"], 200)}
    parts = ["all", "with mean normalization, without re-feeding", "settings that the authors ran again"]
    groups = dict.fromkeys(parts, close)
    return {
        "diverged_last": 0.9,
        "agreement": {CLOSEST: groups, "released": groups},
        "lost_runs": {
            "0": {"record": 5, "published": 1.49, "rmse_of_diverged": 1.48},
            "1": {"record": 7, "published": 0.9, "rmse_of_diverged": None},
        },
        "authors_repeats": {"n": 7, "spearman": 0.95, "median": 0.02, "p90": 0.3},
        "authors": {
            "rows": 1073,
            "hours": 51.44,
            "repeated_rows": 121,
            "one_at_a_time": 500,
            "distinct_settings": 600,
            "low_users": [True, False, True],
            "user_band": {
                "n": 5,
                "optimizer": {'"adam"': 3, '"sgd"': 2},
                "activation": {'"elu"': 3, '"selu"': 2},
                "dense_refeeding": {"1": 2, "0": 2, "2": 1},
                "mean_normalization": {"false": 5},
            },
            "counts": counts | {"output_activation": {"true": 600, "false": 473}},
            "random_counts": counts,
            "lowest": 0.8335,
            "highest": 2.83,
            "pivots": {"user": pivot | {"n": 12, "different": 9}, "item": pivot},
        },
        "seconds": {"ours": 1800.0, "authors": 7200.0},
    }


def test_evidence_is_read_with_its_replay(fresh, tmp_path, refused):
    save_records(fresh, tmp_path / "sweep-here-paper-seed0.parquet")
    assert find_evidence("here", tmp_path).report is None
    path = tmp_path / "replay-here-seed0.parquet"
    save_records(fresh.rename(columns={"run": "record"}), path)
    refused(lambda: find_evidence("here", tmp_path), "replay-here-seed0.json", "no such file")
    path.with_suffix(".json").write_text("{")
    refused(lambda: find_evidence("here", tmp_path), "replay-here-seed0.json", "cannot be read")
    path.with_suffix(".json").write_text(json.dumps(report_of()))
    evidence = find_evidence("here", tmp_path)
    numbers = sweep_numbers(evidence)
    assert numbers["replay_answer"].startswith("Made again, 3 of the authors' 1,073 logged runs end well. They agree")
    assert numbers["replay_answer"].endswith("at a rank correlation of 0.97.")
    assert numbers["replay_short"].startswith(
        "3 of the authors' 1,073 logged runs made again (Spearman correlation 0.970"
    )
    assert "two runs differ by 0.020, and ours from theirs by 0.010" in numbers["replay_close"]
    assert numbers["replay_padded"].startswith("Of the runs compared, 0 re-feed")
    wider = {name: known | {"n": 9} for name, known in report_of()["agreement"]["released"].items()}
    padded = report_of() | {"agreement": report_of()["agreement"] | {"released": wider, "released-padded": wider}}
    told = sweep_numbers(Evidence(evidence.fresh, evidence.replay, padded))
    assert told["replay_answer"] == numbers["replay_answer"]
    assert told["replay_padded"].startswith("Of the runs compared, 9 re-feed")
    assert numbers["replay_published"] == "Its log of 1,073 rows, 952 of them different, has every parameter."
    assert [numbers[f"log_{name}"] for name in ("rows", "repeated", "different")] == [1073, 121, 952]
    names = ("user", "item", "user_different", "item_different", "lowest", "highest", "hours")
    assert [numbers[f"log_{name}"] for name in names] == [12, 11, 9, 10, 0.8335, 2.83, 51.44]
    assert (numbers["log_designed_rows"], numbers["log_random_rows"]) == (500, 573)
    assert numbers["log_combinations_log10"] == pytest.approx(1)  # two optimizers times five numbers of epochs
    # ADAM is the most common one there, one re-feeding as common as none; SELU is outnumbered, and MeN never on.
    names = ("n", "adam", "selu", "refeeding", "men", "modes")
    assert [numbers[f"user_band_{name}"] for name in names] == [5, 3, 2, 2, 0, 2]
    assert "1,073 rows, 500 differ from one default setting" in numbers["replay_log"]
    table = log_table(evidence)
    assert table.loc["runs"].tolist() == ["1,073, of which 121 repeat another, result included", "over 1,000"]
    assert table["the authors' log"].tolist()[1:] == [
        "12, 9 of them different",
        "11, 10 of them different",
        "0.8335 to 2.8300",
        "51.4",
        "500",
        "10 to the power of 1.0",
        "5",
        "3, 2, 2, 0",
    ]
    assert log_table(Evidence(fresh)).empty
    none = report_of()["authors"]["user_band"] | {"n": 0} | {name: {} for name in LOW_TRAITS}
    empty = log_numbers(report_of() | {"authors": report_of()["authors"] | {"user_band": none}})
    assert (empty["user_band_n"], empty["user_band_adam"]) == (0, 0)
    assert np.isnan(empty["user_band_modes"])
    absent = log_numbers(None)
    assert absent.keys() == empty.keys()
    assert np.isnan(list(absent.values())).all()
    assert numbers["replay_lost"].startswith("Of the log's runs, 1 were too costly to make, and 2 diverged.")
    assert numbers["replay_lost"].endswith("to 0.90; 1 of them had diverged in the log too.")
    assert agreement_table(evidence).loc["released"].index.tolist() == list(report_of()["agreement"]["released"])
    assert agreement_table(Evidence(fresh)).empty
    assert report_table(evidence, "lost_runs").to_numpy().tolist() == [[1.49, 1.48], [0.9, ""]]
    assert report_table(Evidence(fresh), "lost_runs").empty
    table = count_runs(evidence)
    assert table["source"].tolist() == ["the paper's log"] * 2 + ["replay"] * 4 + ["fresh sample"] * 4
    # Of the log's rows, counted; its quantiles, 17 of 201 of which are below 1, do not matter.
    assert table["below_1"].tolist()[:2] == [3 / 12, 3 / 11]
    refused(lambda: find_evidence("elsewhere", tmp_path), "sweep-elsewhere-paper-seed0.parquet", "no such file")


def test_the_committed_report_has_what_the_log_counts(authors_records):
    """The share below 1 star is that of the rows themselves, 0.237 and 0.332."""
    folder = Path(__file__).parents[1] / "results" / "records"
    report = find_report(PAPERS_DATASET, folder)
    configs, authors = read_authors_records(authors_records)
    assert report["authors"] == json.loads(json.dumps(summarise_authors(configs, authors)))
    rows = {name: sum(c.item_based == (name == "item") for c in configs) for name in ("user", "item")}
    shares = {name: report["authors"]["pivots"][name]["below_1"] / n for name, n in rows.items()}
    assert shares == pytest.approx({"user": 0.2372, "item": 0.3323}, abs=5e-5)
    numbers, different = log_numbers(report), {}
    for config in configs:
        for name, value in config.to_dict().items():
            if name in LOG_COLUMNS and name not in ("output_activation", "loss_size_average"):
                different.setdefault(name, set()).add(str(value))
    assert len(different) == 17
    assert numbers["log_combinations_log10"] == pytest.approx(math.log10(math.prod(map(len, different.values()))))
    assert [numbers[f"user_band_{name}"] for name in ("n", "adam", "selu", "refeeding", "men", "modes")] == [
        8,
        7,
        8,
        7,
        8,
        4,
    ]


def test_a_sample_made_on_the_spot_is_the_sweeps():
    evidence = find_evidence(SMALL, runs=3, max_seconds=0.01, device="cpu", seed=7)
    assert len(evidence.fresh) == 6
    assert {"ok", "skipped"} <= set(evidence.fresh["status"])
    plan = Plan.sweep(SMALL, ["released"], 3, 7)
    assert [config_of(row) for _, row in evidence.fresh[::2].iterrows()] == list(plan.configs)


@pytest.mark.usefixtures("drawn")
def test_figures_are_drawn_of_all_and_of_little(fresh):
    everything = Evidence(fresh, fresh.rename(columns={"run": "record"}), report_of())
    only_skipped = Evidence(fresh[fresh["status"] == "skipped"])
    for evidence, n_lines in ((everything, 4), (Evidence(fresh), 2), (only_skipped, 0)):
        items, users = plot_rmse_distributions(common_curves(evidence), "here").axes
        assert [len(ax.get_lines()) for ax in (items, users)] == [n_lines] * 2
    items, users = plot_rmse_distributions(common_curves(Evidence(fresh)), "here").axes
    (leaky,) = lines(items, "fresh sample, leaky")
    assert leaky.get_xydata().tolist() == [[0.8, 0.0], [0.8, 0.25], [0.9, 0.5], [1.2, 0.75]]
    assert (leaky.get_color(), leaky.get_linestyle()) == (COLOURS["released"], "-")
    title = "item-based (fresh sample 4)\nfresh: a quarter is below 0.80 (leaky) and 0.90 (leak-free)"
    assert items.get_title(loc="left") == title
    assert [text.get_text() for text in items.texts] == ["leaky", "leak-free"]
    assert users.get_xlim() == items.get_xlim() == pytest.approx((0.75, 4))
    drawn = plot_agreement(report_of() | {"map": {"edges": [0.8, 1, 2], "counts": [[1, 0], [2, 3]]}}, "here").axes[0]
    assert drawn.get_title(loc="left").startswith("6 runs made again: rank correlation 0.97\n")


def test_every_number_of_the_chapters_text_is_there(fresh):
    replayed = Evidence(fresh, fresh.rename(columns={"run": "record"}), report_of())
    for evidence in (replayed, Evidence(fresh)):
        assert not_told("02_sweep", sweep_numbers(evidence)) == set()
