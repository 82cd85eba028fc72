"""The benchmarks run, on tiny data; how fast anything is, is not tested."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import peers
import pytest
import scale
import torch
import training
from measuring import Ceilings

from flexlib.config import FlexConfig
from flexlib.data import split_ratings
from flexlib.datasets.loading import load_ratings
from flexlib.train import fit

SMALL = "synthetic:users=60,items=90,ratings=1500,seed=1"
FACTS = {"benchmark", "machine", "cores", "threads", "versions", "commit", "date"}


def run(monkeypatch, program, *arguments):
    monkeypatch.setattr(sys, "argv", [program.__file__, *map(str, arguments)])
    program.main()


def test_training_is_recorded_beside_the_plain_loop_and_floors(monkeypatch, tmp_path, capsys):
    out = tmp_path / "training.parquet"
    settings = ["deep, items", "default, users"]
    chosen = [word for setting in settings for word in ("--setting", setting)]
    run(monkeypatch, training, "--dataset", SMALL, "--repeats", 1, "--out", out, *chosen)
    table = pd.read_parquet(out)
    assert set(table) >= FACTS
    assert table["setting"].tolist() == settings
    printed = capsys.readouterr().out
    assert all(setting in printed for setting in settings)
    assert "training RMSE at the end" not in printed  # the plain loop trains the same network
    times = table[["plain_seconds", "seconds", "bytes_floor", "gathers_floor", "products_floor", "calls_floor"]]
    assert (times > 0).to_numpy()[:, :4].all()


def test_floors_are_those_counted_by_hand():
    ratings = load_ratings("synthetic:users=10,items=8,ratings=40,seed=1")
    config = FlexConfig(hidden_layers=(3,), train_batch_size=5, dense_refeeding=0, test_split_rate=0.5, optimizer="sgd")
    # 2 steps, 2 x 8 x 3 weights, which SGD with momentum reads or writes 5 times, and gradients written once
    plain = training.Floor(moved=4 * 2 * 48 * 6, gathered=4 * 20 * 3 * 5, operations=0)
    assert training.floor_of(config, ratings) == plain
    assert plain.seconds(Ceilings(48, 2, 10)) == (48, 120, 0)
    # A quarter is shown of each product with the input, of which the implicit one has as many weights again
    open_up = config.replace(noise_probability=0.75, implicit_input=True)
    assert training.floor_of(open_up, ratings) == training.Floor(4 * 2 * 72 * 6, 4 * 20 * 3 * 4, 0)
    # A re-fed step multiplies 10 x 8 and 8 x 3 five times, and the first pass has all its outputs; two layers: 12
    deep = config.replace(dense_refeeding=1, hidden_layers=(3, 2))
    assert training.floor_of(deep, ratings).operations == 10 * (2 * 12 * 6 + 10 * 24 + 2 * 24)


def test_scale_runs_each_case_in_a_process_and_adds_to_what_is_there(monkeypatch, tmp_path, capsys):
    out = tmp_path / "scale.parquet"
    run(monkeypatch, scale, "--tiny", "--out", out, "--threads", 1, "--case", "100K")
    first = pd.read_parquet(out)
    run(monkeypatch, scale, "--tiny", "--out", out, "--threads", 1)
    table = pd.read_parquet(out)
    assert set(table) >= FACTS
    assert table["case"].tolist() == list(scale.TINY)
    assert table.loc[0, "epoch_seconds"] == first.loc[0, "epoch_seconds"]
    assert table["weights"].tolist()[0] == table["weights"].tolist()[1]
    assert (table["rmse"] > table["noise_floor"]).all()


def test_cases_of_equal_weights_have_ratings_in_proportion_to_users():
    small, middle, large = (scale.CASES[name] for name in ("100K", "1M", "20M"))
    assert small.items == middle.items == large.items
    shares = [case.ratings / case.users for case in (small, middle, large)]
    assert max(shares) / min(shares) < 1.001


@pytest.fixture(scope="module")
def raced(tmp_path_factory):
    """The record of a tiny race."""
    out = tmp_path_factory.mktemp("peers") / "peers.parquet"
    with pytest.MonkeyPatch.context() as monkeypatch:
        for method in ("biases", "svd", "knn", "autorec", "plain_autorec", "flexencoder", "bpmf"):
            run(monkeypatch, peers, "--dataset", SMALL, "--method", method, "--out", out)
    return pd.read_parquet(out)


def test_peers_are_recorded_as_curves(raced):
    assert set(raced) >= FACTS | {"method", "library", "library_version", "settings", "epochs", "seconds", "rmse"}
    for _, curve in raced.groupby("key"):
        assert curve["is_final"].tolist() == [False] * (len(curve) - 1) + [True]
        assert curve["epochs"].is_monotonic_increasing
    networks = raced[raced["key"].isin(["autorec", "flexencoder", "plain_autorec"])]
    assert networks.groupby("key")["seconds"].apply(lambda seconds: seconds.is_monotonic_increasing).all()
    assert raced[["n_train", "n_test"]].drop_duplicates().to_numpy().tolist() == [[1350, 150]]


def test_the_plain_autorec_is_flexlibs(monkeypatch):
    """From the same weights, all rows in one batch, the two are the same network."""
    ratings = load_ratings(SMALL)
    split = split_ratings(ratings, 0.1, 0)
    preset = FlexConfig.preset("autorec-item").replace(epochs=20, weight_decay=5)
    start = fit(ratings, preset.replace(epochs=0), split=split).network
    weights = iter([start.encoder_weights[0].detach().t(), start.decoder_weights[0].detach()])
    monkeypatch.setattr(torch.nn.init, "xavier_uniform_", lambda tensor: tensor.data.copy_(next(weights)))
    *_, ours = peers.of_flexlib(ratings, split, preset.to_dict())
    *_, plain = peers.plain_autorec(ratings, split, preset.to_dict())
    np.testing.assert_allclose(ours.predicted, plain.predicted, atol=1e-4)
    assert np.std(ours.predicted) > 0.1


def test_a_peer_that_is_not_installed_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cornac", None)
    run(monkeypatch, peers, "--dataset", SMALL, "--method", "cornac_mf")
    assert capsys.readouterr().out.split("\n")[0].endswith("left out: cornac is not installed")


def test_settings_of_the_search_are_those_of_the_records():
    config = training.chosen_setting("tuned-ml-1m-0.1-8tries")
    assert config.item_based
    assert Path(training.RECORDS, "tuned-ml-1m-0.1-8tries.parquet").exists()
