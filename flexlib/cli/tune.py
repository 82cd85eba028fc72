"""`flexlib tune`: methods tuned on validation ratings, and scored once on test ratings."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flexlib.cli.options import COUNT, DATA_SETS, POSITIVE, dataset_option, engine_options, layout_options
from flexlib.config import FlexConfig, FlexError

if TYPE_CHECKING:
    import pandas as pd

    from flexlib.data import Ratings


@click.command(epilog=DATA_SETS)
@dataset_option()
@click.option("--method", "methods", multiple=True, metavar="NAME", help="may be repeated (default: all)")
@click.option("--tries", type=COUNT, default=10, show_default=True, metavar="N", help="of each method")
@click.option(
    "--test-split-rate",
    type=POSITIVE,
    metavar="SHARE",
    help="held out for testing (default: the data set's own folds, else 0.3)",
)
@click.option("--splits", type=COUNT, default=3, show_default=True, metavar="N", help="or folds")
@click.option("--one-search", is_flag=True, help="for all splits, on the ratings that none of their test sets has")
@click.option(
    "--average",
    type=COUNT,
    default=1,
    show_default=True,
    metavar="N",
    help="score the mean of N networks too, those of a network method's best tries",
)
@click.option(
    "--start-from",
    metavar="TRIES.parquet",
    help="begin the search with the best tries of another one (a single --method)",
)
@click.option(
    "--max-seconds-per-try",
    type=POSITIVE,
    default=math.inf,
    metavar="T",
    help="a network's try whose estimate (one core, expected epochs) is higher is not made (default: no limit)",
)
@click.option(
    "--save",
    type=click.Path(path_type=Path),
    metavar="NAME",
    help="train the winner on all ratings and write it, for predict and recommend: .safetensors or .parquet is added",
)
@engine_options
@layout_options
def tune(
    dataset: str,
    methods: tuple[str, ...],
    tries: int,
    test_split_rate: float | None,
    splits: int,
    one_search: bool,
    average: int,
    start_from: str | None,
    max_seconds_per_try: float,
    save: Path | None,
    workers: int,
    scheduler: str | None,
    out: Path,
    columns: dict[str, str],
    scale: Any,
) -> None:
    """Tune methods on validation ratings, and read the test ratings once.

    Each method gets so many tries on a tenth of each split's training ratings; the best one's settings are then trained
    on all of them. A network's try that takes twice the epochs of earlier ones ends where it is worse than half of
    them. A search that was stopped goes on where it was. The winner has the lowest RMSE on validation ratings.
    """
    from flexlib.datasets.loading import load_ratings

    try:
        from flexlib.methods import tuning as search  # Optuna and Dask are extras
    except ImportError as error:
        raise FlexError(f"tuning needs {error.name}: pip install 'flexlib[methods,runs]'") from None
    if save and not save.absolute().parent.is_dir():
        raise FlexError(f"{save}: cannot be written; is its folder there?")
    if test_split_rate is None and not load_ratings(dataset, columns, scale).folds:
        test_split_rate = FlexConfig().test_split_rate
    start: tuple[str, ...] = ()
    methods = methods or tuple(search.ALL)
    if start_from:
        if len(methods) != 1:
            raise FlexError("--start-from: needs exactly one --method, whose settings it takes over")
        start = search.best_suggestions(search.load_tuned(start_from, search.TRY_COLUMNS), methods[0])
    tuning = search.Tuning(
        dataset,
        methods,
        test_split_rate,
        splits,
        tries,
        one_search,
        max_seconds_per_try,
        average,
        start,
        tuple(sorted(columns.items())),
        scale,
    )
    table, _ = search.run_tuning(tuning, out, workers, scheduler)
    print(table.groupby(["method", "networks"])[["validation_rmse", "rmse", "rmse_known"]].mean().sort_values("rmse"))
    print(f"wrote {out / tuning.name}.parquet")
    if save:
        _save_winner(table[table["method"].isin(methods)], load_ratings(dataset, columns, scale), save)


def _save_winner(table: "pd.DataFrame", ratings: "Ratings", name: Path) -> None:
    from flexlib.serving.methods import choose_winner, fit_method
    from flexlib.serving.models import ending_of, save_model

    method, settings = choose_winner(table)
    model = fit_method(ratings, method, settings)
    path = name.with_name(name.name + ending_of(model))
    save_model(model, path)
    print(f"wrote {path}: {method}, trained on all {len(ratings):,} ratings")
