"""The recommended lists of all users, with and without prediction rounding, and what they are like.

Rounding makes ties, and what breaks them decides which items a list holds: each rule is measured on its own.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from flexlib.config import FlexError
from flexlib.evaluate import errors, evaluate, recommend
from flexlib.model import FittedModel
from flexlib.predict import network_outputs, round_predictions
from flexlib.seeds import Purpose, numpy_generator

LIST_LENGTH = 10


class ListMeasure:
    """What a plan measures of each run's recommended lists (`flexlib.runs.plan.Measure`)."""

    def watch(self, model: FittedModel) -> None:
        """Look at nothing while it trains."""

    def details(self, model: FittedModel) -> dict[str, Any]:
        """Measure the lists of the trained model, by `measure_lists`."""
        return measure_lists(model)


class CourseMeasure:
    """What a plan measures of a run from its first epoch to its lists (`flexlib.runs.plan.Measure`)."""

    def __init__(self) -> None:
        self.test: list[float] = []

    def watch(self, model: FittedModel) -> None:
        """Score the model after an epoch."""
        self.test.append(evaluate(model).rmse)

    def details(self, model: FittedModel) -> dict[str, Any]:
        """Measure the run, by `measure_course`."""
        return measure_course(model, self.test)


def measure_lists(model, k=LIST_LENGTH):
    """What prediction rounding (PrR) does to one `FittedModel`, whose own PrR does not matter. A mapping:

    rmse: of the test ratings, "unrounded", "clipped" (into the scale) and "rounded". five_stars: share of the
    predictions, over all items that may be recommended to a user, that are 5 or more "unrounded" and "rounded".
    lists: the `list_measures` of the top-k lists "unrounded", "rounded, ties at random" and "rounded, ties to the more
    rated". same_lists: share of users whose rounded list, ties broken by the unrounded prediction, is the unrounded.
    """
    ratings, train = model.ratings, model.split.train
    scores, scale = predict_all(model), ratings.scale
    rounded = round_predictions(scores, scale, model.protocol.rounding)
    counts = np.bincount(ratings.items[train], minlength=ratings.n_items)
    allowed = (counts[None] > 0) & np.isfinite(scores)
    allowed[ratings.users, ratings.items] = False
    chance = numpy_generator(model.seed, Purpose.TIES).random(scores.shape)
    popularity = np.broadcast_to(counts, scores.shape)
    tops = {
        "unrounded": (scores, top_lists(scores, allowed, popularity, k)),
        "rounded, ties at random": (rounded, top_lists(rounded, allowed, chance, k)),
        "rounded, ties to the more rated": (rounded, top_lists(rounded, allowed, popularity, k)),
    }
    later = np.broadcast_to(-np.arange(ratings.n_items), scores.shape)
    by_score = np.lexsort((later, popularity, scores), axis=1).argsort(axis=1)  # ranks of the unrounded list
    same = (top_lists(rounded, allowed, by_score, k) == tops["unrounded"][1]).all(axis=1)
    return {
        "rmse": _rounding_errors(model, scale),
        "five_stars": {"unrounded": _mean(scores[allowed] >= scale[1]),
                       "rounded": _mean(rounded[allowed] >= scale[1])},
        "lists": {name: list_measures(lists, shown, ratings, counts) for name, (shown, lists) in tops.items()},
        "same_lists": _mean(same),
    }  # fmt: skip


def measure_course(model, test):
    """One run as the explorer shows it, of a `FittedModel` and its test RMSE after each epoch; its own PrR does not
    matter. A mapping:

    training, test: RMSE after each epoch. rmse: of the test ratings, "unrounded", "clipped" and "rounded". edges: of
    the bins, a quarter star wide, that histogram counts scored test ratings in: "actual", and predicted "unrounded" and
    "rounded"; what lies outside the scale counts in its first or last bin. lists: the top list of each of
    `shown_users`, by original id: an item's original id, its title ("" where unknown) and predicted stars, unrounded;
    for a user without such a list why, in place of an item, and None for the stars.
    """
    low, high, _ = model.ratings.scale
    edges = np.arange(low - 0.125, high + 0.25, 0.25)
    tables = _both_roundings(model)
    values = {"actual": tables[False]["actual"]}
    values |= {name: tables[on]["predicted"] for name, on in (("unrounded", False), ("rounded", True))}
    plain = replace(model, config=model.config.replace(prediction_rounding=False))
    return {
        "training": model.history, "test": test, "rmse": _rounding_errors(model, (low, high)), "edges": edges.tolist(),
        "histogram": {name: np.histogram(np.clip(v, *edges[[0, -1]]), edges)[0].tolist() for name, v in values.items()},
        "lists": {str(user): _told_list(plain, user) for user in shown_users(model.ratings)},
    }  # fmt: skip


