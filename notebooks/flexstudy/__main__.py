"""The study's own commands: for the runs of its chapters, and for chapters that were executed."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import pandas as pd

from flexlib.cli.app import run_app
from flexlib.cli.options import (
    COUNT,
    DATA_SETS,
    dataset_option,
    device_option,
    engine_options,
    layout_options,
    protocols_option,
    run_options,
    seed_option,
)
from flexlib.cli.sweep import plan_options, work_off
from flexlib.config import PAPERS_DATASET
from flexlib.datasets.loading import load_ratings
from flexlib.runs.journal import replaced
from flexlib.runs.plan import Plan
from flexstudy.accuracy import BEST_SET
from flexstudy.chapter import adapt_pages, fill_file
from flexstudy.convert import convert_folder
from flexstudy.headline import headline_name, headline_predictions
from flexstudy.plans import CHOSEN_FROM, EXPERIMENTS
from flexstudy.plans import experiment as plan_experiment
from flexstudy.replay import read_authors_records, replay_report
from flexstudy.served_cases import served_name
from flexstudy.served_runs import run_served


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def commands() -> None:
    """Make the runs of the study's chapters; `flexlib` has the commands for everything else.

    Exit status: 0 done, 2 bad input (one line says which), 130 interrupted.
    """


@commands.command(epilog=DATA_SETS)
@click.argument("records", metavar="RECORDS.csv")
@dataset_option(PAPERS_DATASET)
@seed_option("of splits and weights")
@protocols_option
@run_options
def replay(records: str, dataset: str, seed: int, protocols: tuple[str, ...], **options: Any) -> None:
    """Run the settings of a table of records again, and compare the RMSE.

    RECORDS.csv has the columns of the authors' log, one row a run.
    """
    configs, authors = read_authors_records(records)
    plan = Plan.replay(dataset, protocols, configs, seed, **plan_options(options))
    table, path = work_off(plan, options)
    report = replay_report(table, authors, plan, seed, options["device"])
    for protocol, groups in report["agreement"].items():
        print(f"\nagreement with the recorded RMSE (stars), {protocol}:")
        print(pd.DataFrame(groups).T.to_string(float_format="{:.4g}".format))
    print("\nthe runs that disagree most:")
    print(pd.DataFrame(report.get("disagreements", {})).T.to_string(float_format="{:.3f}".format))
    path = path.with_suffix(".json")
    with replaced(path) as partial:
        partial.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {path}")


_EXPERIMENTS = "\n\n".join(f"{name}: {(make.__doc__ or '').splitlines()[0]}" for name, make in EXPERIMENTS.items())

_SOURCES = "Settings are chosen from records in --out: " + ", ".join(
    f"{name} from {source}" for name, source in CHOSEN_FROM.items()
)


@commands.command(epilog=f"{_EXPERIMENTS}\n\n{_SOURCES}\n\n{DATA_SETS}")
@click.argument("name", type=click.Choice(list(EXPERIMENTS)))
@dataset_option(PAPERS_DATASET)
@click.option("--splits", type=COUNT, metavar="N", help="seeds: of splits, weights and order")
@run_options
def experiment(name: str, dataset: str, splits: int | None, **options: Any) -> None:
    """Make the runs of a chapter of the study."""
    work_off(plan_experiment(name, dataset, options["out"], splits, **plan_options(options)), options)


@commands.command(epilog=DATA_SETS)
@dataset_option(PAPERS_DATASET)
@click.option("--setting", default=BEST_SET, show_default=True, metavar="PRESET", help="what to train")
@click.option("--splits", type=COUNT, default=5, show_default=True, metavar="N", help="seeds, from 0")
@device_option
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="folder")
def headline(dataset: str, setting: str, splits: int, device: str | None, out: Path) -> None:
    """Keep each prediction of the paper's best setting, leaky and leak-free, and the splits that it was made on."""
    ratings = load_ratings(dataset)
    table = headline_predictions(ratings, setting, range(splits), device=device)
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{headline_name(dataset)}.parquet"
    with replaced(path) as partial:
        table.to_parquet(partial, index=False)
    print(f"wrote {path}")


@commands.command(epilog=DATA_SETS)
@dataset_option(PAPERS_DATASET)
@click.option("--tuned", required=True, metavar="FILE", help="records of flexlib tune (tuned-....parquet)")
@click.option("--splits", type=COUNT, default=3, show_default=True, metavar="N", help="seeds, from 0")
@click.option(
    "--method",
    "--methods",
    "methods",
    multiple=True,
    metavar="NAME",
    help="may be repeated (default: all that were tuned)",
)
@click.option("--replace", is_flag=True, help="make records anew that have other settings than the tuned ones")
@engine_options
@layout_options
def served(
    dataset: str,
    tuned: str,
    splits: int,
    methods: tuple[str, ...],
    replace: bool,
    workers: int,
    scheduler: str | None,
    out: Path,
    columns: dict[str, str],
    scale: Any,
) -> None:
    """Score tuned methods where users, films or all of them have few ratings.

    Settings are those that `flexlib tune` chose on the random split of the same seed; each method is trained anew for
    every case. Records of other methods and splits stay where they are, so that costly methods may have fewer splits.
    """
    layout = tuple(sorted(columns.items())), scale
    table = run_served(dataset, tuned, splits, out, workers, scheduler, methods, replace, *layout)
    print(table.pivot_table(index=["task", "shown"], columns="method", values="rmse").round(4).to_string())
    print(f"wrote {out / served_name(dataset)}.parquet")


@commands.command()
@click.argument("folder", type=click.Path(path_type=Path))
def convert(folder: Path) -> None:
    """Bring records of an earlier version up to date: add the columns setting and role."""
    for path in convert_folder(folder):
        print(f"wrote {path}")


@commands.command()
@click.argument("notebooks", metavar="CHAPTER.ipynb", nargs=-1, required=True)
def fill(notebooks: tuple[str, ...]) -> None:
    """Put the numbers into the text of executed chapters, so that they read in JupyterLab or on GitHub.

    CHAPTER.ipynb is what papermill wrote; it is replaced. Captions of figures, references and boxes become plain
    Markdown, and sentences that too few runs leave without a number say so.
    """
    for path in notebooks:
        print(f"wrote {path}: {fill_file(path)} numbers filled in")


@commands.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def pages(folder: Path) -> None:
    """Leave out of the pages of a run's book what its chapters do not know.

    FOLDER holds the book's sources: index.md, book and results/executed.
    """
    for path in adapt_pages(folder):
        print(f"wrote {path}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    return run_app(commands, "flexstudy", arguments)


if __name__ == "__main__":
    sys.exit(main())
