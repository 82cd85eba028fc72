"""The command line: `flexlib data`, `train`, `recommend`, `sweep`, `replay` and `experiment`."""

import argparse
import json
import math
import os
import signal
import sys
from pathlib import Path

import pandas as pd
from flexstudy.plans import EXPERIMENTS, experiment
from flexstudy.replay import read_authors_records, replay_report

from flexlib.config import PAPERS_DATASET, PRESETS, PROTOCOLS, FlexConfig, FlexError, Protocol, first_line
from flexlib.datasets.loading import load_ratings
from flexlib.datasets.sources import DATASETS, data_folders
from flexlib.evaluate import evaluate, recommend
from flexlib.runs.plan import Plan
from flexlib.runs.provenance import provenance
from flexlib.runs.sampling import SPACES
from flexlib.storage import check_writable, load_model, save_model
from flexlib.train import choose_device, fit

MANUAL = """\
FlexEncoder, a deep autoencoder for rating prediction (2018), scored as published and without the leak.

  flexlib data synthetic                        a data set's counts, checked
  flexlib train --config table2:1               train and score the paper's best setting without the leak
  flexlib train --config table2:1 --protocol released
                                                the same as the authors' released code scores it
  flexlib train --set epochs=20 --save my.safetensors
  flexlib recommend --model my.safetensors --user 42
  flexlib sweep --runs 20 --protocol released --protocol holdout --out my-sweep
                                                random settings, each scored both ways; again to go on
  flexlib experiment table2 --splits 2 --max-seconds-per-run 5 --out my-runs
                                                the runs of a chapter of the study

Every command explains itself: flexlib COMMAND --help. Exit status: 0 done, 2 bad input (one line says which),
130 interrupted."""


def _listing(settings):
    """Settings as a manual's list: name, abbreviation, default, meaning."""
    rows = ({**row, "short": f" ({row['abbreviation']})" if row["abbreviation"] else ""} for row in settings.describe())
    return "\n".join("  {parameter}{short} = {value}\n      {meaning}".format(**row) for row in rows)


