"""`flexlib compare`: methods tuned on one's own data, and a table and a figure of what they score."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flexlib.cli.options import COUNT, DATA_SETS, POSITIVE, dataset_option, engine_options, layout_options
from flexlib.config import FlexConfig, FlexError

if TYPE_CHECKING:
    import pandas as pd

    from flexlib.data import Ratings
    from flexlib.predict import Fitted


@click.command(epilog=DATA_SETS)
@dataset_option()
@click.option(
    "--method",
    "methods",
    multiple=True,
    default=("biases", "als", "flexencoder"),
    show_default=True,
    metavar="NAME",
    help="may be repeated",
)
@click.option("--tries", type=COUNT, default=10, show_default=True, metavar="N", help="of each method")
@click.option("--splits", type=COUNT, default=3, show_default=True, metavar="N", help="random ones")
@click.option(
    "--test-split-rate",
    type=POSITIVE,
    default=FlexConfig().test_split_rate,
    show_default=True,
    metavar="SHARE",
    help="held out for testing",
)
@click.option("-k", type=int, default=10, show_default=True, help="length of the lists")
@click.option("--no-lists", is_flag=True, help="RMSE and MAE alone, which is faster")
@engine_options
@layout_options
def compare(
    dataset: str,
    methods: tuple[str, ...],
    tries: int,
    splits: int,
    test_split_rate: float,
    k: int,
    no_lists: bool,
    workers: int,
    scheduler: str | None,
    out: Path,
    columns: dict[str, str],
    scale: Any,
) -> None:
    """Tune methods, and score each by all measures of evaluate.

    The settings are chosen as tune does it: for each split, on validation ratings that are taken from its training
    ratings. With these a method is fitted on the split's training ratings, and scored on its test ratings.

    Beside the records of tune, --out gets a table of all scores, ...-compared.csv, and a figure of RMSE and nDCG@k with
    their 95 % intervals, ...-compared.svg. The figure needs flexlib[figures].
    """
    import pandas as pd

    from flexlib.datasets.loading import load_ratings
    from flexlib.methods.registry import find_method
    from flexlib.serving.crossvalidation import cross_validate
    from flexlib.serving.methods import fit_method
    from flexlib.serving.tables import write_table

    try:
        from flexlib.methods.tuning import Tuning, run_tuning  # Optuna and Dask are extras
    except ImportError as error:
        raise FlexError(f"tuning needs {error.name}: pip install 'flexlib[methods,runs]'") from None
    if k < 1:
        raise FlexError(f"-k {k}: at least 1 is needed")
    ratings, layout = load_ratings(dataset, columns, scale), tuple(sorted(columns.items()))
    keys = tuple(dict.fromkeys(methods))
    tuning = Tuning(dataset, keys, test_split_rate, splits, tries, columns=layout, scale=scale)
    made = tuning.load_splits(ratings)
    records, _ = run_tuning(tuning, out, workers, scheduler)
    seeds, parts = zip(*made.values(), strict=True)
    tables = []
    for method in tuning.methods:
        chosen = _settings(records, method, list(made))

        def fit_chosen(known: "Ratings", number: int, method: str = method, chosen: Any = chosen) -> "Fitted":
            return fit_method(known, method, chosen[number], seeds[number])

        table = cross_validate(ratings, fit_chosen, parts, k, lists=not no_lists)
        table.insert(0, "method", method)
        tables.append(table)
    whole = pd.concat(tables, ignore_index=True)
    path = out / f"{tuning.name}-compared.csv"
    write_table(whole, path)
    of_all = whole[whole["users"] == "all"]
    print(_spelled(of_all))
    print(f"wrote {path}")
    try:
        from flexlib.serving.figures import write_comparison  # matplotlib is an extra
    except ImportError as error:
        print(f"no figure: it needs {error.name}: pip install 'flexlib[figures]'", file=sys.stderr)
        return
    names = {method: find_method(method).name for method in tuning.methods}
    write_comparison(of_all, names, ratings.name, splits, path.with_suffix(".svg"))
    print(f"wrote {path.with_suffix('.svg')}")


def _settings(records: "pd.DataFrame", method: str, splits: list[str]) -> list[dict[str, Any]]:
    """Give the settings that were chosen for each split."""
    own = records[(records["method"] == method) & (records["networks"] == 1)].set_index("split")["settings"]
    if missing := [name for name in splits if not own.get(name)]:
        raise FlexError(f"{method}: no try ended well on the split {missing[0]}")
    return [json.loads(own[name]) for name in splits]


def _spelled(scores: "pd.DataFrame") -> str:
    """Spell scores with their intervals, the method with the lowest RMSE first."""
    texts = [f"{row.value:.3f} ({row.low:.3f} to {row.high:.3f})" for row in scores.itertuples()]
    wide = scores.assign(text=texts).pivot(index="method", columns="measure", values="text")
    order = scores[scores["measure"] == "RMSE"].sort_values("value")["method"]
    return wide.loc[order, scores["measure"].unique()].to_string()
