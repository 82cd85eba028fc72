"""How fast training is: flexlib against a plain dense PyTorch loop, measured in the same run, for several settings.

    .venv/bin/python benchmarks/training.py [--dataset ml-latest-small-2016] [--threads 1] [--repeats 3]

Prints for each setting both times a step, their ratio, and which share of flexlib's time the floors would take: moving
the bytes of weights and optimizer state at this machine's measured bandwidth, and multiplying at its measured speed.
The plain loop trains the same network from the same weights in the same order; where the two end with another training
RMSE, it says so.
"""

import argparse
import time

import numpy as np
import torch
from torch.nn import functional as F

from flexlib.activations import FUNCTIONS
from flexlib.config import FlexConfig
from flexlib.data import split_ratings
from flexlib.datasets.loading import load_ratings
from flexlib.model import Autoencoder
from flexlib.runs.cost import estimate_cost
from flexlib.seeds import TorchStream, torch_generator
from flexlib.train import fit

SETTINGS = {
    "best published setting": FlexConfig.preset("table2:1").replace(epochs=1, noise_probability=0, drop_probability=0),
    "small, batches of 1": FlexConfig(hidden_layers=[16, 8], train_batch_size=1, epochs=1, dense_refeeding=0,
                                      optimizer="sgd", pivot_indexes=[1, 0]),
    "deep, items": FlexConfig(hidden_layers=[128, 16, 256, 128], train_batch_size=32, epochs=1, dense_refeeding=0,
                              pivot_indexes=[1, 0]),
    "default, users": FlexConfig(epochs=3, dense_refeeding=0),
    "default, users, re-fed": FlexConfig(epochs=3),
    "default, RMSprop": FlexConfig(epochs=3, dense_refeeding=0, optimizer="rmsprop", learning_rate=1e-4),
    "wide, users": FlexConfig(hidden_layers=[1024], epochs=1, dense_refeeding=0, optimizer="adagrad"),
    "wide, batches of 8": FlexConfig(hidden_layers=[512], epochs=1, dense_refeeding=0, train_batch_size=8,
                                     decoder_constraint=True),
}  # fmt: skip


def plain_loop(ratings, config, split, network):
    """Dense batches, autograd, PyTorch's optimizers as they come: seconds a step, and the last epoch's RMSE."""
    rows, columns = (ratings.items, ratings.users) if config.item_based else (ratings.users, ratings.items)
    width = ratings.n_users if config.item_based else ratings.n_items
    n_rows = ratings.n_items if config.item_based else ratings.n_users
    values = (
        ratings.values[split.train] - fit(ratings, config.replace(epochs=0), split=split).row_means[rows[split.train]]
    )
    by_row = np.argsort(rows[split.train], kind="stable")
    values, own_columns = (
        torch.from_numpy(values[by_row]),
        torch.from_numpy(columns[split.train][by_row].astype(np.int64)),
    )
    counts = np.bincount(rows[split.train], minlength=n_rows)
    starts = np.cumsum(counts) - counts
    alive = np.flatnonzero(np.bincount(rows[split.train], minlength=n_rows))
    parameters = [torch.nn.Parameter(p.detach().clone()) for p in network.parameters()]
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
            dense, mask = torch.zeros(len(batch), width), torch.zeros(len(batch), width)
            own = torch.from_numpy(np.concatenate([np.arange(counts[row]) + starts[row] for row in batch]))
            places = torch.repeat_interleave(torch.arange(len(batch)), torch.from_numpy(counts[batch]))
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
        seconds += time.perf_counter() - begun
    return seconds / steps, (squares / len(values)) ** 0.5


def floors():
    """Measure the bytes a second of a large copy, read and written, and the operations a second of a square product."""
    big, other = torch.ones(50_000_000), torch.empty(50_000_000)
    square = torch.ones(1500, 1500)
    seconds = [_best(lambda: other.copy_(big)), _best(lambda: square @ square)]
    return 2 * 4 * len(big) / seconds[0], 2 * 1500**3 / seconds[1]


def _best(call, repeats=5):
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return min(times)


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="synthetic")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3, help="of each measurement, of which the fastest counts")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    ratings = load_ratings(args.dataset)
    bandwidth, speed = floors()
    print(f"{args.dataset}, {args.threads} thread(s): {bandwidth / 1e9:.1f} GB/s, {speed / 1e9:.0f} GFLOP/s")
    print(f"{'setting':<26}{'plain ms/step':>14}{'flexlib':>9}{'ratio':>7}{'bytes':>8}{'products':>10}")
    for name, config in SETTINGS.items():
        split = split_ratings(ratings, config.test_split_rate, 0)
        width = ratings.n_users if config.item_based else ratings.n_items
        network = Autoencoder(width, config, torch_generator(0, TorchStream.WEIGHTS))
        plain, models = [], []
        for _ in range(args.repeats):
            plain.append(plain_loop(ratings, config, split, network))
            models.append(fit(ratings, config, split=split, device="cpu"))
        slow = min(seconds for seconds, _ in plain)
        fast = min(model.seconds / model.steps for model in models)
        cost = estimate_cost(config, ratings)
        shares = [cost.bytes / cost.steps / bandwidth / fast, cost.operations / cost.steps / speed / fast]
        print(f"{name:<26}{slow * 1e3:>14.3f}{fast * 1e3:>9.3f}{slow / fast:>7.1f}{shares[0]:>8.0%}{shares[1]:>10.0%}")
        ends = plain[-1][1], models[-1].history[-1]
        if abs(ends[0] / ends[1] - 1) > 1e-3:
            print(f"    training RMSE at the end: {ends[0]:.4f} and {ends[1]:.4f}")


if __name__ == "__main__":
    main()
