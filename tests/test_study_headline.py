"""The published predictions: their splits and scores are those of `fit` and `evaluate`, and they tell no rating."""

import numpy as np
import pandas as pd
import pytest
from conftest import SMALL
from flexstudy.__main__ import main
from flexstudy.headline import headline_predictions

from flexlib import FlexConfig, evaluate, fit, load_ratings, split_ratings


def test_predictions_are_those_of_each_split_and_protocol():
    ratings = load_ratings(SMALL)
    table, rate = headline_predictions(ratings, "table2:8", [0, 3]), FlexConfig.preset("table2:8").test_split_rate
    for seed, rows in table.groupby("seed"):
        assert rows["position"].tolist() == split_ratings(ratings, rate, seed).test.tolist()
        stars = ratings.values[rows["position"]].astype(float)
        for protocol in ("released", "holdout"):
            scored = evaluate(fit(ratings, FlexConfig.preset("table2:8"), protocol, seed))
            rmse = np.sqrt(np.mean((rows[protocol] - stars) ** 2))
            assert rmse == pytest.approx(scored.rmse, abs=1e-6)
    assert set(table["seed"]) == {0, 3}
    assert not {"actual", "rating", "user", "item"} & set(table)


def test_the_command_writes_them(tmp_path, capsys):
    out = tmp_path / "new"
    options = ["--dataset", SMALL, "--setting", "table2:8", "--splits", "1", "--out", str(out)]
    assert main(["headline", *options]) == 0
    (path,) = out.iterdir()
    assert capsys.readouterr().out == f"wrote {path}\n"
    assert pd.read_parquet(path)["setting"].unique().tolist() == ["table2:8"]
