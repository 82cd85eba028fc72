"""The authors' runs again: reading their table, and measures of agreement, by hand."""

import json

import numpy as np
import pandas as pd
import pytest
from conftest import SMALL
from flexstudy import replay
from flexstudy.__main__ import main
from flexstudy.replay import (
    CLOSEST,
    LOG_COLUMNS,
    SAME_ROWS,
    agreement,
    agreement_map,
    authors_repeats,
    closest_runs,
    clustered_interval,
    compare_replay,
    disagreements,
    diverged_last,
    lost_runs,
    read_authors_records,
    replay_report,
    summarise_authors,
)

from flexlib.config import PRESETS, TABLE2_RMSE, FlexConfig
from flexlib.data import split_ratings
from flexlib.runs.plan import Plan
from flexlib.runs.records import load_records, to_table
from flexlib.runs.run import run_one
from flexlib.runs.sampling import run_seed

HEADER = [*LOG_COLUMNS.values(), "_RMSE", "_learn_time", "1m"]
ROW = {
    "mp_learning_rate": "0.01",
    "mp_weight_decay": "0",
    "mp_drop_prob": "0.6",
    "mp_noise_prob": "0.8",
    "mp_train_batch_size": "8",
    "mp_test_masking_rate": "0.3",
    "mp_num_epochs": "1",
    "mp_optimizer": "adagrad",
    "mp_activation": "tanh",
    "mp_hidden_layers": "[6, 4]",
    "mp_aug_step": "0",
    "mp_aug_step_floor": "FALSE",
    "mp_decoder_constraint": "TRUE",
    "mp_normalize_data": "TRUE",
    "mp_last_layer_activations": "TRUE",
    "mp_prediction_floor": "FALSE",
    "mp_loss_size_average": "TRUE",
    "dp_test_split_rate": "0.3",
    "dp_pivot_indexes": "[1, 0]",
    "_RMSE": "0.9",
    "_learn_time": "150.5",
    "1m": "",
}


@pytest.fixture
def authors_file(tmp_path):
    """A table of three runs in the authors' layout; returns a function that writes it with changes to its last row."""

    def write(**changes):
        rows = [ROW, ROW | {"mp_hidden_layers": "4", "dp_pivot_indexes": "[0, 1]", "_RMSE": "1.1", "1m": "0.95"}]
        pd.DataFrame([*rows, ROW | changes])[HEADER].to_csv(tmp_path / "runs.csv", index=False)
        return tmp_path / "runs.csv"

    return write


def test_the_authors_layout_is_read(authors_file):
    configs, authors = read_authors_records(authors_file())
    assert configs[0] == FlexConfig.preset("table2:1").replace(hidden_layers=[6, 4], epochs=1)
    assert (configs[1].hidden_layers, configs[1].item_based) == ((4,), False)
    assert authors["record"].tolist() == [0, 1, 2]
    assert authors["published"].tolist() == [0.9, 1.1, 0.9]
    assert authors["seconds"].tolist() == [150.5] * 3
    assert authors["published_1m"].fillna(0).tolist() == [0, 0.95, 0]
    assert authors["repeated"].tolist() == [False] * 3  # the first and the last are one run, logged twice


@pytest.mark.parametrize(
    ("changes", "pieces"),
    [
        ({"mp_activation": "sine"}, ["runs.csv, line 4", "activation (Act)", "'sine'"]),
        ({"mp_num_epochs": "-1"}, ["line 4", "epochs (Ep)", "-1"]),
        ({"_RMSE": "low"}, ["line 4", "_RMSE", "'low'"]),
    ],
)
def test_a_row_that_is_off_is_refused_by_line(authors_file, refused, changes, pieces):
    path = authors_file(**changes)
    refused(lambda: read_authors_records(path), *pieces)


def test_a_table_that_is_not_theirs_is_refused(tmp_path, refused):
    refused(lambda: read_authors_records(tmp_path / "no.csv"), "no.csv", "cannot be read")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    refused(lambda: read_authors_records(tmp_path / "other.csv"), "other.csv", "no column 'mp_learning_rate'")
    (tmp_path / "empty.csv").write_text(",".join(HEADER) + "\n")
    refused(lambda: read_authors_records(tmp_path / "empty.csv"), "empty.csv", "no rows")


