"""The command line as a user has it: output, exit status, one line for each mistake."""

import json
import subprocess
import sys

import pandas as pd
import pytest
from flexstudy.__main__ import main as study

from flexlib.cli import main
from flexlib.config import Protocol
from flexlib.methods.tuning import TRY_COLUMNS, load_tuned
from flexlib.runs.records import load_records

SMALL = "synthetic:users=30,items=40,ratings=300,seed=1"


def run(capsys, *arguments, main=main):
    status = main(list(arguments))
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def test_train_prints_one_json_object(capsys):
    status, out, _ = run(
        capsys, "train", "--dataset", SMALL, "--set", "epochs=2", "--set", "hidden_layers=[4]", "--json"
    )
    facts = json.loads(out)
    assert status == 0
    keys = "rmse mae n_scored n_unseen status seconds config protocol dataset seed device provenance".split()
    assert set(keys) <= set(facts)
    assert (facts["status"], facts["dataset"], facts["seed"], facts["n_scored"]) == ("ok", SMALL, 0, 90)
    assert facts["protocol_name"] == "holdout"
    assert Protocol.from_dict(facts["protocol"]) == Protocol()
    assert facts["config"]["hidden_layers"] == [4]
    again = json.loads(
        run(capsys, "train", "--dataset", SMALL, "--set", "epochs=2", "--set", "hidden_layers=[4]", "--json")[1]
    )
    assert again["rmse"] == facts["rmse"]


def test_train_save_recommend(capsys, tmp_path):
    path = str(tmp_path / "my.safetensors")
    status, out, err = run(
        capsys,
        "train",
        "--dataset",
        SMALL,
        "--config",
        "table2:1",
        "--set",
        "epochs=1",
        "--protocol",
        "released",
        "--protocol-set",
        "means=training",
        "--save",
        path,
    )
    assert status == 0
    assert "rmse" in out
    assert "epoch 1/1" in err
    status, out, _ = run(capsys, "recommend", "--model", path, "--user", "3", "-k", "4")
    assert status == 0
    assert len(out.splitlines()) == 5
    assert "predicted" in out


def test_data_prints_the_counts(capsys):
    status, out, _ = run(capsys, "data", SMALL)
    assert status == 0
    assert "noise floor" in out
    assert "300" in out


def test_a_diverged_run_is_a_result(capsys):
    wild = ["learning_rate=1e12", "optimizer=sgd", "activation=relu", "train_batch_size=2"]
    status, out, _ = run(capsys, "train", "--dataset", SMALL, *(f"--set={change}" for change in wild), "--json")
    facts = json.loads(out)
    assert (status, facts["status"], facts["rmse"]) == (0, "diverged", None)


@pytest.mark.parametrize(
    ("arguments", "piece"),
    [
        (["data", "ml-2m"], "'ml-2m'"),
        (["train", "--config", "table2:11"], "'table2:11'"),
        (["train", "--set", "epohcs=1"], "'epohcs'"),
        (["train", "--protocol", "paper"], "'paper'"),
        (["train", "--protocol-set", "means=test"], "means"),
        (["train", "--dataset", SMALL, "--device", "abacus"], "abacus"),
        (["train", "--dataset", SMALL, "--device", "cuda:99"], "cuda:99"),
        (["train", "--dataset", SMALL, "--device", "meta"], "meta"),
        (["train", "--dataset", SMALL, "--seed", "-1"], "seed -1"),
        (["train", "--dataset", SMALL, "--scale", "1", "5", "1"], "this set has its own"),
        (["train", "--dataset", "x.csv", "--columns", "rating"], "'rating'"),
        (["train", "--dataset", "x.csv", "--scale", "5", "1", "1"], "scale 5 1 1"),
        (["train", "--dataset", "x.csv", "--scale", "1", "5", "0"], "scale 1 5 0"),
        (["train", "--dataset", "x.csv", "--scale", "1", "5", "nan"], "scale 1 5 nan"),
        (["train", "--save", "model.pt"], ".safetensors"),
        (["train", "--save", "nowhere/model.safetensors"], "nowhere"),
        (["train", "--set", "epochs=2020-13-45"], "epochs"),
        (["train", "--config", "x" * 5000], "neither a file nor a preset"),
        (["data", "synthetic:users=\u00b2"], "users="),
        (["train", "--set", "self=1"], "'self'"),
        (["train", "--set", "epochs=" + "9" * 5000], "epochs"),
        (["train", "--set", "epochs=1", "hidden_layers=[4]"], "hidden_layers=[4]"),
        (["experiment"], "experiment"),
        ([], "COMMAND"),
        (["recommend", "--model", "none.safetensors", "--user", "1"], "none.safetensors"),
        (["recommend", "--model", "x", "--user", "1", "-k", "0"], "-k 0"),
    ],
)
def test_mistakes_get_one_line_and_status_2(capsys, arguments, piece):
    status, out, err = run(capsys, *arguments)
    assert status == 2
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("flexlib: ")
    assert piece in err


