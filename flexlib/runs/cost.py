"""What a run costs: steps, operations and bytes from its configuration, and from these the seconds of one core.

seconds = steps * (a + layers * b) + operations / c + bytes / d

The estimate depends on nothing else, so every machine skips the same runs for their cost.
"""

import itertools
import math
from typing import NamedTuple

from flexlib.config import FlexConfig
from flexlib.data import Ratings
from flexlib.model import matrix_shape

# Of one thread on the core that made the published sweeps, fitted to their seconds
SECONDS_PER_STEP = 1.6e-4
SECONDS_PER_LAYER = 2.5e-5  # of one step
OPERATIONS_PER_SECOND = 7.0e10
BYTES_PER_SECOND = 2.0e10

# How many times a step reads or writes each weight: by the optimizer, for weights, their gradients and its state
OPTIMIZER_PASSES = {"adam": 7, "adamw": 7, "adagrad": 5, "adadelta": 16, "rmsprop": 9, "sgd": 5}
OTHER_PASSES = 7  # of a rule that is not listed
NETWORK_PASSES = 4  # by the network: weights forward and back, gradients zeroed and written
# How many times a re-fed step reads or writes each cell of its batch: inputs, outputs, gaps, gradients
CELL_PASSES = 14

BYTES_PER_NUMBER = 4
# Sparse products run at an eighth of the speed of dense ones.
SPARSE_SLOWDOWN = 8


class Cost(NamedTuple):
    """What training one run takes.

    Parameters
    ----------
    steps
        Of the optimizer.
    operations
        Of floating point.
    bytes
        Read and written.
    seconds
        Estimate for one thread of the reference core.
    step_seconds
        Of these, what steps take whatever their size.
    """

    steps: int
    operations: float
    bytes: float
    seconds: float
    step_seconds: float


def estimate_cost(config: FlexConfig, ratings: Ratings, pad_refeeding: bool = False) -> Cost:
    """Estimate what training one run costs, all its epochs: an upper bound where `patience` may end it.

    Parameters
    ----------
    config
        What is trained.
    ratings
        The ratings; only their numbers of users, items and ratings matter.
    pad_refeeding
        Whether zero rows are re-fed too, as the protocol says.

    Returns
    -------
    Cost
        Steps, operations, bytes and seconds.
    """
    n_rows, width = matrix_shape(ratings, config)
    batch = min(config.train_batch_size, n_rows)
    batches = math.ceil(n_rows / batch)
    sizes = [width, *config.hidden_layers]
    pairs = [a * b for a, b in itertools.pairwise(sizes)]
    outer, inner = pairs[0], 2 * sum(pairs[1:])
    weights = sum(pairs) * (1 if config.decoder_constraint else 2)
    entries = (1 - config.test_split_rate) * len(ratings)
    noisy = bool(config.drop_probability or config.noise_probability)
    refed_rows: float = batch + (pad_refeeding and not noisy)
    if pad_refeeding and noisy:
        refed_rows = n_rows * batch / (batch + 1)  # the expected largest index of a random batch
    refeeding, epochs = config.dense_refeeding, config.epochs
    first = 10 * SPARSE_SLOWDOWN * entries * sizes[1] + 6 * n_rows * inner
    if config.patience:  # the ratings held back are scored after each epoch
        first += 2 * SPARSE_SLOWDOWN * entries * sizes[1] + 2 * n_rows * inner
    if refeeding:
        first += 2 * (refed_rows if pad_refeeding else batch) * batches * outer
    refed = batches * refed_rows * (10 * outer + 6 * inner)
    steps = epochs * batches * (1 + refeeding)
    operations = epochs * (first + refeeding * refed)
    moved: float = (
        BYTES_PER_NUMBER * steps * weights * (OPTIMIZER_PASSES.get(config.optimizer, OTHER_PASSES) + NETWORK_PASSES)
    )
    moved += BYTES_PER_NUMBER * epochs * batches * refeeding * refed_rows * width * CELL_PASSES
    step_seconds = steps * (SECONDS_PER_STEP + len(pairs) * SECONDS_PER_LAYER)
    seconds = step_seconds + operations / OPERATIONS_PER_SECOND + moved / BYTES_PER_SECOND
    return Cost(steps, float(operations), float(moved), seconds, step_seconds)