def test_the_authors_first_ten_rows_are_table_2(authors_records):
    configs, authors = read_authors_records(authors_records)
    assert (len(configs), sum(config.item_based for config in configs)) == (1073, 331)
    named = [name for name in PRESETS if name.startswith("table2:")]
    assert [config.to_dict() for config in configs[:10]] == [FlexConfig.preset(name).to_dict() for name in named]
    np.testing.assert_allclose(authors["published"][:10], [TABLE2_RMSE[name] for name in named], atol=1e-3)
    summary = summarise_authors(configs, authors)
    assert (summary["rows"], summary["repeated_rows"]) == (1073, 121)
    assert summary["hours"] == pytest.approx(51.4, abs=0.05)
    assert summary["pivots"]["item"]["rmse_quantiles"][0] == pytest.approx(0.833, abs=1e-3)
    assert max(summary["pivots"][pivot]["rmse_quantiles"][-1] for pivot in ("user", "item")) == pytest.approx(
        11.06, abs=0.01
    )
    assert summary["counts"]["hidden_layers"]["[128]"] == 399 + 15  # a list in the one, a bare number in the other
    default = FlexConfig().to_dict()
    apart = [sum(value != default[name] for name, value in config.to_dict().items()) for config in configs]
    assert summary["one_at_a_time"] == sum(differing <= 1 for differing in apart) > 300
    named = [
        (c.optimizer, c.activation, c.dense_refeeding, c.mean_normalization) == ("adam", "selu", 1, True)
        for c, rmse in zip(configs, authors["published"], strict=True)
        if not c.item_based and rmse <= 0.91
    ]
    assert named == [True] * 5
    assert summary["low_users"] == [True] * 3  # two are copies
    table = pd.read_csv(authors_records, dtype=str, keep_default_na=False)
    rmse, is_item = table["_RMSE"].astype(float), table["dp_pivot_indexes"] == "[1, 0]"
    once = ~table.drop(columns=["server", "mp_test_batch_size", "_learn_time", "1m"]).duplicated()
    for pivot, own in (("user", ~is_item), ("item", is_item)):
        assert summary["pivots"][pivot]["below_1"] == (rmse[own] < 1).sum()
        assert summary["pivots"][pivot]["different"] == (own & once).sum()
    assert [summary["pivots"][pivot]["below_1"] for pivot in ("user", "item")] == [176, 110]
    assert (summary["lowest"], summary["highest"]) == (rmse.min(), rmse.max())
    band = table[~is_item & once & (rmse.round(2).isin([0.9, 0.91]))]
    assert summary["user_band"]["n"] == len(band) == 8
    assert summary["user_band"]["optimizer"]['"adam"'] == (band["mp_optimizer"] == "adam").sum() == 7
    assert summary["user_band"]["mean_normalization"] == {"true": (band["mp_normalize_data"] == "TRUE").sum()}
    assert {sum(counts.values()) for counts in summary["random_counts"].values()} == {638}
    varied = [config for config, differing in zip(configs, apart, strict=True) if differing > 1]
    assert summary["random_counts"]["pivot_indexes"]["[1, 0]"] == sum(config.item_based for config in varied)
    assert summary["random_counts"]["hidden_layers"]["[128]"] == sum(c.hidden_layers == (128,) for c in varied)
    json.dumps(summary)  # plain values


@pytest.fixture
def compared():
    """Six runs of hand-chosen RMSE, and recorded ones."""
    ours = [1.0, 1.2, 1.5, 2.0, 3.0, 1.1]
    configs = [
        FlexConfig(epochs=1, hidden_layers=(4,), dense_refeeding=k % 2, mean_normalization=k < 4) for k in range(6)
    ]
    plan = Plan.replay(SMALL, ["released"], configs)
    ratings = plan.load()
    model = run_one(plan.run(0, "released"), ratings)
    records = [
        model | {"record": k, "rmse": rmse, "dense_refeeding": k % 2, "mean_normalization": k < 4}
        for k, rmse in enumerate(ours)
    ]
    records[5] |= {"status": "diverged", "rmse": None, "rmse_of_diverged": 1.4}
    authors = pd.DataFrame(
        {
            "record": range(6),
            "published": [1.01, 1.18, 1.5, 2.6, 2.0, 1.41],
            "seconds": 9.0,
            "published_1m": np.nan,
            "repeated": [True, True, True, False, False, False],
        }
    )
    table = to_table(records, "record")
    return table, authors, compare_replay(table, authors, "released"), plan


