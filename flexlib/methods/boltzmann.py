"""A restricted Boltzmann machine for ratings.

Each item that a user has rated has a softmax unit over the steps of the rating scale; binary hidden units are shared by
all users. With weights W, biases b of the steps and c of the hidden units:

    P(hidden unit f on | ratings) = sigmoid(c_f + sum over rated items i of W[i, step of i, f])
    P(step k of item i | hidden units h) = softmax over k of b[i, k] + sum over f of W[i, k, f] h_f

References
----------
Salakhutdinov, Mnih and Hinton (2007), Section 2.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import expit, softmax

from flexlib.config import Size
from flexlib.data import Ids, Ratings, Split
from flexlib.methods.interface import Passes, Predictions, Rate, Weight
from flexlib.seeds import Purpose, numpy_generator

Units = NDArray[np.float32]

RATINGS_PER_BLOCK = 20_000  # predicted in one go


def rbm(
    ratings: Ratings,
    split: Split,
    seed: int = 0,
    hidden: Size = 100,
    epochs: Passes = 50,
    learning_rate: Rate = 0.5,
    weight_decay: Weight = 0.005,
    batch: Size = 25,
) -> Predictions:
    """Predict by a Boltzmann machine: the expected rating, given the probabilities of the user's hidden units.

    Parameters
    ----------
    ratings, split, seed
        As in `Predictor.predict`.
    hidden
        Number of hidden units.
    epochs
        Passes over all users.
    learning_rate
        Of the first epoch; it falls to 0 in a straight line.
    weight_decay
        Share of the weights that a step of learning rate 1 takes off.
    batch
        Users in a step of contrastive divergence.

    Returns
    -------
    Predictions
        (len(split.test),) stars.

    References
    ----------
    Salakhutdinov et al. (2007), Section 2.
    """
    low, high, step = ratings.scale
    stars = np.arange(low, high + step / 2, step)
    train, n_steps = split.train, len(stars)
    step_of = np.rint((ratings.values[train] - stars[0]) / step).astype(np.int64)
    cells = ratings.items[train] * np.int64(n_steps) + step_of
    shape = (ratings.n_users, ratings.n_items * n_steps)
    seen = csr_array((np.ones(len(step_of), np.float32), (ratings.users[train], cells)), shape)
    # Biases start at the log shares of the item's steps, with one more rating that has the shares of all items.
    shares = np.bincount(step_of, minlength=n_steps) / len(step_of) + 1e-3
    counts = np.bincount(cells, minlength=shape[1]).reshape(-1, n_steps) + shares
    step_biases = np.log(counts / counts.sum(axis=1, keepdims=True)).astype(np.float32)
    rng = numpy_generator(seed, Purpose.BOLTZMANN_MACHINE)
    machine = _Machine(step_biases, hidden, rng)
    for epoch in range(epochs):
        rate = learning_rate * (1 - epoch / epochs)
        batches = np.array_split(rng.permutation(ratings.n_users), max(1, ratings.n_users // batch))
        for users in batches:
            machine.learn(seen[users], rate, rng)
        machine.weights *= (1 - rate * weight_decay) ** len(batches)
    chances = machine.hidden_chances(seen)
    predicted = np.empty(len(split.test))
    for first in range(0, len(predicted), RATINGS_PER_BLOCK):
        index = split.test[first : first + RATINGS_PER_BLOCK]
        logits = machine.logits(ratings.items[index], chances[ratings.users[index]])
        predicted[first : first + RATINGS_PER_BLOCK] = softmax(logits, axis=1) @ stars
    return predicted


class _Machine:
    """The weights and biases. Cells are pairs of item and step, in one row: item * number of steps + step.

    Parameters
    ----------
    step_biases
        (items, steps) log odds of the steps.
    hidden
        Number of hidden units.
    rng
        Draws the weights.
    """

    def __init__(self, step_biases: Units, hidden: int, rng: np.random.Generator) -> None:
        self.n_steps = step_biases.shape[1]
        self.weights = rng.normal(0, 0.01, (step_biases.size, hidden)).astype(np.float32)
        self.step_biases = step_biases.ravel()
        self.hidden_biases = np.zeros(hidden, np.float32)

    def hidden_chances(self, seen: csr_array) -> Units:
        """Give the (users, hidden) probabilities of hidden units given ratings: (users, cells), 1 where rated so."""
        return np.asarray(expit(seen @ self.weights + self.hidden_biases))

    def logits(self, items: Ids, states: Units) -> Units:
        """Give the (k, steps) log odds of the steps of (k,) items, given (k, hidden) states of hidden units."""
        weights = self.weights.reshape(-1, self.n_steps, self.weights.shape[1])[items]
        sums = np.einsum("nkf,nf->nk", weights, states)
        return np.asarray(self.step_biases.reshape(-1, self.n_steps)[items] + sums)

    def learn(self, seen: csr_array, rate: float, rng: np.random.Generator) -> None:
        """Take one step of contrastive divergence on a batch of users' ratings."""
        n_users = seen.shape[0]
        up = self.hidden_chances(seen)
        states = (rng.random(up.shape, np.float32) < up).astype(np.float32)
        users, items = np.repeat(np.arange(n_users), np.diff(seen.indptr)), seen.indices // self.n_steps
        # The largest of logits with Gumbel noise is a draw from their softmax.
        noisy = self.logits(items, states[users]) + rng.gumbel(size=(len(items), self.n_steps))
        drawn = csr_array((seen.data, items * self.n_steps + noisy.argmax(axis=1), seen.indptr), seen.shape)
        up_again = self.hidden_chances(drawn)
        # A batch touches few cells, and only these move: up by what was seen, down by what was drawn.
        cells, place = np.unique(np.concatenate([seen.indices, drawn.indices]), return_inverse=True)
        signs = np.concatenate([seen.data, -drawn.data])
        columns = np.concatenate([users, users + n_users])
        change = csr_array((signs, (place, columns)), (len(cells), 2 * n_users))
        self.weights[cells] += rate / n_users * (change @ np.concatenate([up, up_again]))
        self.step_biases[cells] += rate / n_users * change.sum(axis=1)
        self.hidden_biases += rate * (up - up_again).mean(axis=0)
