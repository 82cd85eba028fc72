"""The chapter on speed: shares, winners and figures follow from the records that it is given."""

import json

import pandas as pd
import pytest
from flexstudy import speed

from flexlib.config import FlexError

FACTS = {"machine": "Abacus", "cores": 2, "threads": 1, "versions": json.dumps({"torch": "2"}), "commit": "abc"}


def trained():
    rows = [
        {
            "setting": "small",
            "seconds": 0.001,
            "plain_seconds": 0.004,
            "alike_seconds": 0.002,
            "bytes_floor": 1e-4,
            "gathers_floor": 1e-4,
            "products_floor": 0.0,
            "calls_floor": 5e-4,
        },
        {
            "setting": "large",
            "seconds": 0.1,
            "plain_seconds": 0.6,
            "alike_seconds": 0.1,
            "bytes_floor": 0.06,
            "gathers_floor": 0.03,
            "products_floor": 0.02,
            "calls_floor": 1e-4,
        },
    ]
    return pd.DataFrame([row | FACTS | {"dataset": "toy"} for row in rows])


def raced():
    rows = [
        ("FlexEncoder", "chosen", 1, 1.0, 0.95, False),
        ("FlexEncoder", "chosen", 5, 10.0, 0.85, True),
        ("SVD", "default", 20, 4.0, 0.90, True),
        ("SVD", "tuned", 20, 8.0, 0.84, True),
        ("SVD", "tuned", 1, 2.0, 0.97, False),
        ("slow", "default", 1, 99.0, 0.80, False),
    ]
    names = ["method", "setting", "epochs", "seconds", "rmse", "is_final"]
    table = pd.DataFrame(rows, columns=names).assign(library="lib", library_version="1.0", dataset="toy")
    return table.assign(**FACTS)


def grown():
    table = pd.DataFrame(
        {
            "case": ["100K", "1M", "wide"],
            "ratings": [100_000, 1_000_000, 500_000],
            "n_train": [50_000, 500_000, 250_000],
            "weights": [70, 70, 900],
            "epoch_seconds": [0.1, 2.0, 3.0],
            "validation_seconds": [0.01, 0.1, 0.1],
            "scoring_seconds": [0.05, 0.2, 0.3],
            "floor_seconds": [0.05, 1.5, 3.0],
            "peak_bytes": [1e9, 2e9, 3e9],
            "item_based": [False, False, True],
        }
    )
    return table.assign(**FACTS)


def loaded():
    rows = [("pandas.read_csv", 10, 1.0, 1.0), ("load_ratings, first time", 10, 9.0, 9.0)]
    rows += [("pandas.read_csv", 1000, 5.0, 1.0), ("load_ratings, first time", 1000, 4.0, 0.8)]
    rows += [("load_ratings, from the cache", 1000, 0.5, 0.1)]
    return pd.DataFrame(rows, columns=["what", "n_ratings", "seconds", "ratio"]).assign(peak_bytes=2e9, **FACTS)


def test_records_are_read_in_order_and_what_is_wrong_is_named(tmp_path):
    with pytest.raises(FlexError, match=r"no speed-training\*\.parquet; benchmarks/training\.py writes it"):
        speed.read_measurements(tmp_path, "training")
    trained()[1:].to_parquet(tmp_path / "speed-training-b.parquet")
    trained()[:1].to_parquet(tmp_path / "speed-training-a.parquet")
    assert speed.read_measurements(tmp_path, "training")["setting"].tolist() == ["small", "large"]
    grown().drop(columns="case").to_parquet(tmp_path / "speed-scale.parquet")
    with pytest.raises(FlexError, match=r"speed-scale\.parquet: has no column 'case'"):
        speed.read_measurements(tmp_path, "scale")


def test_shares_of_a_step():
    shares = speed.training_shares(trained()).set_index("setting")
    assert shares["ratio"].tolist() == pytest.approx([2, 6])
    assert shares["ms"].tolist() == pytest.approx([1, 100])
    assert shares["floor"].tolist() == pytest.approx([0.2, 1.1])
    assert shares.loc["small", "calls"] == pytest.approx(0.5)


def test_bars_add_up_to_the_step_and_say_what_is_left(drawn):
    shares = speed.training_shares(trained())
    ax = speed.plot_floors(shares).axes[0]
    widths = [[bar.get_width() for bar in bars] for bars in ax.containers]
    assert [sum(column) for column in zip(*widths, strict=True)] == pytest.approx([1, 1.101])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [*speed.FLOORS.values(), speed.LEFT]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["small\ntoy", "large\ntoy"]


def test_what_training_costs_by_size(drawn):
    table = speed.scale_table(grown())
    assert table["nanoseconds"].tolist() == pytest.approx([2000, 4000, 12000])
    assert table["floor"].tolist() == pytest.approx([0.5, 0.75, 1])
    assert table["rows"].tolist() == ["users", "users", "items"]
    above, below = speed.plot_scale(table, "Title").axes
    assert [line.get_xydata().tolist() for line in above.get_lines()] == [[[1e5, 2], [1e6, 4]], [[5e5, 12]]]
    assert [line.get_ydata().tolist() for line in below.get_lines()] == [[1, 2], [3]]
    assert below.get_xlabel() == "ratings in the data set"


