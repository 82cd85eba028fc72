"""`flexlib sweep`: random configurations, each trained and scored under several protocols."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flexlib.cli.options import DATA_SETS, dataset_option, protocols_option, run_options, seed_option
from flexlib.cli.tables import print_outcomes
from flexlib.config import FlexError
from flexlib.runs.sampling import MOST_RUNS, SPACES

if TYPE_CHECKING:
    from flexlib.runs.plan import Plan


@click.command(epilog=DATA_SETS)
@dataset_option()
@click.option("--runs", type=click.IntRange(1, MOST_RUNS), required=True, metavar="N", help="how many configurations")
@click.option("--space", type=click.Choice(list(SPACES)), default="paper", show_default=True, help="to draw from")
@seed_option("of configurations, splits and weights")
@protocols_option
@run_options
def sweep(dataset: str, runs: int, space: str, seed: int, protocols: tuple[str, ...], **options: Any) -> None:
    """Train and score random configurations, and record every one.

    Run k's configuration follows from the seed and k alone; its protocols share split and initial weights. A sweep that
    was stopped goes on where it was, also with more --runs or seconds.
    """
    from flexlib.runs.plan import Plan

    work_off(Plan.sweep(dataset, protocols, runs, seed, space, **plan_options(options)), options)


def plan_options(options: dict[str, Any]) -> dict[str, Any]:
    """Translate the options of `run_options` into those of a `Plan`."""
    return {
        "max_seconds": options["max_seconds_per_run"],
        "columns": tuple(options["columns"].items()),
        "scale": options["scale"],
    }


def work_off(plan: "Plan", options: dict[str, Any]) -> tuple[Any, Path]:
    """Work a plan off as `run_options` say, and print what became of the runs.

    Returns
    -------
    records, path
        The table, and its file.

    Raises
    ------
    FlexError
        Where Dask is not installed, or the device is not there.
    """
    from flexlib.train import choose_device

    try:
        from flexlib.runs.run import run_plan  # Dask is an extra
    except ImportError as error:
        raise FlexError(f"many runs need {error.name}: pip install 'flexlib[runs]'") from None
    device, out = options["device"], options["out"]
    if device is not None and options["scheduler"] is None:
        choose_device(device)
    table = run_plan(plan, out, options["workers"], options["scheduler"], device)
    print_outcomes(table)
    path = out / f"{plan.name}.parquet"
    print(f"wrote {path}")
    return table, path
