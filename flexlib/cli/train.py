"""`flexlib train`: one configuration, trained and scored under a protocol."""

import json
import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flexlib.cli.options import DATA_SETS, config_options, dataset_option, device_option, layout_options, split_option
from flexlib.cli.tables import print_facts
from flexlib.config import PRESETS, PROTOCOLS, FlexConfig, FlexError, Protocol

if TYPE_CHECKING:
    from flexlib.predict import FittedModel

SECONDS_BETWEEN_LINES = 10.0  # of progress within an epoch


def _listing(settings: FlexConfig | Protocol) -> str:
    """List settings for the manual: name, abbreviation, default, meaning."""
    lines = ["\b"]
    for row in settings.describe():
        short = f" ({row['abbreviation']})" if row["abbreviation"] else ""
        lines += [f"  {row['parameter']}{short} = {row['value']}", f"      {row['meaning']}"]
    return "\n".join(lines)


@click.command(
    epilog=f"{DATA_SETS}\n\nPresets: {', '.join(PRESETS)}\n\nParameters (--set), with the paper's abbreviations:\n\n"
    f"{_listing(FlexConfig())}\n\nProtocols: {', '.join(PROTOCOLS)}. Their fields (--protocol-set):\n\n"
    f"{_listing(Protocol())}"
)
@dataset_option()
@config_options
@click.option("--protocol", default="holdout", show_default=True, help=f"one of {', '.join(PROTOCOLS)}")
@click.option(
    "--protocol-set", multiple=True, metavar="KEY=VALUE", help="change a field of the protocol; may be repeated"
)
@click.option("--seed", type=int, default=0, show_default=True, help="of split, weights and order")
@device_option
@click.option("--json", "as_json", is_flag=True, help="print one JSON object instead of a table")
@click.option("--save", metavar="FILE", help="write the model, with its ratings, to this .safetensors file")
@click.option(
    "--checkpoint",
    metavar="FILE",
    help="keep the state of training in this .safetensors file after each epoch, and go on from it where it is there",
)
@click.option("--all", "on_all", is_flag=True, help="train on all ratings, for a model to use: nothing is scored")
@split_option
@layout_options
def train(
    dataset: str,
    config: str,
    changes: tuple[str, ...],
    protocol: str,
    protocol_set: tuple[str, ...],
    seed: int,
    device: str | None,
    as_json: bool,
    save: str | None,
    checkpoint: str | None,
    on_all: bool,
    split: Path | None,
    columns: dict[str, str],
    scale: Any,
) -> None:
    """Train a configuration and score it under a protocol.

    Beside its RMSE stands that of biases of users and items alone, from the same training ratings and without the leak.
    """
    from flexlib.data import split_ratings
    from flexlib.datasets.loading import load_ratings
    from flexlib.runs.provenance import provenance
    from flexlib.serving.splits import read_split
    from flexlib.storage.checkpoints import Checkpoint
    from flexlib.storage.models import check_writable, save_model
    from flexlib.train import fit

    settings = FlexConfig.load(config).override(changes)
    rules = Protocol.named(protocol).override(protocol_set)
    for path in filter(None, (save, checkpoint)):
        check_writable(path)
    if on_all and (split or not save):
        raise FlexError("--all: nothing is left to score; it needs --save FILE, and no --split")
    ratings = load_ratings(dataset, columns, scale)
    if (ratings.values == ratings.values[0]).all():
        print(
            f"warning: all {len(ratings):,} ratings are {ratings.values[0]:g}: nothing can be learned", file=sys.stderr
        )
    given = split_ratings(ratings, 0) if on_all else read_split(ratings, split) if split else None
    quiet = as_json and not sys.stderr.isatty()
    progress = None if quiet else _Progress(settings.epochs)
    model = fit(
        ratings,
        settings,
        rules,
        seed,
        split=given,
        device=device,
        on_epoch=progress.on_epoch if progress else None,
        on_batch=progress.on_batch if progress else None,
        checkpoint=Checkpoint(checkpoint) if checkpoint else None,
    )
    scores = {"n_scored": 0} if on_all else _scores(model)
    named = " ".join([protocol, *protocol_set])
    origin = provenance(model)
    if as_json:
        facts = scores | {
            "status": model.status,
            "seconds": round(model.seconds, 3),
            "config": settings.to_dict(),
            "protocol": rules.to_dict(),
            "protocol_name": named,
            "dataset": ratings.name,
            "seed": seed,
            "device": model.device,
            "provenance": origin,
        }
        print(json.dumps(facts))
    else:
        brief = {
            "data set": ratings.name,
            "configuration": " ".join([config, *changes]),
            "protocol": named,
            "seed": seed,
            "status": model.status,
        }
        print_facts(brief | scores | {"seconds": round(model.seconds, 3), "device": origin["device"]})
    sys.stdout.flush()
    if save:
        save_model(model, save)


def _scores(model: "FittedModel") -> dict[str, Any]:
    """Score a model, and the biases of users and items that its training ratings give."""
    from flexlib.evaluation import errors, evaluate
    from flexlib.methods.means_and_biases import biases

    scored = evaluate(model)
    test = model.split.test[scored.predictions["scored"]]
    of_biases, _ = errors(model.ratings.values[test], biases(model.ratings, model.split.train)[test])
    return scored.scores() | {"rmse_of_biases": None if math.isnan(of_biases) else of_biases}


class _Progress:
    """Lines on training, with the time left: after each epoch, and now and then within a long one."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.begun = self.told = time.perf_counter()
        self.first: int | None = None  # epoch that this process begins with: a checkpoint may have some already

    def on_batch(self, model: "FittedModel", share: float) -> None:
        """Tell of a part of an epoch, unless a line was printed a moment ago."""
        if self.first is None:
            self.first = len(model.history)
        if time.perf_counter() - self.told >= SECONDS_BETWEEN_LINES and share < 1:
            self._tell(len(model.history) + share, f"epoch {len(model.history) + 1}/{self.epochs}, {share:.0%} of it")

    def on_epoch(self, model: "FittedModel") -> None:
        """Tell of an epoch."""
        done = len(model.history)
        self._tell(done, f"epoch {done}/{self.epochs}: training RMSE {model.history[-1]:.4f}")

    def _tell(self, done: float, what: str) -> None:
        self.told = time.perf_counter()
        seconds = self.told - self.begun
        left = seconds / (done - (self.first or 0)) * (self.epochs - done)
        print(f"{what}, {seconds:.1f} s, {left:.1f} s left", file=sys.stderr)