@pytest.mark.parametrize(
    "code",
    [
        "import flexlib",
        "from flexlib.cli import main; main(['--help'])",
        "from flexlib.cli import main; main(['tune', '-h'])",
    ],
)
def test_the_manual_does_not_wait_for_what_computes(code):
    heavy = "{'torch', 'pandas', 'scipy', 'distributed', 'optuna', 'matplotlib'}"
    code = f"import sys; {code}; print('imported:', *sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].split() == ["imported:"]


def test_the_manual_lists_parameters_protocols_and_presets(capsys):
    status, text, _ = run(capsys, "train", "--help")
    assert status == 0
    for piece in ("dense_refeeding_rounding (DeFR)", "table2:10", "released, described, holdout", "unseen_fallback"):
        assert piece in text


def test_it_runs_as_a_module_and_survives_a_closed_pipe():
    command = f"{sys.executable} -m flexlib data {SMALL} | head -1"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("data set")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--runs", "0"),
        ("--workers", "0"),
        ("--max-seconds-per-run", "-1"),
        ("--max-seconds-per-run", "nan"),
        ("--protocol", "leaky"),
        ("--space", "outer"),
    ],
)
def test_a_sweeps_options_are_checked(tmp_path, capsys, option, value):
    arguments = ["sweep", "--dataset", SMALL, "--out", str(tmp_path / "out"), "--runs", "1", option, value]
    status, _, err = run(capsys, *arguments)
    assert (status, err.count("\n")) == (2, 1)
    assert f"'{option}'" in err
    assert not (tmp_path / "out").exists()


def test_an_experiment_leaves_its_records_and_says_where(capsys, tmp_path):
    arguments = ["--dataset", SMALL, "--splits", "2", "--device", "cpu", "--out", str(tmp_path)]
    status, out, _ = run(capsys, "experiment", "table2", *arguments, "--max-seconds-per-run", "0.012", main=study)
    assert status == 0
    (path,) = tmp_path.glob("*.parquet")
    assert out.splitlines()[-1] == f"wrote {path}"
    table = load_records(path)
    head = ["protocol", *out.splitlines()[0].split()]
    ok, skipped = head.index("ok"), head.index("skipped")
    for protocol, own in table.groupby("protocol"):
        (line,) = [line.split() for line in out.splitlines() if line.startswith(protocol)]
        assert [int(line[ok]), int(line[skipped])] == [(own["status"] == kind).sum() for kind in ("ok", "skipped")]
        assert line[-1] == f"{own['rmse'].min():.4f}"
    assert len(table) == 10 * 3 * 2
    assert set(table["protocol"]) == {"released", "described", "holdout"}
    assert table["seed"].tolist() == [0] * 30 + [1] * 30
    assert ((table["estimate"] > 0.012) == (table["status"] == "skipped")).all()
    assert 0 < (table["status"] == "ok").sum() < 30


@pytest.mark.parametrize(
    ("arguments", "piece"),
    [
        (["table3"], "'table3'"),
        (["table2", "--splits", "0"], "'--splits'"),
        (["table2", "--seed", "1"], "--seed"),
        (["table2", "--protocol", "holdout"], "--protocol"),
        (["best"], "paper-seed0.parquet: no such file"),
    ],
)
def test_an_experiments_options_are_checked(tmp_path, capsys, arguments, piece):
    arguments = ["experiment", *arguments, "--dataset", SMALL, "--out", str(tmp_path / "out")]
    status, out, err = run(capsys, *arguments, main=study)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("flexstudy: ")
    assert piece in err
    assert not (tmp_path / "out").exists()


def test_records_of_before_are_converted(capsys, tmp_path):
    arguments = ["--dataset", SMALL, "--splits", "2", "--device", "cpu", "--out", str(tmp_path)]
    run(capsys, "experiment", "table2", *arguments, "--max-seconds-per-run", "0.005", main=study)
    (path,) = tmp_path.glob("*.parquet")
    now = load_records(path)
    pd.read_parquet(path).drop(columns=["setting", "role"]).to_parquet(path, index=False)
    status, _, err = run(capsys, "experiment", "table2", *arguments, main=study)
    assert (status, err.count("\n")) == (2, 1)
    assert "flexstudy convert" in err
    assert run(capsys, "convert", str(tmp_path), main=study)[:2] == (0, f"wrote {path}\n")
    pd.testing.assert_frame_equal(load_records(path), now)
    assert run(capsys, "convert", str(tmp_path), main=study)[:2] == (0, "")
    other = pd.read_parquet(path).drop(columns=["setting", "role"]).assign(epochs=99)
    other.to_parquet(path, index=False)
    status, _, err = run(capsys, "convert", str(tmp_path), main=study)
    assert (status, err.count("\n")) == (2, 1)
    assert "run 0 has other parameters" in err


