"""What a run costs, from its configuration alone: steps, operations and bytes, and seconds of a reference core.

The estimate is a pure function, so that who skips a run for its cost skips it on every machine.
"""

import itertools
import math
from typing import NamedTuple

# Of the core that the published sweeps ran on, one thread.
SECONDS_PER_STEP = 1.6e-4


SECONDS_PER_LAYER = 2.5e-5  # of one step


OPERATIONS_PER_SECOND = 7.0e10


BYTES_PER_SECOND = 2.0e10


# How many times a step reads or writes each weight: those of the optimizer, its state and the gradient.
_OPTIMIZER_PASSES = {"adam": 7, "adamw": 7, "adagrad": 5, "adadelta": 16, "rmsprop": 9, "sgd": 5}


_PASSES = 4  # weights forward and back, gradient zeroed and written


_DENSE_PASSES = 14  # over the cells of a re-fed batch: inputs, outputs, gaps, gradients


class Cost(NamedTuple):
    """steps: optimizer steps. operations: of floating point. bytes: moved. seconds: the estimate."""

    steps: int
    operations: float
    bytes: float
    seconds: float


def estimate_cost(config, ratings, pad_refeeding=False):
    """The `Cost` of training one run on `ratings`, all its epochs: an upper bound where `patience` may end it.

    pad_refeeding: whether zero rows are re-fed too (as the protocol says).
    """
    shape = (ratings.n_items, ratings.n_users) if config.item_based else (ratings.n_users, ratings.n_items)
    n_rows, width = shape
    batch = min(config.train_batch_size, n_rows)
    batches = math.ceil(n_rows / batch)
    sizes = [width, *config.hidden_layers]
    pairs = [a * b for a, b in itertools.pairwise(sizes)]
    outer, inner = pairs[0], 2 * sum(pairs[1:])
    weights = sum(pairs) * (1 if config.decoder_constraint else 2)
    entries = (1 - config.test_split_rate) * len(ratings)
    noisy = config.drop_probability or config.noise_probability
    refed_rows = batch + (pad_refeeding and not noisy)
    if pad_refeeding and noisy:
        refed_rows = n_rows * batch / (batch + 1)  # the expected largest index of a random batch
    refeeding, epochs = config.dense_refeeding, config.epochs
    first = 10 * 8 * entries * sizes[1] + 6 * n_rows * inner  # sparse products run at an eighth of the dense speed
    if refeeding:
        first += 2 * (refed_rows if pad_refeeding else batch) * batches * outer
    refed = batches * refed_rows * (10 * outer + 6 * inner)
    steps = epochs * batches * (1 + refeeding)
    operations = epochs * (first + refeeding * refed)
    moved = 4 * steps * weights * (_OPTIMIZER_PASSES[config.optimizer] + _PASSES)
    moved += 4 * epochs * batches * refeeding * refed_rows * width * _DENSE_PASSES
    seconds = steps * (SECONDS_PER_STEP + len(pairs) * SECONDS_PER_LAYER)
    seconds += operations / OPERATIONS_PER_SECOND + moved / BYTES_PER_SECOND
    return Cost(int(steps), float(operations), float(moved), float(seconds))
