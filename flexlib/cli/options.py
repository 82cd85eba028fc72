"""Options that several commands have, each declared once."""

import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flexlib.config import PROTOCOLS, FlexError
from flexlib.datasets.sources import DATASETS, data_folders

if TYPE_CHECKING:
    from flexlib.predict import Fitted

Command = Callable[..., None]
# How many of what a command makes; more would fill the memory before the first is made.
COUNT = click.IntRange(1, 1_000)

DATA_SETS = (
    "Data sets: synthetic (embedded; synthetic:users=N,items=N,ratings=N,seed=N for another size), "
    f"{', '.join(DATASETS)}, or a path to a .csv or .parquet file (flexlib data --help says which are read, and how). "
    f"They are looked for in $FLEXLIB_DATA, then in {data_folders()[-1]}, then fetched from GroupLens."
)


class Positive(click.ParamType):
    """A number above 0."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read the number; the option is named where it is not one."""
        try:
            number = float(value)
        except ValueError:
            self.fail(f"{value!r} is not a number", param, ctx)
        if not number > 0:
            self.fail(f"{value} is not above 0", param, ctx)
        return number


POSITIVE = Positive()


def dataset_option(default: str = "synthetic") -> Callable[[Command], Command]:
    """Add `--dataset`."""
    return click.option(
        "--dataset", default=default, show_default=True, metavar="NAME_OR_PATH", help="what to learn from"
    )


def layout_options(command: Command) -> Command:
    """Add `--columns` and `--scale`, passed on as `columns` (a mapping) and `scale` (a tuple, or None)."""

    @click.option(
        "--columns",
        multiple=True,
        metavar="WHAT=NAME",
        help="a file's column: user=, item=, rating= or timestamp=; may be repeated",
    )
    @click.option("--scale", nargs=3, type=float, default=None, metavar="LOW HIGH STEP", help="a file's rating scale")
    @functools.wraps(command)
    def with_layout(columns: tuple[str, ...], scale: tuple[float, float, float] | None, **rest: Any) -> None:
        command(columns=read_columns(columns), scale=scale, **rest)

    return with_layout


def read_columns(texts: Sequence[str]) -> dict[str, str]:
    """Read which column of a file holds what.

    Parameters
    ----------
    texts
        Of the form WHAT=NAME.

    Returns
    -------
    dict
        What a column holds to its name.

    Raises
    ------
    FlexError
        For another form, and where one thing is told twice.
    """
    columns: dict[str, str] = {}
    for text in texts:
        what, equals, name = text.partition("=")
        if not (what and equals and name):
            raise FlexError(f"--columns: '{text}' is not of the form WHAT=NAME")
        if what in columns:
            raise FlexError(f"--columns: {what} is told twice")
        columns[what] = name
    return columns


def engine_options(command: Command) -> Command:
    """Add `--workers`, `--scheduler` and `--out`: who works, and where the records go."""
    workers = click.option(
        "--workers",
        type=COUNT,
        default=1,
        show_default=True,
        metavar="W",
        help="processes of this machine, of one thread each",
    )
    scheduler = click.option(
        "--scheduler",
        envvar="FLEXLIB_SCHEDULER",
        metavar="ADDRESS_OR_FILE",
        help="Dask cluster that works instead, such as tcp://host:8786 or scheduler.json (or $FLEXLIB_SCHEDULER)",
    )
    out = click.option(
        "--out",
        required=True,
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help="folder of the records; what it holds is not run again",
    )
    return workers(scheduler(out(command)))


def run_options(command: Command) -> Command:
    """Add what commands have that make runs: `engine_options`, `layout_options`, a limit and a device."""
    command = layout_options(command)
    limit = click.option(
        "--max-seconds-per-run",
        type=POSITIVE,
        default=math.inf,
        metavar="T",
        help="record runs as skipped whose estimate (of one core) is higher",
    )
    return engine_options(limit(device_option(command)))


def device_option(command: Command) -> Command:
    """Add `--device`."""
    return click.option("--device", help="cpu, cuda, cuda:1, ... (default: cuda where there is one)")(command)


def seed_option(of_what: str) -> Callable[[Command], Command]:
    """Add `--seed`, at least 0."""
    return click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help=of_what)


def protocols_option(command: Command) -> Command:
    """Add `--protocol`, which may be repeated, passed on as `protocols` (a tuple without repeats)."""

    @click.option(
        "--protocol",
        "protocols",
        multiple=True,
        type=click.Choice(list(PROTOCOLS)),
        default=("released", "holdout"),
        show_default=True,
        help="may be repeated",
    )
    @functools.wraps(command)
    def with_protocols(protocols: tuple[str, ...], **rest: Any) -> None:
        command(protocols=tuple(dict.fromkeys(protocols)), **rest)

    return with_protocols


def split_option(command: Command) -> Command:
    """Add `--split`."""
    return click.option(
        "--split",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="split by a CSV or Parquet file with the columns user, item and part (train or test)",
    )(command)


def model_options(command: Command) -> Command:
    """Add `--model` and `--new-ratings`, passed on as `load`: a function that loads the model and folds these in."""

    @click.option("--model", required=True, metavar="FILE", help="of train --save or tune --save")
    @click.option(
        "--new-ratings",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="CSV or Parquet with users, items and ratings that the model is given first, without training",
    )
    @functools.wraps(command)
    def with_model(model: str, new_ratings: Path | None, **rest: Any) -> None:
        def load() -> "Fitted":
            from flexlib.serving.folding import fold_in
            from flexlib.serving.models import load_model
            from flexlib.serving.tables import read_ratings

            loaded = load_model(model)
            return fold_in(loaded, *read_ratings(new_ratings)) if new_ratings else loaded

        command(load=load, **rest)

    return with_model


def out_option(command: Command) -> Command:
    """Add `--out`: a table's file."""
    return click.option(
        "--out", type=click.Path(path_type=Path), metavar="FILE", help="write a .csv or .parquet file, and print none"
    )(command)


def config_options(command: Command) -> Command:
    """Add `--config` and `--set`, passed on as `config` (for `FlexConfig.load`) and `changes` (for its `override`)."""
    config = click.option(
        "--config", default="default", metavar="FILE_OR_PRESET", help="YAML or JSON file, or a preset"
    )
    changes = click.option(
        "--set", "changes", multiple=True, metavar="KEY=VALUE", help="change a parameter; may be repeated"
    )
    return config(changes(command))