def test_tuning_leaves_its_records_says_where_and_can_be_begun_from(capsys, tmp_path):
    arguments = ["tune", "--dataset", SMALL, "--splits", "2", "--out", str(tmp_path)]
    status, out, _ = run(capsys, *arguments, "--method", "biases", "--method", "item_mean", "--tries", "2")
    assert status == 0
    path = tmp_path / "tuned-synthetic-users-30-items-40-ratings-300-seed-1-0.3-2tries.parquet"
    assert out.splitlines()[-1] == f"wrote {path}"
    table = load_tuned(path)
    assert table["method"].tolist() == ["biases"] * 2 + ["item_mean"] * 2
    assert table["tries"].tolist() == [2, 2, 1, 1]
    assert table["n_test"].tolist() == [90] * 4
    for key, own in table.groupby("method"):
        (line,) = [line.split() for line in out.splitlines() if line.startswith(key)]
        means = own[["validation_rmse", "rmse", "rmse_known"]].mean()
        assert [float(word) for word in line[2:]] == pytest.approx(means.tolist(), abs=1e-5)
    # The best of these tries come first in another search.
    tries = load_tuned(path.with_name(f"{path.stem}-tries.parquet"), TRY_COLUMNS).query("method == 'biases'")
    best = tries.sort_values("validation_rmse").drop_duplicates("split").sort_values("split")["suggested"].tolist()
    more = ["--method", "biases", "--tries", "3", "--test-split-rate", "0.1", "--one-search"]
    status, out, _ = run(capsys, *arguments, *more, "--start-from", str(path.with_name(f"{path.stem}-tries.parquet")))
    assert status == 0
    other = tmp_path / "tuned-synthetic-users-30-items-40-ratings-300-seed-1-0.1-3tries.parquet"
    assert out.splitlines()[-1] == f"wrote {other}"
    again = load_tuned(other.with_name(f"{other.stem}-tries.parquet"), TRY_COLUMNS)
    assert again["split"].tolist() == ["seed 0"] * 3 + ["seed 1"] * 3
    first = again[again["split"] == "seed 0"]
    assert [json.loads(text) for text in first["suggested"][:2]] == [json.loads(text) for text in best]
    pd.testing.assert_frame_equal(first.drop(columns="split"), again[3:].drop(columns="split").reset_index(drop=True))


@pytest.mark.parametrize(
    ("arguments", "piece"),
    [
        (["--method", "magic"], "'magic'"),
        (["--start-from", "x.parquet"], "--start-from"),
        (["--method", "als", "--method", "biases", "--start-from", "x.parquet"], "--start-from"),
        (["--method", "als", "--start-from", "nowhere.parquet"], "nowhere.parquet: no such file"),
        (["--method", "als", "--test-split-rate", "1.5"], "1.5"),
        (["--dataset", "ml-2m"], "'ml-2m'"),
    ],
)
def test_mistakes_in_tuning_get_one_line_and_status_2(capsys, tmp_path, arguments, piece):
    status, out, err = run(capsys, "tune", "--dataset", SMALL, "--out", str(tmp_path / "out"), *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert piece in err
    assert not list(tmp_path.glob("out/*.parquet"))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--tries", "0"),
        ("--splits", "0"),
        ("--average", "0"),
        ("--workers", "0"),
        ("--test-split-rate", "0"),
        ("--max-seconds-per-try", "nan"),
    ],
)
def test_the_options_of_tuning_are_checked(tmp_path, capsys, option, value):
    status, out, err = run(capsys, "tune", "--dataset", SMALL, "--out", str(tmp_path / "out"), option, value)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert f"'{option}'" in err
    assert not (tmp_path / "out").exists()


def test_networks_whose_tries_are_all_too_costly_are_no_record_and_no_mistake(capsys, tmp_path):
    arguments = ["--method", "flexencoder", "--tries", "2", "--splits", "1", "--max-seconds-per-try", "1e-9"]
    status, out, _ = run(capsys, "tune", "--dataset", SMALL, "--out", str(tmp_path), *arguments)
    assert status == 0
    (path,) = tmp_path.glob("*-tries.parquet")
    tries = load_tuned(path, TRY_COLUMNS)
    assert tries["validation_rmse"].isna().tolist() == [True, True]
    assert out.splitlines()[-1].endswith(".parquet")
