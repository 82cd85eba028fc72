"""How training grows: time and memory from a hundred thousand ratings to a hundred million, synthetic.

    .venv/bin/python benchmarks/scale.py [--case NAME] [--threads 2] [--device cpu] [--out scale.parquet] [--tiny]

The first three cases have the same weights, and ratings in proportion to users: what an epoch takes a rating should be
the same. The others have the sizes of MovieLens 20M, with rows of users and of items, and of Netflix. Each case is a
process of its own, so that its peak of memory is its own. For each it prints seconds of an epoch, of scoring the
validation ratings (as early stopping does after each epoch), of scoring the test ratings and of ten recommendations for
one user. Cases that the output has already are left alone. "20M, to the end" is run when it is asked for: it trains the
setting that a search chose on MovieLens 1M until the validation RMSE has not fallen for three epochs.
"""

import argparse
import itertools
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from measuring import machine_facts, measure_ceilings, peak_bytes, save_measurements
from training import chosen_setting, floor_of

from flexlib.config import FlexConfig
from flexlib.data import hold_back, split_ratings
from flexlib.datasets.loading import load_ratings
from flexlib.evaluation import evaluate
from flexlib.serving.recommending import recommend
from flexlib.train import fit, rmse_of


class Case(NamedTuple):
    """Sizes, which side is rows, and how many epochs are trained, at most; the fastest one counts."""

    users: int
    items: int
    ratings: int
    item_based: bool = False
    epochs: int = 1
    patience: int = 0


CASES = {
    "100K": Case(693, 26_744, 100_002, epochs=5),
    "1M": Case(6_925, 26_744, 1_000_014, epochs=3),
    "20M": Case(138_493, 26_744, 20_000_263, epochs=2),
    "20M, rows of items": Case(138_493, 26_744, 20_000_263, item_based=True),
    "100M": Case(480_189, 17_770, 100_480_507),
    "20M, to the end": Case(138_493, 26_744, 20_000_263, item_based=True, epochs=40, patience=3),
}
TINY = {
    "100K": Case(30, 90, 600),
    "1M": Case(60, 90, 1_200),
    "1M, rows of items": Case(60, 90, 1_200, item_based=True),
}
HIDDEN = (512, 256)
SEARCH = "tuned-ml-1m-0.1-8tries"  # whose setting is trained to the end


def measure(case: Case, threads: int, device: str) -> dict[str, Any]:
    """Make the ratings, train and score; gives the row of the record."""
    torch.set_num_threads(threads)
    begun = time.perf_counter()
    ratings = load_ratings(f"synthetic:users={case.users},items={case.items},ratings={case.ratings},seed=1")
    generated = time.perf_counter() - begun
    sides = (1, 0) if case.item_based else (0, 1)
    config = FlexConfig(hidden_layers=HIDDEN, dense_refeeding=0, epochs=case.epochs, pivot_indexes=sides)
    if case.patience:
        config = chosen_setting(SEARCH).replace(epochs=case.epochs, patience=case.patience, pivot_indexes=sides)
    split = split_ratings(ratings, config.test_split_rate, 0)
    marks = [0.0]
    model = fit(ratings, config, split=split, device=device, on_epoch=lambda m: marks.append(m.seconds))
    epoch_seconds = min(later - earlier for earlier, later in itertools.pairwise(marks))
    validation = hold_back(split, 0).test
    begun = time.perf_counter()
    rmse_of(model, validation)
    validated = time.perf_counter() - begun
    begun = time.perf_counter()
    rmse = evaluate(model).rmse
    scored = time.perf_counter() - begun
    begun = time.perf_counter()
    recommend(model, ratings.user_ids[0])
    recommended, peak = time.perf_counter() - begun, peak_bytes()
    device_peak = torch.cuda.max_memory_allocated() if device != "cpu" else 0
    floors = floor_of(config, ratings).seconds(measure_ceilings(device))
    return {
        "benchmark": "scale",
        "users": case.users,
        "items": case.items,
        "ratings": case.ratings,
        "n_train": len(split.train),
        "item_based": case.item_based,
        "hidden_layers": json.dumps(config.hidden_layers),
        "weights": sum(p.numel() for p in model.network.parameters()),
        "steps_per_epoch": model.steps // len(model.history),
        "generate_seconds": generated,
        "epoch_seconds": epoch_seconds,
        "floor_seconds": sum(floors),
        "validation_seconds": validated,
        "scoring_seconds": scored,
        "recommend_seconds": recommended,
        "peak_bytes": peak,
        "device_peak_bytes": device_peak,
        "epochs": len(model.history),
        "training_seconds": model.seconds,
        "rmse": rmse,
        "noise_floor": ratings.noise_floor,
        "threads": threads,
        "device": device,
        "machine": machine_facts()["machine"],
    }


def main() -> None:
    """Measure, print, and write after each case."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--case", action="append", help=f"one of {', '.join(CASES)}; may be repeated")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu", help="such as cuda")
    parser.add_argument("--out", type=Path, help="Parquet file that rows are added to")
    parser.add_argument("--tiny", action="store_true", help="only see that it works")
    parser.add_argument("--only", help=argparse.SUPPRESS)  # a case in its own process, which prints its row
    args = parser.parse_args()
    cases = TINY if args.tiny else CASES
    if args.only:
        print(json.dumps(measure(cases[args.only], args.threads, args.device)))
        return
    rows = pd.read_parquet(args.out).to_dict("records") if args.out and args.out.exists() else []
    print(f"{'case':<20}{'epoch s':>9}{'ns a rating':>13}{'of floor':>10}{'validate':>10}{'score s':>9}{'peak GB':>9}")
    for name in args.case or [name for name, case in cases.items() if not case.patience]:
        if name not in {row["case"] for row in rows}:
            command = [sys.executable, __file__, "--only", name, "--threads", str(args.threads)]
            command += ["--device", args.device]
            command += ["--tiny"] if args.tiny else []
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            rows.append({"case": name} | json.loads(done.stdout))
            if args.out:
                save_measurements(rows, args.out)
        row = next(row for row in rows if row["case"] == name)
        a_rating = row["epoch_seconds"] / row["n_train"] * 1e9
        share = row["floor_seconds"] / row["epoch_seconds"]
        times = f"{row['validation_seconds']:>10.2f}{row['scoring_seconds']:>9.2f}{row['peak_bytes'] / 1e9:>9.2f}"
        print(f"{name:<20}{row['epoch_seconds']:>9.2f}{a_rating:>13.0f}{share:>10.0%}{times}")


if __name__ == "__main__":
    main()
