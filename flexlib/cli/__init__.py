"""The command line, a file a command.

A command imports what computes when it runs, so that the manual does not wait for PyTorch.
"""

from collections.abc import Sequence

import click

from flexlib.cli.app import run_app
from flexlib.cli.compare import compare
from flexlib.cli.data import data
from flexlib.cli.evaluate import evaluate
from flexlib.cli.predict import predict
from flexlib.cli.recommend import recommend
from flexlib.cli.split import split
from flexlib.cli.sweep import sweep
from flexlib.cli.train import train
from flexlib.cli.tune import tune

MANUAL = """FlexEncoder, a deep autoencoder for rating prediction (2018), scored as published and without the leak.

\b
flexlib data synthetic               a data set's counts, checked
flexlib train --config table2:1      train and score the paper's best setting without the leak
flexlib train --config table2:1 --protocol released
                                     the same as the authors' released code scores it
flexlib train --set epochs=20 --set hidden_layers=[64,4] --save my.safetensors
flexlib recommend --model my.safetensors --user 42
flexlib recommend --model my.safetensors --all --out lists.parquet
flexlib predict --model my.safetensors --pairs pairs.csv
flexlib evaluate --set epochs=20     five folds: RMSE, MAE, nDCG, recall and coverage, with intervals
flexlib compare --dataset my.csv --out my-comparison
                                     methods tuned and scored on your own ratings: a table and a figure
flexlib sweep --runs 20 --out my-sweep
                                     random settings, each scored both ways; again to go on

Every command explains itself: flexlib COMMAND --help. Exit status: 0 done, 2 bad input (one line says which), 130
interrupted."""


@click.group(help=MANUAL, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def commands() -> None:
    """Group the commands."""


for command in (data, split, train, predict, recommend, evaluate, tune, compare, sweep):
    commands.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    return run_app(commands, "flexlib", arguments)
