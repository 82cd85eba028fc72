"""What the live explorer says of settings and of networks: costs, and the command that makes the same."""

import shlex
from types import SimpleNamespace

import pytest
from conftest import SMALL
from explorer_records import TEXTS
from flexexplorer import trained
from flexexplorer.pace import EPOCH_SECONDS_PER_RATING, Pace
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from markup import parsed

from flexlib.cli.train import train
from flexlib.config import PRESETS, FlexConfig
from flexlib.datasets.loading import load_ratings
from flexlib.runs.cost import estimate_cost

RATINGS = load_ratings(SMALL)


def test_the_time_that_is_remarked_is_the_estimate_of_two_runs_at_this_machines_pace():
    config = FlexConfig(hidden_layers=(512,), epochs=100, dense_refeeding=3, train_batch_size=1)
    seconds = 2 * (estimate_cost(config, RATINGS).seconds + 100 * len(RATINGS) * EPOCH_SECONDS_PER_RATING)
    assert seconds > 10
    assert trained.remarks(config, RATINGS)[0] == f"About {round(seconds)} s, leaky and leak-free."
    slower = Pace().scaled(2.5)
    assert trained.remarks(config, RATINGS, slower)[0] == f"About {round(2.5 * seconds)} s, leaky and leak-free."


def command(html):
    """The options of the command that is shown, as the shell and then flexlib's parser read them."""
    program, name, *arguments = shlex.split(parsed(html).find("pre").text)
    assert (program, name) == ("flexlib", "train")
    return SimpleNamespace(**train.make_context(name, arguments).params)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_command_says_the_same_configuration(preset):
    config = FlexConfig.preset(preset)
    args = command(trained.shell_command(SimpleNamespace(config=config, seed=4, ratings=RATINGS)))
    assert FlexConfig.load(args.config).override(args.changes) == config
    assert (args.dataset, args.seed, args.protocol) == (SMALL, 4, "holdout")


@settings(max_examples=100, deadline=None, derandomize=True)
@given(TEXTS, st.floats(1e-12, 1e12), st.lists(st.integers(1, 10**6), min_size=1, max_size=5), st.floats(1e-9, 0.999))
def test_the_command_can_hold_any_path_and_number(path, rate, layers, share):
    config = FlexConfig(learning_rate=rate, hidden_layers=layers, test_split_rate=share, noise_probability=share)
    name = f"{path}.csv"
    assume(not name.startswith("-"))  # which no option can have as its value
    model = SimpleNamespace(config=config, seed=0, ratings=SimpleNamespace(name=name, facts={}))
    args = command(trained.shell_command(model))
    assert (args.dataset, FlexConfig.load(args.config).override(args.changes)) == (name, config)
