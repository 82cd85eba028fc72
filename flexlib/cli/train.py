"""`flexlib train`: one configuration, trained and scored under a protocol."""

import json
import sys
from collections.abc import Callable
from typing import Any

import click

from flexlib.cli.options import DATA_SETS, dataset_option, device_option, layout_options
from flexlib.cli.tables import print_facts
from flexlib.config import PRESETS, PROTOCOLS, FlexConfig, Protocol
from flexlib.datasets.loading import load_ratings
from flexlib.evaluate import evaluate
from flexlib.model import FittedModel
from flexlib.runs.provenance import provenance
from flexlib.storage import check_writable, save_model
from flexlib.train import fit


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
@click.option("--config", default="default", metavar="FILE_OR_PRESET", help="YAML or JSON file, or a preset")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="change a parameter; may be repeated")
@click.option("--protocol", default="holdout", show_default=True, help=f"one of {', '.join(PROTOCOLS)}")
@click.option(
    "--protocol-set", multiple=True, metavar="KEY=VALUE", help="change a field of the protocol; may be repeated"
)
@click.option("--seed", type=int, default=0, show_default=True, help="of split, weights and order")
@device_option
@click.option("--json", "as_json", is_flag=True, help="print one JSON object instead of a table")
@click.option("--save", metavar="FILE", help="write the model, with its ratings, to this .safetensors file")
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
    columns: dict[str, str],
    scale: Any,
) -> None:
    """Train a configuration and score it under a protocol."""
    settings = FlexConfig.load(config).override(changes)
    rules = Protocol.named(protocol).override(protocol_set)
    if save:
        check_writable(save)
    ratings = load_ratings(dataset, columns, scale)
    quiet = as_json and not sys.stderr.isatty()
    model = fit(ratings, settings, rules, seed, device=device, on_epoch=None if quiet else _reporter(settings.epochs))
    scores = evaluate(model).scores()
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


def _reporter(epochs: int) -> Callable[[FittedModel], None]:
    def report(model: FittedModel) -> None:
        done, seconds = len(model.history), model.seconds
        left = f"{seconds:.1f} s, {seconds / done * (epochs - done):.1f} s left"
        print(f"epoch {done}/{epochs}: training RMSE {model.history[-1]:.4f}, {left}", file=sys.stderr)

    return report