def _parser():
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="flexlib", description=MANUAL, formatter_class=raw)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name, run, summary, epilog=""):
        sub = commands.add_parser(name, help=summary, description=summary, epilog=epilog, formatter_class=raw)
        sub.set_defaults(run=run)
        return sub

    sets = (
        f"data sets: synthetic (embedded; synthetic:users=N,items=N,ratings=N,seed=N for another size),\n"
        f"  {', '.join(DATASETS)},\n  or a path to a .csv or .parquet file.\n"
        f"They are looked for in $FLEXLIB_DATA, then in {data_folders()[-1]}, then fetched from GroupLens."
    )
    data = command("data", _data, "fetch a data set, check it, and print its counts", sets)
    data.add_argument("dataset")
    train = command(
        "train", _train, "train a configuration and score it under a protocol",
        f"{sets}\n\npresets: {', '.join(PRESETS)}\n\nparameters (--set), with the paper's abbreviations:\n"
        f"{_listing(FlexConfig())}\n\n"
        f"protocols: {', '.join(PROTOCOLS)}. Their fields (--protocol-set):\n{_listing(Protocol())}",
    )  # fmt: skip
    train.add_argument("--dataset", default="synthetic", help="by name or path (default: synthetic)")
    train.add_argument("--config", default="default", metavar="FILE_OR_PRESET", help="YAML or JSON file, or a preset")
    train.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="change parameters")
    train.add_argument("--protocol", default="holdout", help=f"one of {', '.join(PROTOCOLS)} (default: holdout)")
    train.add_argument("--protocol-set", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
                       help="change single fields of the protocol")  # fmt: skip
    train.add_argument("--seed", type=int, default=0, help="of split, weights and order (default: 0)")
    train.add_argument("--device", help="cpu, cuda, cuda:1, ... (default: cuda where there is one)")
    train.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    train.add_argument("--save", metavar="FILE", help="write the model, with its ratings, to this .safetensors file")
    for sub in (data, train):
        _add_layout(sub)
    sweep = command(
        "sweep", _sweep, "train and score random configurations, and record every one",
        f"Run k's configuration follows from the seed and k alone; its protocols share split and initial weights.\n"
        f"What --out or --storage already holds is not run again: a sweep that was stopped goes on, also with more\n"
        f"--runs or seconds.\n\n{sets}",
    )  # fmt: skip
    sweep.add_argument("--dataset", default="synthetic", help="by name or path (default: synthetic)")
    sweep.add_argument("--runs", type=_at_least_one, required=True, metavar="N", help="how many configurations")
    sweep.add_argument("--space", default="paper", choices=SPACES, help="that they are drawn from (default: paper)")
    replay = command(
        "replay", _replay, "run the settings of a table of records again, and compare the RMSE",
        f"RECORDS.csv has the columns of the authors' log, one row a run. What --out holds is not run again.\n\n{sets}",
    )  # fmt: skip
    replay.add_argument("records", metavar="RECORDS.csv")
    replay.add_argument("--dataset", default=PAPERS_DATASET, help="by name or path (default: %(default)s)")
    listing = "\n".join(f"  {name}\n      {make.__doc__.strip()}" for name, make in EXPERIMENTS.items())
    planned = command(
        "experiment", _experiment, "the runs of a chapter of the study",
        f"{listing}\n\nbest and rounding choose settings from the records of `flexlib sweep` in --out. What --out holds"
        f" is\nnot run again.\n\n{sets}",
    )  # fmt: skip
    planned.add_argument("name", choices=EXPERIMENTS)
    planned.add_argument("--dataset", default=PAPERS_DATASET, help="by name or path (default: %(default)s)")
    planned.add_argument("--splits", type=_at_least_one, metavar="N", help="seeds: of splits, weights and order")
    tuned = command(
        "tune", _tune, "tune methods on validation ratings, and read the test ratings once",
        f"Each method gets so many tries on a tenth of each split's training ratings; the best one's settings are\n"
        f"then trained on all of them. What --out holds is not run again; a search that was stopped goes on.\n\n{sets}",
    )  # fmt: skip
    tuned.add_argument("--dataset", default="synthetic", help="by name or path (default: synthetic)")
    tuned.add_argument("--method", action="append", metavar="NAME", help="may be repeated (default: all)")
    tuned.add_argument("--tries", type=_at_least_one, default=10, metavar="N", help="of each method (default: 10)")
    tuned.add_argument("--test-split-rate", type=_positive, metavar="SHARE",
                       help="held out for testing (default: the data set's own folds, else 0.3)")  # fmt: skip
    tuned.add_argument("--splits", type=_at_least_one, default=3, metavar="N", help="or folds (default: 3)")
    tuned.add_argument("--one-search", action="store_true",
                       help="for all splits, on the ratings that none of their test sets has")  # fmt: skip
    tuned.add_argument("--average", type=_at_least_one, default=1, metavar="N",
                       help="score the mean of the networks of FlexEncoder's N best tries too")  # fmt: skip
    tuned.add_argument("--start-from", metavar="TRIES.parquet",
                       help="begin the search with the best tries of another one (a single --method)")  # fmt: skip
    tuned.add_argument("--max-seconds-per-try", type=_positive, default=math.inf, metavar="T",
                       help="a network's try whose estimate (of one core) is higher is not made")  # fmt: skip
    tuned.add_argument("--workers", type=_at_least_one, default=1, metavar="W", help="processes (default: 1)")
    tuned.add_argument("--out", required=True, metavar="DIR", help="folder of the records")
    shown = command(
        "served", _served, "score tuned methods where users, films or all of them have few ratings",
        f"Methods and settings are those of the records of `flexlib tune` on random splits; each is trained anew for\n"
        f"every case. What --out holds is not run again.\n\n{sets}",
    )  # fmt: skip
    shown.add_argument("--dataset", default=PAPERS_DATASET, help="by name or path (default: %(default)s)")
    shown.add_argument("--tuned", required=True, metavar="FILE", help="records of flexlib tune (tuned-....parquet)")
    shown.add_argument("--splits", type=_at_least_one, default=3, metavar="N", help="seeds, from 0 (default: 3)")
    shown.add_argument("--workers", type=_at_least_one, default=1, metavar="W", help="processes (default: 1)")
    shown.add_argument("--out", required=True, metavar="DIR", help="folder of the records")
    for sub in (sweep, replay):
        sub.add_argument(
            "--seed", type=_not_negative, default=0, help="of configurations, splits and weights (default: 0)"
        )
        sub.add_argument("--protocol", action="append", choices=PROTOCOLS,
                         help="may be repeated (default: released and holdout)")  # fmt: skip
    for sub in (sweep, replay, planned):
        sub.add_argument("--max-seconds-per-run", type=_positive, default=math.inf, metavar="T",
                         help="record runs as skipped whose estimate (of one core) is higher")  # fmt: skip
        sub.add_argument("--workers", type=_at_least_one, default=1, metavar="W", help="processes (default: 1)")
        sub.add_argument("--storage", metavar="URL", default=os.environ.get("FLEXLIB_STORAGE"),
                         help="PostgreSQL for several machines: postgresql://USER@HOST/DATABASE; or $FLEXLIB_STORAGE,"
                         " which no list of processes shows (default: SQLite in --out)")  # fmt: skip
        sub.add_argument("--heartbeat", type=_at_least_one, default=20, metavar="S",
                         help="seconds between a worker's signs of life (default: 20)")  # fmt: skip
        sub.add_argument("--device", help="cpu, cuda, cuda:1, ... (default: cuda where there is one)")
        sub.add_argument("--out", required=True, metavar="DIR", help="folder of the records")
        _add_layout(sub)
    rec = command("recommend", _recommend, "list the items a saved model predicts a user to rate highest")
    rec.add_argument("--model", required=True, metavar="FILE", help="written by flexlib train --save")
    rec.add_argument("--user", required=True, metavar="ID", help="the user's id as in the data set")
    rec.add_argument("-k", type=int, default=10, help="how many items (default: 10)")
    return parser


