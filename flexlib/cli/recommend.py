"""`flexlib recommend`: what a saved model predicts users to rate highest."""

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
@click.option("--user", "users", multiple=True, metavar="ID", help="the user's id as in the data set; may be repeated")
@click.option("--all", "everyone", is_flag=True, help="lists of all users; needs --out")
@click.option("-k", type=int, default=10, show_default=True, help="how many items")
@out_option
def recommend(load: Callable[[], "Fitted"], users: tuple[str, ...], everyone: bool, k: int, out: Path | None) -> None:
    """List the items that a saved model predicts users to rate highest."""
    from flexlib.serving.recommending import recommend as recommend_items
    from flexlib.serving.tables import check_ending, write_table

    if k < 1:
        raise FlexError(f"-k {k}: at least 1 is needed")
    if bool(users) == everyone:
        raise FlexError("recommend: give --user, or --all")
    if everyone and not out:
        raise FlexError("--all: needs --out FILE")
    if out:
        check_ending(out)
    table = recommend_items(load(), None if everyone else list(users) if out or users[1:] else users[0], k)
    if out:
        write_table(table, out)
        print(f"wrote {out}")
    else:
        table.index += 1
        print_table(table)
