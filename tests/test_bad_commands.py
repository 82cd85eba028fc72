"""A hundred command lines that cannot be done: each ends with status 2 and one line, and nothing is written."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import SMALL
from flexstudy.__main__ import main as study
from flexstudy.replay import LOG_COLUMNS
from run_study import main as run_study
from safetensors.torch import save_file

from flexlib import fit, load_ratings, save_model
from flexlib.cli import main as flexlib
from flexlib.config import FlexConfig

COMMANDS = {"flexlib": flexlib, "flexstudy": study, "run_study": run_study}
NINES = "9" * 5000
MODEL = "flexlib {} --model {{files}}/good.safetensors "

# Files that the command lines name
FILES = {
    "laughs.yml": f"hidden_layers: [&a [4, 4], {', '.join(f'&b{k} [*a, *a]' for k in range(9))}]",
    "twice.yml": "epochs: 1\nepochs: 2\n",
    "self.yml": "self: 1\n",
    "digits.yml": f"epochs: {NINES}\n",
    "layers.yml": f"hidden_layers: [{', '.join(['4'] * 200)}]\n",
    "large.yml": "#" * 30_000,
    "list.json": "[1, 2]",
    "half.json": '{"epochs": ',
    "tag.yml": "epochs: !!python/object/apply:os.system [ls]\n",
    "latin.yml": "optimizer: ad\xe4m\n".encode("latin-1"),
    "empty.csv": "",
    "words.csv": "user,item,rating\n1,2,good\n",
    "header.csv": "user,item,rating\n",
    "good.csv": "user,item,rating\n" + "".join(f"{k},{k % 3},{k % 5 + 1}\n" for k in range(20)),
    "text.safetensors": "hello",
    "text.parquet": "hello",
    "log.csv": "a,b\n1,2\n",
}


def log_row(**changed):
    """A line of the authors' log as a table."""
    values = FlexConfig().to_dict()
    row = {theirs: json.dumps(values[ours]).strip('"') for ours, theirs in LOG_COLUMNS.items()}
    return pd.DataFrame([row | {"_RMSE": "0.9", "_learn_time": "1", "1m": ""} | changed])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for name, text in FILES.items():
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    save_file({"a": torch.zeros(2)}, folder / "other.safetensors")
    save_model(fit(load_ratings(folder / "good.csv"), FlexConfig(epochs=1)), folder / "good.safetensors")
    save_file({"a": torch.zeros(2)}, folder / "old.safetensors", {"flexlib": '{"format": "flexlib model 1"}'})
    save_file({"a": torch.zeros(2)}, folder / "bare.safetensors", {"flexlib": '{"format": "flexlib model 2"}'})
    pd.DataFrame({"a": np.arange(3)}).to_parquet(folder / "other.parquet")
    tries = {"method": ["biases"], "split": ["seed 0"], "number": [0], "validation_rmse": [1.0], "seconds": [1.0]}
    tries |= {"settings": ["{}"], "suggested": ["{}"], "pruned": [False], "curve": [""]}
    for name, change in {
        "text-tries": {"number": ["first"]},
        "json-tries": {"suggested": ["{"]},
        "list-tries": {"suggested": ["[1]"]},
        "none-tries": {"settings": [None]},
    }.items():
        pd.DataFrame(tries | change).to_parquet(folder / f"{name}.parquet")
    for name, change in {"nan": "nan", "infinite": "inf", "negative": "-1", "words": "good"}.items():
        log_row(_RMSE=change).to_csv(folder / f"{name}-log.csv", index=False)
    log_row(mp_num_epochs=NINES).to_csv(folder / "digits-log.csv", index=False)
    log_row(mp_hidden_layers="[" * 50_000).to_csv(folder / "deep-log.csv", index=False)
    return folder


