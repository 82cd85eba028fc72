"""Training that was stopped goes on from its last epoch, and ends with the same numbers."""

import json
import signal
import subprocess
import sys
import time

import pytest
import torch
from conftest import random_ratings

from flexlib.config import OPTIMIZERS, FlexConfig, FlexError
from flexlib.storage.checkpoints import Checkpoint
from flexlib.train import fit

# Everything that draws random numbers, or keeps something from one epoch to the next
CONFIG = FlexConfig(
    hidden_layers=(6, 3),
    train_batch_size=4,
    epochs=6,
    drop_probability=0.3,
    noise_probability=0.2,
    dense_refeeding=1,
    patience=4,
    learning_rate=0.01,
)


def stop_after(epochs):
    def on_epoch(model):
        if len(model.history) == epochs:
            raise KeyboardInterrupt

    return on_epoch


def assert_same(one, other):
    for name in ("history", "validation_history", "steps", "status", "best_epoch"):
        assert getattr(one, name) == getattr(other, name), name
    for mine, its in zip(one.network.parameters(), other.network.parameters(), strict=True):
        assert torch.equal(mine, its)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_that_was_stopped_ends_as_if_it_had_not_been(tmp_path, optimizer):
    config, ratings, file = CONFIG.replace(optimizer=optimizer), random_ratings(3), tmp_path / "state.safetensors"
    straight = fit(ratings, config, seed=5)
    for epochs in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            fit(ratings, config, seed=5, on_epoch=stop_after(epochs), checkpoint=Checkpoint(file))
    seen = []
    resumed = fit(
        ratings, config, seed=5, on_epoch=lambda model: seen.append(len(model.history)), checkpoint=Checkpoint(file)
    )
    assert seen == list(range(4, len(straight.history) + 1))
    assert_same(resumed, straight)


def test_more_epochs_go_on_from_where_fewer_ended(tmp_path):
    ratings, checkpoint = random_ratings(3), Checkpoint(tmp_path / "state.safetensors")
    few, many = CONFIG.replace(epochs=2, patience=0), CONFIG.replace(epochs=5, patience=0)
    fit(ratings, few, seed=1, checkpoint=checkpoint)
    assert_same(fit(ratings, many, seed=1, checkpoint=checkpoint), fit(ratings, many, seed=1))


def test_training_that_ended_by_patience_is_not_taken_up_again(tmp_path):
    config, ratings = CONFIG.replace(patience=1, learning_rate=0.2, epochs=50), random_ratings(3)
    checkpoint = Checkpoint(tmp_path / "state.safetensors")
    first = fit(ratings, config, seed=1, checkpoint=checkpoint)
    assert len(first.history) < 50  # or nothing is tested here
    again = fit(ratings, config, seed=1, checkpoint=checkpoint, on_epoch=stop_after(len(first.history) + 1))
    assert_same(again, first)


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"seed": 2}, "training ratings"),
        ({"protocol": "released"}, "protocol"),
        ({"config": CONFIG.replace(learning_rate=0.02)}, "configuration"),
        ({"ratings": random_ratings(4)}, "training ratings"),
    ],
)
def test_a_state_of_another_training_is_refused(tmp_path, changed, what):
    file = tmp_path / "state.safetensors"
    mine = {"ratings": random_ratings(3), "config": CONFIG, "seed": 1, "protocol": "holdout"}
    fit(**mine, checkpoint=Checkpoint(file))
    before = file.read_bytes()
    with pytest.raises(FlexError, match=rf"state\.safetensors: is of another training, whose {what} differs"):
        fit(**mine | changed, checkpoint=Checkpoint(file))
    assert file.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"{}", b"\x08\0\0\0\0\0\0\0{}      ", b"\xff" * 100])
def test_a_damaged_state_is_named_and_kept(tmp_path, content):
    file = tmp_path / "state.safetensors"
    file.write_bytes(content)
    with pytest.raises(FlexError, match=r"state\.safetensors: not a checkpoint of flexlib"):
        fit(random_ratings(3), CONFIG, checkpoint=Checkpoint(file))
    assert file.read_bytes() == content


def test_a_command_that_is_killed_again_and_again_prints_the_same_numbers(tmp_path):
    file = tmp_path / "state.safetensors"
    data = "synthetic:users=120,items=150,ratings=4000,seed=1"
    command = [sys.executable, "-m", "flexlib", "train", "--dataset", data, "--json", "--set", "epochs=150"]
    command += ["--set", "noise_probability=0.3", "--set", "patience=140"]
    straight = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    kept = [*command, "--checkpoint", str(file)]
    for _ in range(2):
        before = file.stat().st_mtime_ns if file.exists() else 0
        with subprocess.Popen(kept, stdout=subprocess.DEVNULL) as process:
            while not file.exists() or file.stat().st_mtime_ns == before:
                assert process.poll() is None, "it ended before it could be killed"
                time.sleep(0.001)
            process.send_signal(signal.SIGKILL)
    resumed = json.loads(subprocess.run(kept, capture_output=True, check=True).stdout)
    for name in ("rmse", "mae", "n_scored", "status"):
        assert resumed[name] == straight[name]
    assert resumed["provenance"]["steps"] == straight["provenance"]["steps"]
