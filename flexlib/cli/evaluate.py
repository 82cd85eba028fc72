"""`flexlib evaluate`: cross-validation, with an interval for each measure."""

import math
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flexlib.cli.options import (
    COUNT,
    DATA_SETS,
    POSITIVE,
    config_options,
    dataset_option,
    layout_options,
    out_option,
    seed_option,
    split_option,
)
from flexlib.cli.tables import print_table
from flexlib.config import FlexConfig, FlexError

if TYPE_CHECKING:
    from flexlib.data import Ratings, Split
    from flexlib.predict import Fitted


@click.command(epilog=DATA_SETS)
@dataset_option()
@config_options
@click.option(
    "--method", metavar="NAME", help="a method of flexlib tune in place of --config; --set changes its settings"
)
@click.option("--folds", type=click.IntRange(min=2), metavar="N", help="each rating is tested once  [default: 5]")
@click.option("--splits", type=COUNT, metavar="N", help="random splits instead, with seeds from --seed on")
@click.option("--test-split-rate", type=POSITIVE, metavar="SHARE", help="of --splits (default: the configuration's)")
@split_option
@click.option("-k", type=int, default=10, show_default=True, help="length of the lists")
@click.option(
    "--relevant", type=float, metavar="STARS", help="lowest rating that counts as a hit (default: 0.8 x highest)"
)
@click.option("--no-lists", is_flag=True, help="RMSE and MAE alone, which is faster")
@seed_option("of folds or splits, and of the first one's weights")
@out_option
@layout_options
def evaluate(
    dataset: str,
    config: str,
    changes: tuple[str, ...],
    method: str | None,
    folds: int | None,
    splits: int | None,
    test_split_rate: float | None,
    split: Path | None,
    k: int,
    relevant: float | None,
    no_lists: bool,
    seed: int,
    out: Path | None,
    columns: dict[str, str],
    scale: Any,
) -> None:
    """Fit and score on several splits, leak-free, for all users and by how active they are.

    RMSE and MAE are in stars, over all test ratings. nDCG@k and recall@k are of lists of items that the user has not
    rated in training, coverage@k is the share of items that any list has. Each interval, at 95 %, is a bootstrap over
    users; that of coverage is a t-interval over splits.
    """
    from flexlib.data import split_ratings
    from flexlib.datasets.loading import load_ratings
    from flexlib.methods.registry import find_method
    from flexlib.serving.crossvalidation import cross_validate, fold_ratings
    from flexlib.serving.methods import fit_method
    from flexlib.serving.splits import read_split
    from flexlib.serving.tables import check_ending, write_table
    from flexlib.train import fit

    if sum(given is not None for given in (folds, splits, split)) > 1:
        raise FlexError("evaluate: give one of --folds, --splits and --split")
    if k < 1:
        raise FlexError(f"-k {k}: at least 1 is needed")
    if relevant is not None and not math.isfinite(relevant):
        raise FlexError(f"--relevant {relevant}: a number of stars is needed")
    if method is not None and config != "default":
        raise FlexError("evaluate: give one of --config and --method")
    settings = (FlexConfig.load(config) if method is None else find_method(method).defaults).override(changes)
    if out:
        check_ending(out)
    ratings = load_ratings(dataset, columns, scale)
    network = settings if isinstance(settings, FlexConfig) else FlexConfig()
    rate, count = test_split_rate or network.test_split_rate, 1 if split else splits or folds or 5
    made: Iterable[Split]
    if split:
        made = [read_split(ratings, split)]
    elif splits:
        made = (split_ratings(ratings, rate, seed + number) for number in range(splits))
    else:
        made = fold_ratings(ratings, count, seed)

    def fit_one(known: "Ratings", number: int) -> "Fitted":
        print(f"split {number + 1}/{count}", file=sys.stderr)
        if method is not None:
            return fit_method(known, method, settings.to_dict(), seed + number)
        return fit(known, network, "holdout", seed + number, split=split_ratings(known, 0))

    table = cross_validate(ratings, fit_one, made, k, relevant, not no_lists)
    if out:
        write_table(table, out)
        print(f"wrote {out}")
    else:
        print_table(table, 4)
