"""`flexlib data`: a data set's counts."""

from typing import Any

import click

from flexlib.cli.options import DATA_SETS, layout_options
from flexlib.cli.tables import print_facts
from flexlib.datasets.layouts import RULES


@click.command(epilog=f"{DATA_SETS}\n\n{RULES}")
@click.argument("dataset")
@layout_options
def data(dataset: str, columns: dict[str, str], scale: Any) -> None:
    """Fetch a data set, check it, and print its counts."""
    from flexlib.datasets.loading import load_ratings

    ratings = load_ratings(dataset, columns, scale)
    print_facts({"data set": ratings.name} | ratings.summary())