def test_agreement_by_hand(compared):
    table = compared[2]
    assert table["record"].tolist() == [0, 1, 2, 3, 4]  # the diverged one has no RMSE to compare
    np.testing.assert_allclose(table["gap"], [-0.01, 0.02, 0.0, -0.6, 1.0])
    result = agreement(table)
    # Ranks 1 2 3 4 5 against 1 2 3 5 4: two neighbours swapped, 1 - 6 * 2 / (5 * 24)
    assert result.loc["all", "spearman"] == pytest.approx(0.9)
    assert result.loc["all", "median"] == pytest.approx(0.02)
    assert 0.0 <= result.loc["all", "median_low"] <= 0.02 <= result.loc["all", "median_high"] <= 1.0
    assert result.loc["all", "p90"] == pytest.approx(0.6 + 0.6 * 0.4)  # between the 4th and the 5th of 5
    assert result["n"].to_dict() == {
        "all": 5,
        "user-based": 5,
        "item-based": 0,
        "with mean normalization": 4,
        "without mean normalization": 1,
        "without re-feeding": 3,
        "with re-feeding": 2,
        "with mean normalization, without re-feeding": 2,
        "settings that the authors ran again": 3,
    }


def test_runs_of_one_setting_are_drawn_together_by_hand():
    """One setting has 90 % of the runs, all alike: drawn run by run, the mean would hardly move."""
    clusters = ["many"] * 18 + ["one", "two"]
    values = [1.0] * 18 + [2.0, 6.0]
    mean, low, high = clustered_interval(np.mean, clusters, values, resamples=4000)
    assert mean == pytest.approx(26 / 20)
    # Of the 27 equal draws of three clusters, one is of the many alone and one of the second alone: 3.7 % each.
    assert (low, high) == (1.0, 6.0)
    assert clustered_interval(np.mean, [1, 1, 2], [1.0, 2.0, 3.0])[0] == 2
    assert np.isnan(clustered_interval(np.mean, [1, 1, 2], [1.0, 2.0, 3.0])[1:]).all()
    assert np.isnan(clustered_interval(np.mean, [], [])).all()


def test_agreement_of_settings_is_that_of_their_medians(compared):
    table = compared[2].assign(epochs=[1, 1, 1, 2, 3], dense_refeeding=0, mean_normalization=True)
    result = agreement(table).loc["all"]
    assert (result["n"], result["settings"]) == (5, 3)
    # Medians 1.18, 2.6 and 2.0 against 1.2, 2.0 and 3.0: two of three change places
    assert result["by_setting"] == pytest.approx(0.5)
    assert result["spearman"] == pytest.approx(0.9)
    assert result["by_setting_low"] <= 0.5 <= result["by_setting_high"]


def test_the_authors_own_repeats_by_hand():
    configs = [FlexConfig(epochs=epochs) for epochs in (1, 1, 2, 1, 2, 3, 1)]
    authors = pd.DataFrame({"published": [1.0, 1.2, 2.0, 1.5, 2.5, 4.0, 1.2]})
    # Epochs 1: 1.0, 1.2, 1.5 (the second 1.2 is the first, logged twice), of which one random pair is drawn: 0.2, 0.5
    # or 0.3 apart; epochs 2: 2.0, 2.5; epochs 3: alone
    repeats = authors_repeats(configs, authors, shuffles=600)
    assert repeats["n"] == 2
    assert repeats["median"] == pytest.approx(((0.2 + 0.5 + 0.3) / 3 + 0.5) / 2, abs=0.01)


def test_sorting_the_log_makes_its_repeats_agree_no_better():
    rng = np.random.default_rng(1)
    configs = [FlexConfig(epochs=epochs) for epochs in np.repeat([1, 2, 3, 4], 50).tolist()]
    noise = pd.DataFrame({"published": rng.normal(1, 0.1, 200)})  # the setting tells nothing
    order = np.argsort(noise["published"].to_numpy())
    repeats = authors_repeats([configs[k] for k in order], noise.iloc[order].reset_index(drop=True), shuffles=50)
    assert abs(repeats["spearman"]) < 0.15
    assert repeats["median"] == pytest.approx(0.1 * 2**0.5 * 0.674, rel=0.2)  # of the difference of two normal draws