def _told_list(model, user):
    try:
        table = recommend(model, user, LIST_LENGTH)
    except FlexError as error:  # such as one who has rated everything
        return [[str(error), "", None]]
    table = table.assign(title=table.get("title", ""), stars=table["predicted"].astype(float).round(3))
    return table[["item", "title", "stars"]].to_numpy().tolist()


def shown_users(ratings, n=6):
    """(n,) original ids of users, in even steps of rank from the fewest ratings to the most."""
    counts = np.bincount(ratings.users, minlength=ratings.n_users)
    ranks = np.linspace(0, ratings.n_users - 1, n).round().astype(int)
    return ratings.user_ids[np.argsort(counts, kind="stable")[ranks]]


def _mean(values):
    """The mean as plain number; None where there are no values, which JSON can say."""
    return float(np.mean(values)) if np.size(values) else None


def _both_roundings(model):
    """The scored predictions with PrR off and on: two tables."""
    tables = {}
    for rounding in (False, True):
        table = evaluate(replace(model, config=model.config.replace(prediction_rounding=rounding))).predictions
        tables[rounding] = table.loc[table["scored"], ["actual", "predicted"]]
    return tables


def _rounding_errors(model, scale):
    tables = _both_roundings(model)
    actual, predicted = tables[False].to_numpy().T
    rounded = tables[True]["predicted"].to_numpy()
    kinds = {"unrounded": predicted, "clipped": np.clip(predicted, *scale[:2]), "rounded": rounded}
    found = {name: errors(actual, values)[0] for name, values in kinds.items()}
    return {name: None if np.isnan(rmse) else rmse for name, rmse in found.items()}


def predict_all(model):
    """(users, items) predictions in stars before any rounding, from training ratings alone."""
    train, shape = model.split.train, model.shape
    rows, columns = (axis.ravel() for axis in np.indices(shape))
    outputs = network_outputs(model, train, model.centred(train), rows, columns) + model.centres(rows, columns)
    return outputs.reshape(shape).T if model.config.item_based else outputs.reshape(shape)


def top_lists(scores, allowed, ties, k):
    """(users, k) the items of the highest scores among those allowed, best first; equal scores go to the higher of
    `ties`, then to the lower item. -1 where a user has fewer than k. scores, allowed, ties: (users, items)."""
    lists = np.full((len(scores), k), -1)
    for user, row in enumerate(np.where(allowed, scores, -np.inf)):
        near = np.flatnonzero((row >= np.partition(row, -min(k, len(row)))[-min(k, len(row))]) & allowed[user])
        best = np.lexsort((near, -ties[user, near], -row[near]))[:k]
        lists[user, : len(best)] = near[best]
    return lists


def list_measures(lists, shown, ratings, counts):
    """What lists are like, as plain numbers, None where there is nothing to measure. lists: (users, k), -1 where there
    is no item. shown: (users, items), the predictions that go with them. counts: (items,) training ratings; the
    catalogue is the items with any.

    five_stars: share of the entries predicted at the top of the scale or above. coverage: share of the catalogue on any
    list. gini: of how often each item of the catalogue is listed (0: all alike; 1: one takes all). entropy: of the
    same, in bits. distance: mean over users of one less the Jaccard similarity of genres, over pairs of a list (Ziegler
    et al. 2005's intra-list distance; items without genres share that). novelty: mean of -log2 of the share of users
    who rated the item (Zhou et al. 2010's self-information), in bits.
    """
    entries = lists >= 0
    users, items = np.nonzero(entries)[0], lists[entries]
    listed = np.sort(np.bincount(items, minlength=len(counts))[counts > 0])
    share, n = listed[listed > 0] / max(listed.sum(), 1), len(listed)
    return {
        "five_stars": _mean(shown[users, items] >= ratings.scale[1]),
        "coverage": _mean(listed > 0),
        "gini": float(((2 * np.arange(1, n + 1) - n - 1) * listed).sum() / (n * max(listed.sum(), 1))),
        "entropy": float(-(share * np.log2(share)).sum()),
        "distance": _genre_distance(lists, ratings.genres),
        "novelty": _mean(-np.log2(counts[items] / ratings.n_users)),
    }


def _genre_distance(lists, genres):
    if genres is None:
        return None
    sets = [set(str(text).split("|")) for text in genres]
    names = {name: place for place, name in enumerate(sorted(set().union(*sets)))}
    has = np.zeros((len(sets), len(names)))
    for item, own in enumerate(sets):
        has[item, [names[name] for name in own]] = 1
    own, real = has[lists], lists >= 0
    both = np.einsum("uig,ujg->uij", own, own)
    either = own.sum(-1)[:, :, None] + own.sum(-1)[:, None, :] - both
    pairs = np.triu(np.ones(both.shape[1:]), 1) * real[:, :, None] * real[:, None, :]
    distance = ((1 - both / either) * pairs).sum((1, 2)) / np.maximum(pairs.sum((1, 2)), 1)
    return _mean(distance[pairs.any((1, 2))])