def _add_layout(sub):
    sub.add_argument("--columns", nargs="+", default=[], metavar="WHAT=NAME",
                     help="a file's columns: user=, item=, rating=, timestamp=")  # fmt: skip
    sub.add_argument("--scale", nargs=3, type=float, metavar=("LOW", "HIGH", "STEP"), help="a file's rating scale")


def _at_least_one(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not at least 1")
    return value


def _not_negative(text):
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value} is below 0")
    return value


def _positive(text):
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{value} is not above 0")
    return value


def _columns(args):
    for text in args.columns:
        if not all(text.partition("=")):
            raise FlexError(f"--columns: '{text}' is not of the form WHAT=NAME")
    return dict(text.split("=", 1) for text in args.columns)


def _load(args):
    return load_ratings(args.dataset, _columns(args), args.scale)


def _data(args):
    ratings = _load(args)
    _print_table({"data set": ratings.name} | ratings.summary())


def _train(args):
    config = FlexConfig.load(args.config).override(args.set)
    protocol = Protocol.named(args.protocol).override(args.protocol_set)
    if args.save:
        check_writable(args.save)
    ratings = _load(args)

    def report(model):
        done, seconds = len(model.history), model.seconds
        left = f"{seconds:.1f} s, {seconds / done * (config.epochs - done):.1f} s left"
        print(f"epoch {done}/{config.epochs}: training RMSE {model.history[-1]:.4f}, {left}", file=sys.stderr)

    quiet = args.json and not sys.stderr.isatty()
    model = fit(ratings, config, protocol, args.seed, device=args.device, on_epoch=None if quiet else report)
    scores = evaluate(model).scores()
    named = " ".join([args.protocol, *args.protocol_set])
    facts = scores | {
        "status": model.status, "seconds": round(model.seconds, 3), "config": config.to_dict(),
        "protocol": protocol.to_dict(), "protocol_name": named, "dataset": ratings.name, "seed": args.seed,
        "device": model.device, "provenance": provenance(model),
    }  # fmt: skip
    if args.json:
        print(json.dumps(facts))
    else:
        brief = {"data set": ratings.name, "configuration": " ".join([args.config, *args.set]), "protocol": named,
                 "seed": args.seed, "status": model.status} | scores  # fmt: skip
        _print_table(brief | {"seconds": facts["seconds"], "device": facts["provenance"]["device"]})
    sys.stdout.flush()
    if args.save:
        save_model(model, args.save)


def _options(args):
    return dict(max_seconds=args.max_seconds_per_run, columns=_columns(args), scale=args.scale)


def _random_plan(args, make, *what, **named):
    protocols = list(dict.fromkeys(args.protocol or ["released", "holdout"]))
    return make(args.dataset, protocols, *what, seed=args.seed, **_options(args), **named)