def test_where_peers_ended_and_when_flexencoder_was_as_low(drawn):
    ended = speed.peers_table(raced()).set_index("method")
    assert ended.index.tolist() == ["slow", "SVD (tuned)", "FlexEncoder", "SVD (default)"]
    assert ended["complete"].tolist() == [False, True, True, True]
    assert ended.loc["SVD (default)", "ours_sooner"] == 10
    assert ended["ours_sooner"].isna().tolist() == [True, True, False, False]
    assert speed.faster_and_better(ended.reset_index()) == ["SVD (tuned)"]
    ax = speed.plot_peers(raced(), "Title").axes[0]
    curves = {line.get_label(): line.get_xydata().tolist() for line in ax.get_lines()}
    assert curves["FlexEncoder"] == [[1, 0.95], [10, 0.85]]
    assert set(curves) == set(ended.index)
    assert ax.get_xscale() == "log"


def test_numbers_of_the_chapter():
    parts = speed.training_shares(trained()), speed.scale_table(grown()), speed.peers_table(raced())
    numbers = speed.speed_numbers(*parts, speed.loading_table(loaded()))
    assert (numbers["at_half"], numbers["n_large"]) == (1, 2)
    assert [numbers["ratio_low"], numbers["ratio_high"]] == pytest.approx([2, 6])
    assert numbers["winners_words"] == "SVD (tuned) ended both sooner and better"
    assert numbers["sooner_words"] == "slow and SVD (tuned) and SVD (default)"
    assert numbers["n_peers"] == 3
    assert (numbers["ours_rmse"], numbers["ours_seconds"]) == (0.85, 10)
    assert numbers["spread"] == pytest.approx(2)
    assert (numbers["most_ratings"], numbers["most_gigabytes"]) == (1_000_000, 2)
    assert numbers["scoring_share"] == pytest.approx(0.5)
    assert (numbers["read_seconds"], numbers["cached_seconds"], numbers["read_ratings"]) == (4, 0.5, 1000)
    others = speed.peers_table(raced()[lambda table: table["setting"] != "tuned"])
    assert speed.speed_numbers(parts[0], parts[1], others, speed.loading_table(loaded()))["winners_words"].startswith(
        "none"
    )


def test_hours_of_the_authors_runs_are_those_of_the_published_report():
    hours = speed.replay_hours()
    assert hours["replayed"] == 901
    assert hours["authors_hours"] == pytest.approx(61_309.55 / 3600, abs=1e-3)
    assert hours["replay_ratio"] == pytest.approx(hours["authors_hours"] / hours["our_hours"])


def test_the_machine_is_named_with_all_numbers_of_threads():
    records = pd.concat([trained(), trained().assign(threads=2)])
    assert speed.spelled_machine(records) == "Abacus, 2 cores, 1 and 2 thread(s), PyTorch 2"


def both_devices(folder):
    """Records of both devices in a folder: the GPU's steps take 0.002 s, and 0.05 s at scale."""
    cpu, gpu = trained(), trained().assign(device="cuda", seconds=0.002, machine="Loom", plain_seconds=0.008)
    cpu.to_parquet(folder / "speed-training-toy.parquet")
    gpu.to_parquet(folder / "speed-training-toy-gpu.parquet")
    steps = {"steps_per_epoch": 10, "noise_floor": 0.7, "training_seconds": 12.0, "rmse": 0.8}
    large = grown().assign(**steps)
    large.to_parquet(folder / "speed-scale.parquet")
    ended = large.tail(1).assign(case="1M, to the end")
    both = pd.concat([large.head(1), ended]).assign(device="cuda", epoch_seconds=0.5, machine="Loom")
    both.to_parquet(folder / "speed-scale-gpu.parquet")


def test_a_gpu_is_compared_on_what_both_devices_ran(tmp_path):
    both_devices(tmp_path)
    assert set(speed.read_measurements(tmp_path, "training")["machine"]) == {"Abacus"}
    table = speed.gpu_table(tmp_path).set_index("what")
    assert table["times"].to_dict() == pytest.approx({"small\ntoy": 0.5, "large\ntoy": 50, "100K ratings": 0.2})
    assert table.loc["small\ntoy", "plain_times"] == pytest.approx(0.008 / 0.002)
    words = speed.gpu_numbers(tmp_path, table.reset_index())
    assert "up to 50 times" in words["gpu_words"]
    assert "In 2 of 3 cases" in words["gpu_words"]
    assert "500,000" in words["gpu_end_words"]
    assert "12 seconds" in words["gpu_end_words"]
    speed.plot_gpu(table.reset_index(), "title")


def test_without_a_gpu_the_chapter_says_so(tmp_path):
    trained().to_parquet(tmp_path / "speed-training-toy.parquet")
    grown().assign(steps_per_epoch=10).to_parquet(tmp_path / "speed-scale.parquet")
    table = speed.gpu_table(tmp_path)
    assert table.empty
    assert speed.gpu_numbers(tmp_path, table)["gpu_words"] == "Nothing was measured on a GPU."
    speed.plot_gpu(table, "title")
