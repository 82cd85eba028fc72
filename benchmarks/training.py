"""How fast training is: against a plain dense PyTorch loop in the same run, and against the machine's limits.

    .venv/bin/python benchmarks/training.py [--dataset ml-1m] [--threads 1] [--device cpu] [--out training.parquet]

Prints for each setting the time of a step, that of the plain loop and their ratio, and which share of flexlib's time
the least possible work would take at the ceilings of this machine, measured beforehand: bytes moved by the optimizer,
rows gathered by the sparse products, and dense products. What small networks leave of these is the cost of calling
PyTorch: the last column is the share of as many calls of its smallest function.

The plain loop has no noise, implicit input or decay beside the loss: it is timed against the same setting without them,
from the same weights in the same order. Where the two end with another training RMSE, it says so.
"""

import argparse
import itertools
import json
import math
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from measuring import Ceilings, measure_ceilings, save_measurements, seconds_of, wait_for
from torch.nn import functional as F

from flexlib.activations import FUNCTIONS
from flexlib.config import FlexConfig
from flexlib.data import Ratings, split_ratings
from flexlib.datasets.loading import load_ratings
from flexlib.model import matrix_shape
from flexlib.runs.cost import OPTIMIZER_PASSES
from flexlib.seeds import TorchStream, torch_generator
from flexlib.train import fit

RECORDS = Path(__file__).parents[1] / "results" / "records"

SETTINGS = {
    "best published setting": FlexConfig.preset("table2:1").replace(epochs=1, noise_probability=0, drop_probability=0),
    "small, batches of 1": FlexConfig(
        hidden_layers=[16, 8], train_batch_size=1, epochs=1, dense_refeeding=0, optimizer="sgd", pivot_indexes=[1, 0]
    ),
    "deep, items": FlexConfig(
        hidden_layers=[128, 16, 256, 128], train_batch_size=32, epochs=1, dense_refeeding=0, pivot_indexes=[1, 0]
    ),
    "default, users": FlexConfig(epochs=3, dense_refeeding=0),
    "default, users, re-fed": FlexConfig(epochs=3),
    "default, RMSprop": FlexConfig(epochs=3, dense_refeeding=0, optimizer="rmsprop", learning_rate=1e-4),
    "wide, users": FlexConfig(hidden_layers=[1024], epochs=1, dense_refeeding=0, optimizer="adagrad"),
    "wide, batches of 8": FlexConfig(
        hidden_layers=[512], epochs=1, dense_refeeding=0, train_batch_size=8, decoder_constraint=True
    ),
}


def plain_loop(start, config, device):
    """Dense batches, autograd, PyTorch's optimizers as they come: seconds a step, and the last epoch's RMSE."""
    split, (n_rows, width) = start.split, start.shape
    rows, columns, values = start.rows, start.columns, start.centred(split.train)
    by_row = np.argsort(rows[split.train], kind="stable")
    values = torch.from_numpy(values[by_row]).to(device)
    own_columns = torch.from_numpy(columns[split.train][by_row].astype(np.int64)).to(device)
    counts = np.bincount(rows[split.train], minlength=n_rows)
    starts = np.cumsum(counts) - counts
    alive = np.flatnonzero(np.bincount(rows[split.train], minlength=n_rows))
    parameters = [torch.nn.Parameter(p.detach().clone().to(device)) for p in start.network.parameters()]
    depth, act = len(config.hidden_layers), FUNCTIONS[config.activation].function
    encoder, biases = parameters[:depth], parameters[depth : 2 * depth]
    decoder = encoder[::-1] if config.decoder_constraint else parameters[2 * depth : 3 * depth]
    biases_out = parameters[-depth:]
    kind = {"adam": torch.optim.Adam, "adagrad": torch.optim.Adagrad}.get(config.optimizer)
    momentum = {"sgd": torch.optim.SGD, "rmsprop": torch.optim.RMSprop}.get(config.optimizer)
    options = dict(lr=config.learning_rate, weight_decay=config.weight_decay)
    optimizer = kind(parameters, **options) if kind else momentum(parameters, momentum=0.9, **options)

    def forward(hidden):
        for weight, bias in zip(encoder, biases, strict=True):
            hidden = act(hidden @ weight + bias)
        for layer, (weight, bias) in enumerate(zip(decoder, biases_out, strict=True)):
            hidden = F.linear(hidden, weight, bias)
            hidden = act(hidden) if layer < depth - 1 or config.output_activation else hidden
        return hidden

    def step(loss):
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    order, steps, seconds = torch_generator(0, TorchStream.ORDER), 0, 0.0
    for _ in range(config.epochs):
        shuffled = alive[torch.randperm(len(alive), generator=order).numpy()]
        begun, squares = time.perf_counter(), 0.0
        for at in range(0, len(shuffled), config.train_batch_size):
            batch = shuffled[at : at + config.train_batch_size]
            dense, mask = torch.zeros(2, len(batch), width, device=device)
            own = torch.from_numpy(np.concatenate([np.arange(counts[row]) + starts[row] for row in batch])).to(device)
            places = torch.repeat_interleave(torch.arange(len(batch)), torch.from_numpy(counts[batch])).to(device)
            dense[places, own_columns[own]] = values[own]
            mask[places, own_columns[own]] = 1
            outputs = forward(dense)
            count = dense.numel() if config.loss_size_average else mask.sum()
            error = (((outputs - dense) * mask) ** 2).sum()
            step(error / count)
            squares += error.item()
            steps += 1
            for _ in range(config.dense_refeeding):
                target = outputs.detach()
                outputs = forward(target)
                step(F.mse_loss(outputs, target))
                steps += 1
        wait_for(device)
        seconds += time.perf_counter() - begun
    return seconds / steps, (squares / len(values)) ** 0.5


