"""`flexlib split`: a split in a file, for others to use."""

from pathlib import Path
from typing import Any

import click

from flexlib.cli.options import DATA_SETS, dataset_option, layout_options, seed_option
from flexlib.config import FlexConfig


@click.command(epilog=DATA_SETS)
@dataset_option()
@click.option(
    "--test-split-rate",
    type=click.FloatRange(0, 1, max_open=True),
    default=FlexConfig().test_split_rate,
    show_default=True,
    metavar="SHARE",
    help="held out for testing",
)
@seed_option("of the split: the one that train has with this seed")
@click.option("--fold", metavar="NAME", help="a fold of the data set's own instead")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILE", help=".csv or .parquet")
@layout_options
def split(
    dataset: str, test_split_rate: float, seed: int, fold: str | None, out: Path, columns: dict[str, str], scale: Any
) -> None:
    """Write which ratings train and which test: the columns user, item and part."""
    from flexlib.data import split_ratings
    from flexlib.datasets.loading import load_ratings
    from flexlib.serving.splits import write_split
    from flexlib.serving.tables import check_ending

    check_ending(out)
    ratings = load_ratings(dataset, columns, scale)
    made = split_ratings(ratings, test_split_rate, seed, fold)
    write_split(ratings, made, out)
    print(f"wrote {out}: {len(made.train):,} training and {len(made.test):,} test ratings")