def test_disagreements_come_with_the_evidence(compared, monkeypatch):
    _, _, table, plan = compared
    made = []

    def run(run, ratings, device):
        made.append((run.seed, run.number, run.protocol))
        if run.protocol == "released-padded":
            return {"rmse": 2.1 if run.number == 4 else None}
        return {"rmse": {4: 3.1, 3: None if run.seed == run_seed(2, 3) else 2.0, 1: 1.201}[run.number]}

    monkeypatch.setattr(replay, "run_one", run)
    worst = disagreements(table, plan, 0, n=3)
    assert worst["record"].tolist() == [4, 3, 1]
    assert worst["reason"].tolist() == ["padding", "chaotic", "not explained"]
    assert set(made) == {(run_seed(seed, k), k, "released") for seed in (1, 2) for k in (4, 3, 1)} | {
        (run_seed(0, k), k, "released-padded") for k in (4, 3, 1)
    }
    assert np.isinf(worst["again_2"][1])  # it diverges under another seed
    stars = plan.load().values[split_ratings(plan.load(), 0.3, int(table["seed"][0])).test]
    constant = np.sqrt(np.mean((stars - 2.5) ** 2))
    rounded = table.assign(prediction_rounding=True, published=constant, gap=table["rmse"] - constant)
    assert disagreements(rounded, plan, 0, n=1, max_seconds=0)["reason"].tolist() == ["NaN handling"]
    made.clear()
    assert disagreements(table, plan, 0, n=1, max_seconds=0)["reason"].tolist() == ["too costly to rerun"]
    assert made == []


def test_rows_lost_here_and_kept_there(compared, monkeypatch):
    records, authors, _, plan = compared
    monkeypatch.setattr(replay, "run_one", lambda run, *_: {"rmse": 0.5 if run.protocol == "released-padded" else 9.0})
    (lost,) = lost_runs(records, authors, plan).to_dict("records")
    assert (lost["record"], lost["published"], lost["rmse_of_diverged"]) == (5, 1.41, 1.4)
    assert np.isnan(lost["padded"])  # 1.4 explains 1.41: not run again
    (lost,) = lost_runs(records, authors.replace({1.41: 0.9}), plan).to_dict("records")
    assert lost["padded"] == 0.5


def test_diverged_runs_may_be_counted_as_the_worst(compared):
    records, authors, table, _ = compared
    # Published ranks 1 2 4 6 5 3 against 1 2 3 4 5 6, the last of which diverged: 1 - 6 * (1 + 4 + 9) / (6 * 35)
    assert diverged_last(records, authors) == pytest.approx(1 - 6 * 14 / 210)
    assert agreement(table).loc["all", "spearman"] == pytest.approx(0.9)


def test_the_map_of_agreement_counts_every_run(compared):
    drawn = agreement_map(compared[2], low=0.9, high=4.0, bins=6)
    counts, edges = np.array(drawn["counts"]), drawn["edges"]
    assert counts.sum() == 5
    ours, theirs = (np.searchsorted(edges, value) - 1 for value in (3.0, 2.0))
    assert counts[theirs, ours] == 1


def test_of_each_row_the_run_closest_to_the_released_code_is_compared(compared, monkeypatch):
    records, authors, _, plan = compared
    monkeypatch.setattr(replay, "run_one", lambda *_: {"rmse": 1.0})
    padded = records.assign(protocol="released-padded", rmse=[1.01, 9, 9, None, None, None])
    padded["status"] = ["ok", "ok", "ok", "diverged", "skipped", "skipped"]
    both = pd.concat([records, padded], ignore_index=True)
    assert closest_runs(both).sort_values("record")["rmse"].fillna(0).tolist() == [1.01, 9, 9, 0, 3.0, 0]
    report = replay_report(both, authors, plan, 0)
    sizes = {name: groups["all"]["n"] for name, groups in report["agreement"].items()}
    assert sizes == {CLOSEST: 4, "released": 5, "released-padded": 3, SAME_ROWS: 3}
    assert np.sum(report["map"]["counts"]) == 4


def test_replay_runs_and_reports(authors_file, tmp_path, capsys):
    path = authors_file()
    arguments = ["replay", str(path), "--dataset", SMALL, "--protocol", "released", "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert "spearman" in text
    (records,) = (tmp_path / "out").glob("replay-*.parquet")
    assert load_records(records)["record"].tolist() == [0, 1, 2]
    report = json.loads(records.with_suffix(".json").read_text())
    assert report["agreement"]["released"]["all"]["n"] == 3
    assert report["authors"]["rows"] == 3
    assert report["agreement"]["released-padded, else released"] == report["agreement"]["released"]
    assert len(report["disagreements"]) == 3
    text = records.with_suffix(".json").read_text()
    assert "NaN" not in text  # valid JSON, for any reader
