"""`flexlib predict`: what a saved model predicts of pairs of a user and an item."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flexlib.cli.options import model_options, out_option
from flexlib.cli.tables import print_table
from flexlib.config import FlexError

if TYPE_CHECKING:
    from flexlib.predict import Fitted


@click.command()
@model_options
@click.option("--user", metavar="ID", help="a user's id as in the data set, with --item")
@click.option("--item", metavar="ID", help="an item's id as in the data set, with --user")
@click.option("--pairs", type=click.Path(path_type=Path), metavar="FILE", help="CSV or Parquet with users and items")
@out_option
def predict(
    load: Callable[[], "Fitted"], user: str | None, item: str | None, pairs: Path | None, out: Path | None
) -> None:
    """Predict ratings, in stars, of one pair or of a file of them.

    A user or an item that the model has not seen in training has a mean: the user's, else the item's, else that of all.
    """
    import pandas as pd

    from flexlib.serving.tables import check_ending, read_pairs, write_table

    if (user is None) != (item is None) or (user is None) == (pairs is None):
        raise FlexError("predict: give --user and --item, or --pairs")
    if out:
        check_ending(out)
    wanted = read_pairs(pairs) if pairs else pd.DataFrame({"user": [user], "item": [item]})
    table = wanted.assign(predicted=load().predict(wanted["user"], wanted["item"]))
    if out:
        write_table(table, out)
        print(f"wrote {out}")
    else:
        print_table(table)