TRAIN, SWEEP, TUNE = (f"flexlib {name} --dataset {SMALL}" for name in ("train", "sweep --out out", "tune --out out"))
METHOD = f"flexlib evaluate --dataset {SMALL} --method"
EXPERIMENT = f"flexstudy experiment --dataset {SMALL} --out out"
BAD = [
    # what is no command, option or data set
    ("flexlib", "COMMAND"),
    ("flexlib trian", "trian"),
    ("flexlib train --epochs 3", "--epochs"),
    ("flexlib data", "DATASET"),
    ("flexlib data ml-2m", "'ml-2m'"),
    ("flexlib data synthetic:users=0", "users"),
    ("flexlib data synthetic:shoes=4", "shoes"),
    ("flexlib data nowhere.csv", "nowhere.csv"),
    ("flexlib data {files}", "{files}"),
    ("flexlib data {files}/empty.csv", "empty.csv"),
    ("flexlib data {files}/words.csv", "good"),
    ("flexlib data {files}/header.csv", "header.csv"),
    ("flexlib data {files}/text.parquet", "text.parquet"),
    ("flexlib data {files}/good.csv --columns rating", "'rating'"),
    ("flexlib data {files}/good.csv --columns rating=stars", "stars"),
    ("flexlib data {files}/good.csv --scale 5 1 1", "scale 5 1 1"),
    ("flexlib data {files}/good.csv --scale 1 5", "--scale"),
    ("flexlib data {files}/good.csv --scale 1 5 x", "'x'"),
    (f"flexlib data {SMALL} --scale 1 5 1", "has its own"),
    (f"flexlib data {SMALL} extra", "extra"),
    # settings
    (f"{TRAIN} --set epochs", "'epochs'"),
    (f"{TRAIN} --set epohcs=1", "'epochs'"),
    (f"{TRAIN} --set epochs=-1", "epochs (Ep)"),
    (f"{TRAIN} --set epochs=1.5", "epochs (Ep)"),
    (f"{TRAIN} --set epochs=true", "epochs (Ep)"),
    (f"{TRAIN} --set epochs=1e13", "epochs (Ep)"),
    (f"{TRAIN} --set epochs={NINES}", "epochs"),
    (f"{TRAIN} --set epochs=0x{NINES}", "epochs"),
    (f"{TRAIN} --set epochs=[1", "'epochs'"),
    (f"{TRAIN} --set epochs=*a", "'epochs'"),
    (f"{TRAIN} --set self=1", "'self'"),
    (f"{TRAIN} --set =1", "''"),
    (f"{TRAIN} --set learning_rate=.inf", "learning_rate (LR)"),
    (f"{TRAIN} --set learning_rate=.nan", "learning_rate (LR)"),
    (f"{TRAIN} --set learning_rate=0", "learning_rate (LR)"),
    (f"{TRAIN} --set hidden_layers=[]", "hidden_layers (HLs)"),
    (f"{TRAIN} --set hidden_layers=64", "hidden_layers (HLs)"),
    (f"{TRAIN} --set hidden_layers=[1000001]", "hidden_layers (HLs)"),
    (f"{TRAIN} --set pivot_indexes=[1,1]", "pivot_indexes (PI)"),
    (f"{TRAIN} --set optimizer=adm", "optimizer (Opt)"),
    (f"{TRAIN} --set test_split_rate=1", "test_split_rate (TSR)"),
    (f"{TRAIN} --config table2:11", "'table2:11'"),
    (f"{TRAIN} --config {'x' * 5000}", "neither a file nor a preset"),
    (f"{TRAIN} --config {{files}}", "is not a file"),
    *((f"{TRAIN} --config {{files}}/{name}", name) for name in list(FILES)[:10]),
    # protocols, places, devices
    (f"{TRAIN} --protocol paper", "'paper'"),
    (f"{TRAIN} --protocol-set means=test", "means"),
    (f"{TRAIN} --protocol-set self=1", "'self'"),
    (f"{TRAIN} --protocol-set unseen_fallback=1", "unseen_fallback"),
    (f"{TRAIN} --seed -1", "seed -1"),
    (f"{TRAIN} --seed x", "'--seed'"),
    (f"{TRAIN} --device abacus", "abacus"),
    (f"{TRAIN} --device cuda:99", "cuda:99"),
    (f"{TRAIN} --save model.pt", ".safetensors"),
    (f"{TRAIN} --save nowhere/m.safetensors", "nowhere"),
    (f"{TRAIN} --checkpoint {{files}}", ".safetensors"),
    (f"{TRAIN} --set epochs=1 --checkpoint {{files}}/text.safetensors", "text.safetensors: not a checkpoint"),
    (f"{TRAIN} --set epochs=1 --checkpoint {{files}}/other.safetensors", "other.safetensors: not a checkpoint"),
    # saved models
    ("flexlib recommend --user 1", "--model"),
    ("flexlib recommend --model nowhere.safetensors --user 1", "nowhere.safetensors"),
    ("flexlib recommend --model {files} --user 1", "{files}"),
    ("flexlib recommend --model {files}/text.safetensors --user 1", "not a model"),
    ("flexlib recommend --model {files}/other.safetensors --user 1", "not a model"),
    ("flexlib recommend --model {files}/bare.safetensors --user 1", "config"),
    ("flexlib recommend --model {files}/old.safetensors --user 1", "flexlib model 1"),
    ("flexlib recommend --model {files}/old.safetensors --user 1 -k 0", "-k 0"),
    ("flexlib recommend --model {files}/old.safetensors --user 1 -k x", "'-k'"),
    # many runs
    (f"flexlib sweep --dataset {SMALL} --runs 1", "--out"),
    (SWEEP, "--runs"),
    (f"{SWEEP} --runs 0", "'--runs'"),
    (f"{SWEEP} --runs 1000000000", "'--runs'"),
    (f"{SWEEP} --runs 1e9", "'--runs'"),
    (f"{SWEEP} --runs 1 --workers 0", "'--workers'"),
    (f"{SWEEP} --runs 1 --workers 1000000", "'--workers'"),
    (f"{SWEEP} --runs 1 --max-seconds-per-run nan", "'--max-seconds-per-run'"),
    (f"{SWEEP} --runs 1 --protocol leaky", "'--protocol'"),
    (f"{SWEEP} --runs 1 --space outer", "'--space'"),
    (f"{SWEEP} --runs 1 --device abacus", "abacus"),
    (f"{SWEEP} --runs 1 --out {{files}}/good.csv", "'--out'"),
    (f"{TUNE} --method magic", "'magic'"),
    (f"{TUNE} --tries 1000000000", "'--tries'"),
    (f"{TUNE} --splits 1000000000", "'--splits'"),
    (f"{TUNE} --average 0", "'--average'"),
    (f"{TUNE} --test-split-rate 1.5", "1.5"),
    (f"{TUNE} --max-seconds-per-try nan", "'--max-seconds-per-try'"),
    (f"{TUNE} --start-from x.parquet", "--start-from"),
    (f"{TUNE} --method als --start-from nowhere.parquet", "nowhere.parquet"),
    (f"{TUNE} --method als --start-from {{files}}/text.parquet", "text.parquet"),
    (f"{TUNE} --method als --start-from {{files}}/other.parquet", "'method'"),
    (f"{TUNE} --method biases --start-from {{files}}/text-tries.parquet", "'number'"),
    (f"{TUNE} --method biases --start-from {{files}}/none-tries.parquet", "'settings'"),
    (f"{TUNE} --method biases --start-from {{files}}/json-tries.parquet", "suggested: '{'"),
    (f"{TUNE} --method biases --start-from {{files}}/list-tries.parquet", "suggested: '[1]'"),
    # using a model
    ("flexlib predict --user 1 --item 1", "'--model'"),
    ("flexlib predict --model nowhere.safetensors --user 1 --item 1", "nowhere.safetensors"),
    ("flexlib predict --model {files}/text.parquet --user 1 --item 1", "text.parquet"),
    ("flexlib predict --model {files}/good.csv --user 1 --item 1", "good.csv"),
    (MODEL.format("predict") + "--user 1", "--item"),
    (MODEL.format("predict") + "--pairs nowhere.csv", "nowhere.csv"),
    (MODEL.format("predict") + "--pairs {files}/empty.csv", "empty.csv"),
    (MODEL.format("predict") + "--pairs {files}/log.csv", "no column of users"),
    (MODEL.format("predict") + "--pairs {files}/good.csv --user 1", "--pairs"),
    (MODEL.format("predict") + "--user 1 --item 1 --new-ratings {files}/words.csv", "'good'"),
    (MODEL.format("predict") + "--user 1 --item 1 --out nowhere/a.csv", "nowhere/a.csv"),
    (MODEL.format("predict") + "--user 1 --item 1 --out a.txt", "a.txt"),
    (MODEL.format("recommend") + "--all", "--out"),
    (MODEL.format("recommend") + "--user 1 -k 0", "-k"),
    (MODEL.format("recommend") + "--user nobody", "'nobody'"),
    (MODEL.format("recommend") + "--all --user 1 --out a.csv", "--all"),
    (f"flexlib evaluate --dataset {SMALL} --folds 1", "'--folds'"),
    (f"flexlib evaluate --dataset {SMALL} --folds 1000000000", "1000000000 folds"),
    (f"flexlib evaluate --dataset {SMALL} --splits 1000000000", "'--splits'"),
    (f"flexlib evaluate --dataset {SMALL} --method magic", "'magic'"),
    (f"{METHOD} als --set factor=3", "'factor': did you mean 'factors'?"),
    (f"{METHOD} als --set epochs=3", "known: factors, regularization, sweeps, centre"),
    (f"{METHOD} als --set seed=3", "'seed'"),
    (f"{METHOD} als --set factors", "key=value"),
    (f"{METHOD} als --set factors=0", "factors: 0 is not"),
    (f"{METHOD} als --set factors=2.5", "factors: 2.5 is not"),
    (f"{METHOD} als --set factors=[1", "'factors'"),
    (f"{METHOD} als --set centre=rows", "mean, biases"),
    (f"{METHOD} rbm --set learning_rate=.nan", "learning_rate: nan is not"),
    (f"{METHOD} item_knn --set shrinkage=true", "shrinkage: True is not"),
    (f"{METHOD} user_mean --set shrinkage=1", "known: none"),
    (f"{METHOD} flexencoder --set factors=3", "'factors'"),
    (f"{METHOD} flexencoder --set epochs=-1", "epochs (Ep)"),
    (f"{METHOD} als --config table2:1", "--config"),
    (f"flexlib evaluate --dataset {SMALL} --split {{files}}/good.csv", "part"),
    (f"flexlib evaluate --dataset {SMALL} -k 0", "-k"),
    (f"flexlib evaluate --dataset {SMALL} --relevant nan", "--relevant"),
    (f"flexlib evaluate --dataset {SMALL} --test-split-rate 2 --splits 2", "2"),
    ("flexlib split --dataset synthetic", "'--out'"),
    (f"flexlib split --dataset {SMALL} --test-split-rate 1 --out a.csv", "'--test-split-rate'"),
    (f"flexlib split --dataset {SMALL} --fold u9 --out a.csv", "'u9'"),
    (f"flexlib compare --dataset {SMALL} --out out --method magic", "'magic'"),
    (f"flexlib compare --dataset {SMALL} --out out --tries 1000000000", "'--tries'"),
    (f"flexlib compare --dataset {SMALL} --out out --test-split-rate 1.5", "1.5"),
    (f"flexlib compare --dataset {SMALL} --out out -k -1", "-k"),
    (f"flexlib train --dataset {SMALL} --all", "--save"),
    (f"flexlib train --dataset {SMALL} --split nowhere.csv", "nowhere.csv"),
    # the study's own
    ("flexstudy headline --splits 0 --out out", "'--splits'"),
    (f"flexstudy headline --dataset {SMALL} --setting table2:11 --out out", "table2:11"),
    ("flexstudy fill nowhere.ipynb", "nowhere.ipynb"),
    ("flexstudy", "COMMAND"),
    ("flexstudy experiment", "Missing argument"),
    (f"{EXPERIMENT} table3", "'table3'"),
    (f"{EXPERIMENT} table2 --splits 0", "'--splits'"),
    (f"{EXPERIMENT} table2 --splits 1000000000", "'--splits'"),
    (f"{EXPERIMENT} explore --splits 1000", "100,000"),
    (f"{EXPERIMENT} best", "no such file"),
    (f"flexstudy served --dataset {SMALL} --out out --tuned {{files}}/other.parquet", "'method'"),
    (f"flexstudy served --dataset {SMALL} --out out --tuned {{files}}/text.parquet --splits 1", "text.parquet"),
    (f"flexstudy served --dataset {SMALL} --out out --tuned x --method magic", "'magic'"),
    ("flexstudy convert nowhere", "nowhere"),
    *(
        (f"flexstudy replay --dataset {SMALL} --out out {{files}}/{name}log.csv", piece)
        for name, piece in {
            "": "no column",
            "nan-": "line 2: _RMSE: 'nan'",
            "infinite-": "line 2: _RMSE: 'inf'",
            "negative-": "line 2: _RMSE: '-1'",
            "words-": "line 2: _RMSE: 'good'",
            "digits-": "line 2: epochs (Ep)",
            "deep-": "line 2: hidden_layers (HLs)",
            "no-": "no-log.csv",
        }.items()
    ),
    ("run_study --profile slow", "'slow'"),
    ("run_study --chapter 99_none --out out", "'99_none'"),
    ("run_study --at-once 0", "'--at-once'"),
    ("run_study --shape round", "--shape"),
]


def test_there_are_a_hundred_and_no_two_alike():
    assert len({line for line, _ in BAD}) == len(BAD) >= 100


@pytest.mark.parametrize(("line", "piece"), BAD, ids=[f"{line[:60]} {k}" for k, (line, _) in enumerate(BAD)])
def test_a_bad_command_line_gets_one_line_and_leaves_nothing(files, tmp_path, monkeypatch, capsys, line, piece):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FLEXLIB_SCHEDULER")  # or a device would be for its workers to have
    before = {path: path.read_bytes() for path in files.iterdir()}
    program, *words = [word.replace("{files}", str(files)) for word in line.split()]
    status = COMMANDS[program](words)
    printed = capsys.readouterr()
    assert status == 2, printed
    assert printed.out == ""
    assert printed.err.count("\n") == 1, printed.err
    assert printed.err.startswith(f"{program}: ")
    assert piece.replace("{files}", str(files)) in printed.err
    assert list(tmp_path.iterdir()) == []
    assert {path: path.read_bytes() for path in files.iterdir()} == before
