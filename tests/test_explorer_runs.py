"""Random runs as pairs of a leaky and a leak-free score, as the explorer's page has them."""

import json

import pandas as pd
from bs4 import BeautifulSoup
from explorer_records import random_records
from flexexplorer import runs


def test_a_run_is_there_if_it_ended_well_both_ways_and_has_its_own_setting():
    table = random_records()
    table = pd.concat([table, table.assign(run=table["run"] + 1_000)]).reset_index(drop=True)
    lost = table.index[(table["run"] == 1_000) & (table["protocol"] == "holdout")]
    table.loc[lost, ["status", "rmse"]] = ["diverged", None]
    ended = table[table["status"] == "ok"].groupby("run")["protocol"].nunique()
    pairs = runs.pair_runs(table.sample(frac=1, random_state=0))
    assert [pair["run"] for pair in pairs] == sorted(ended.index[ended == 2])
    assert 1_000 not in [pair["run"] for pair in pairs]
    for pair in pairs:
        own = table[table["run"] == pair["run"]].set_index("protocol")
        assert pair["leaky"] == round(own.loc["released", "rmse"], 4)
        assert pair["leakFree"] == round(own.loc["holdout", "rmse"], 4)
        said = dict(zip(runs.PARAMETERS, pair["values"], strict=True))
        assert said["activation"] == own.loc["holdout", "activation"]
        assert said["mean_normalization"] == ("on" if own.loc["holdout", "mean_normalization"] else "off")
    assert len(runs.PARAMETERS) == 17


def test_the_page_has_the_runs_with_each_value_once():
    table = random_records().assign(activation="tanh")
    soup = BeautifulSoup(runs.runs_explorer(table).data, "html.parser")
    held = json.loads(soup.script.string)
    assert all(len(known) == len(set(known)) for known in held["levels"])
    for run in held["runs"]:
        run["values"] = [known[level] for known, level in zip(held["levels"], run["values"], strict=True)]
    assert held["runs"] == runs.pair_runs(table)
    assert "activation (Act)" in held["labels"]
    assert soup.p.text == runs.FALLBACK