class Floor(NamedTuple):
    """The least that an epoch must do.

    Parameters
    ----------
    moved
        Bytes that the optimizer reads and writes, for weights, gradients and its state, and gradients written once.
    gathered
        Bytes of the rows that sparse products read, one a rating and product.
    operations
        Of dense products.
    """

    moved: float
    gathered: float
    operations: float

    def seconds(self, ceilings: Ceilings) -> tuple[float, float, float]:
        """Give what each takes at a machine's ceilings; they follow each other."""
        return (
            self.moved / ceilings.bytes_per_second,
            self.gathered / ceilings.gathered_per_second,
            self.operations / ceilings.operations_per_second,
        )


def floor_of(config: FlexConfig, ratings: Ratings) -> Floor:
    """Count what an epoch must do.

    For each rating a row of weights or activations is read five times: by the product forward, at the output, and for
    the gradients of both outer weights and of what the output layer was given. The implicit input adds two. Products
    with the input leave out what noise hides. A re-fed step multiplies dense matrices.
    """
    n_rows, width = matrix_shape(ratings, config)
    outer, *inner = (a * b for a, b in itertools.pairwise([width, *config.hidden_layers]))
    batches, refeeding = math.ceil(n_rows / config.train_batch_size), config.dense_refeeding
    weights = (outer + sum(inner)) * (1 if config.decoder_constraint else 2) + outer * config.implicit_input
    moved = 4 * batches * (1 + refeeding) * weights * (OPTIMIZER_PASSES[config.optimizer] + 1)
    reads = 3 + 2 * (1 + config.implicit_input) * (1 - config.noise_probability)
    gathered = 4 * (1 - config.test_split_rate) * len(ratings) * config.hidden_layers[0] * reads
    operations = 12 * n_rows * sum(inner) * (1 + refeeding) + 10 * n_rows * outer * refeeding
    return Floor(moved, gathered, operations + 2 * n_rows * outer * bool(refeeding))


def chosen_setting(records: str) -> FlexConfig:
    """Read the setting of FlexEncoder that a search chose for its first split."""
    table = pd.read_parquet(RECORDS / f"{records}.parquet").query("method == 'flexencoder' and networks == 1")
    return FlexConfig.from_dict(json.loads(table.set_index("split").loc["seed 0", "settings"]))


def settings_of(dataset: str) -> dict[str, FlexConfig]:
    """Give the settings that are measured on a data set, by what they are called."""
    if dataset == "ml-1m":
        tenth = {"test_split_rate": 0.1, "epochs": 4}
        autorec, best = FlexConfig.preset("autorec-item"), chosen_setting("tuned-ml-1m-0.1-8tries")
        return {"AutoRec, items": autorec.replace(**tenth), "best of the search": best.replace(**tenth)}
    if dataset == "ml-latest-small-2016":
        best = chosen_setting("tuned-ml-latest-small-2016-0.3-10tries")
        return SETTINGS | {"best of the search": best.replace(epochs=10)}
    return SETTINGS