def _run_plan(args, plan):
    """Work off a plan; prints where the records are and what became of the runs."""
    try:
        from flexlib.runs.run import run_plan
    except ImportError as error:
        raise FlexError(f"a sweep needs {error.name}: pip install 'flexlib[sweep]'") from None
    device = choose_device(args.device)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what a batch system sends at the time limit
    table = run_plan(plan, Path(args.out), args.storage, args.workers, device, args.heartbeat)
    counts = table.groupby("protocol")["status"].value_counts().unstack(fill_value=0)
    best = table.groupby("protocol")["rmse"].min().rename("lowest rmse")
    print(counts.join(best).to_string(float_format="{:.4f}".format))
    path = Path(args.out) / f"{plan.name}.parquet"
    print(f"wrote {path}")
    return table, path


def _sweep(args):
    _run_plan(args, _random_plan(args, Plan.sweep, args.runs, space=args.space))


def _experiment(args):
    _run_plan(args, experiment(args.name, args.dataset, args.out, args.splits, **_options(args)))


def _tune(args):
    try:
        from flexlib.methods import tuning as search
    except ImportError as error:
        raise FlexError(f"tuning needs {error.name}: pip install 'flexlib[sweep]'") from None
    rate = args.test_split_rate
    if rate is None and not load_ratings(args.dataset).folds:
        rate = FlexConfig().test_split_rate
    start, methods = (), tuple(args.method or search.ALL)
    if args.start_from:
        if len(methods) != 1:
            raise FlexError("--start-from: needs exactly one --method, whose settings it takes over")
        start = search.best_suggestions(search.load_tuned(args.start_from, search.TRY_COLUMNS), methods[0])
    tuning = search.Tuning(args.dataset, methods, rate, args.splits, args.tries, args.one_search,
                           args.max_seconds_per_try, args.average, start)  # fmt: skip
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    table, _ = search.run_tuning(tuning, Path(args.out), args.workers)
    print(table.groupby(["method", "networks"])[["validation_rmse", "rmse", "rmse_known"]].mean().sort_values("rmse"))
    print(f"wrote {Path(args.out) / tuning.name}.parquet")


def _served(args):
    try:
        from flexstudy.served_cases import run_served, served_name
    except ImportError as error:
        raise FlexError(f"this needs {error.name}: pip install 'flexlib[sweep]'") from None
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    table = run_served(args.dataset, args.tuned, args.splits, Path(args.out), args.workers)
    print(table.pivot_table(index=["task", "shown"], columns="method", values="rmse").round(4).to_string())
    print(f"wrote {Path(args.out) / served_name(args.dataset)}.parquet")


def _replay(args):
    configs, authors = read_authors_records(args.records)
    plan = _random_plan(args, Plan.replay, configs)
    table, path = _run_plan(args, plan)
    report = replay_report(table, configs, authors, plan, args.device)
    for protocol, groups in report["agreement"].items():
        print(f"\nagreement with the recorded RMSE (stars), {protocol}:")
        print(pd.DataFrame(groups).T.to_string(float_format="{:.4g}".format))
    print("\nthe runs that disagree most:")
    print(pd.DataFrame(report.get("disagreements", {})).T.to_string(float_format="{:.3f}".format))
    path = path.with_suffix(".json")
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)
    print(f"wrote {path}")


def _recommend(args):
    if args.k < 1:
        raise FlexError(f"-k {args.k}: at least 1 is needed")
    table = recommend(load_model(args.model), args.user, args.k)
    table.index = range(1, len(table) + 1)
    print(table.to_string(float_format="{:.2f}".format))


def _print_table(facts):
    width = max(map(len, facts))
    for key, value in facts.items():
        print(f"{key:<{width}}  {value:,}" if type(value) is int else f"{key:<{width}}  {value}")


def main(arguments=None):
    """Run one command; returns the exit status."""
    args = _parser().parse_args(arguments)
    try:
        args.run(args)
        sys.stdout.flush()
    except FlexError as error:
        print(f"flexlib: {error}", file=sys.stderr)
        return 2
    except (OSError, MemoryError, RuntimeError) as error:  # a full disk, too large a network
        if isinstance(error, BrokenPipeError):  # the reader of our output, such as head, has gone
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        print(f"flexlib: {type(error).__name__}: {first_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("flexlib: interrupted; finished runs of a sweep are kept", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