def count_calls(ratings: Ratings, config: FlexConfig, device: str) -> float:
    """Count the calls of PyTorch that a step makes."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        model = fit(ratings, config.replace(epochs=1), device=device)
    calls = [e for e in profile.events() if e.cpu_parent is None and e.name.startswith("aten::")]
    return len(calls) / model.steps


def seconds_a_call(device: str) -> float:
    """Time a call that does next to nothing."""
    one = torch.zeros(1, device=device)
    return seconds_of(lambda: [one.add_(1) for _ in range(1_000)]) / 1_000


def measure(name: str, config: FlexConfig, ratings: Ratings, device: str, repeats: int) -> dict[str, Any]:
    """Train a setting and the plain loop, in turn; the fastest of each counts. Gives seconds a step."""
    split = split_ratings(ratings, config.test_split_rate, 0)
    off = dict.fromkeys(["implicit_input", "input_normalization", "denoising_loss", "loss_decay"], False)
    plain_config = config.replace(noise_probability=0, drop_probability=0, weight_decay=0, **off)
    start = fit(ratings, plain_config.replace(epochs=0), split=split, device="cpu")
    plain, alike, own = [], [], []
    for _ in range(repeats):
        plain.append(plain_loop(start, plain_config, device))
        alike.append(fit(ratings, plain_config, split=split, device=device))
        own.append(alike[-1] if plain_config == config else fit(ratings, config, split=split, device=device))
    ends = plain[-1][1], alike[-1].history[-1]
    if abs(ends[0] / ends[1] - 1) > 1e-3:
        print(f"    training RMSE at the end: {ends[0]:.4f} and {ends[1]:.4f}")
    return {
        "setting": name,
        "config": json.dumps(config.to_dict()),
        "calls_per_step": count_calls(ratings, config, device),
        "steps_per_epoch": own[0].steps // config.epochs,
        "plain_seconds": min(seconds for seconds, _ in plain),
        "alike_seconds": min(model.seconds / model.steps for model in alike),
        "seconds": min(model.seconds / model.steps for model in own),
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="synthetic")
    parser.add_argument("--setting", action="append", help="may be repeated (default: all of the data set)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="such as cuda")
    parser.add_argument("--repeats", type=int, default=3, help="of each measurement, of which the fastest counts")
    parser.add_argument("--out", type=Path, help="Parquet file of the measurements")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    ratings, ceilings = load_ratings(args.dataset), measure_ceilings(args.device)
    a_call = seconds_a_call(args.device)
    bandwidth, speed, gathers = (value / 1e9 for value in ceilings)
    where = f"{args.dataset}, {args.device}, {args.threads} threads"
    print(f"{where}: {bandwidth:.1f} GB/s, {speed:.0f} GFLOP/s, {gathers:.1f} GB/s of rows")
    heads = ["ms/step", "plain", "ratio", "of floor", "bytes", "gathers", "products", "calls"]
    print(f"{'setting':<26}" + "".join(f"{head:>10}" for head in heads))
    rows = []
    for name, config in settings_of(args.dataset).items():
        if name not in (args.setting or [name]):
            continue
        row = measure(name, config, ratings, args.device, args.repeats)
        floors = [seconds / row["steps_per_epoch"] for seconds in floor_of(config, ratings).seconds(ceilings)]
        row |= dict(zip(["bytes_floor", "gathers_floor", "products_floor"], floors, strict=True))
        row["calls_floor"] = row["calls_per_step"] * a_call
        shares = "".join(f"{floor / row['seconds']:>10.0%}" for floor in [sum(floors), *floors, row["calls_floor"]])
        ratio = row["plain_seconds"] / row["alike_seconds"]
        print(f"{name:<26}{row['seconds'] * 1e3:>10.3f}{row['plain_seconds'] * 1e3:>10.3f}{ratio:>10.1f}{shares}")
        sizes = {"n_ratings": len(ratings), "repeats": args.repeats, "device": args.device, "threads": args.threads}
        rows.append({"benchmark": "training", "dataset": args.dataset} | row | sizes | ceilings._asdict())
    if args.out:
        save_measurements(rows, args.out)


if __name__ == "__main__":
    main()
