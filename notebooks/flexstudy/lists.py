"""The recommended lists of all users, with and without prediction rounding, and what they are like.

What breaks ties decides which items a list holds: each rule is measured on its own, before and after rounding. Rounding
makes ties, but unrounded predictions tie too, such as those of items with one rating each.

References
----------
Ziegler et al. (2005) for the distance within a list. Zhou et al. (2010) for novelty.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flexlib.config import FlexError
from flexlib.data import Index, Mask, Ratings
from flexlib.evaluation import errors, evaluate
from flexlib.predict import FittedModel, network_outputs, round_predictions
from flexlib.seeds import Purpose, numpy_generator
from flexlib.serving.recommending import recommend

LIST_LENGTH = 10
CLIPPED = "clipped"
UNROUNDED_AT_RANDOM, UNROUNDED_TO_THE_MORE_RATED = "unrounded, ties at random", "unrounded, ties to the more rated"
AT_RANDOM, TO_THE_MORE_RATED = "rounded, ties at random", "rounded, ties to the more rated"


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


def measure_lists(model: FittedModel, k: int = LIST_LENGTH) -> dict[str, Any]:
    """Measure what prediction rounding (PrR) does to one model, whose own PrR does not matter.

    Parameters
    ----------
    model
        Of `flexlib.fit`.
    k
        Length of the lists.

    Returns
    -------
    dict
        Plain values for JSON, None where there is nothing to measure:

        - rmse: over the scored test ratings, in stars; "unrounded", "clipped" into the scale, and "rounded"
        - five_stars: share of the predictions at the top of the scale or above, over all items that may be recommended
          to a user; "unrounded" and "rounded"
        - lists: `list_measures` of the lists `UNROUNDED_AT_RANDOM`, `UNROUNDED_TO_THE_MORE_RATED`, `AT_RANDOM` and
          `TO_THE_MORE_RATED`; random ties are broken by the same draw before and after rounding
        - ties: share of users whose list ends within a tie, the best prediction off it being exactly the worst on it;
          "unrounded" and "rounded"
        - one_value: share of users with equal predictions all over their list; "unrounded" and "rounded"
        - same_lists: share of users whose rounded list is the unrounded one, with ties of the rounded broken by the
          unrounded prediction, then to the more rated
    """
    ratings, scale = model.ratings, model.ratings.scale
    scores = predict_all(model)
    rounded = round_predictions(scores, scale, model.protocol.rounding)
    counts = np.bincount(ratings.items[model.split.train], minlength=ratings.n_items)
    allowed = (counts[None] > 0) & np.isfinite(scores)
    allowed[ratings.users, ratings.items] = False
    chance = numpy_generator(model.seed, Purpose.TIES).random(scores.shape)
    popularity = np.broadcast_to(counts, scores.shape)
    tops = {
        UNROUNDED_AT_RANDOM: (scores, top_lists(scores, allowed, chance, k)),
        UNROUNDED_TO_THE_MORE_RATED: (scores, top_lists(scores, allowed, popularity, k)),
        AT_RANDOM: (rounded, top_lists(rounded, allowed, chance, k)),
        TO_THE_MORE_RATED: (rounded, top_lists(rounded, allowed, popularity, k)),
    }
    lower_id = np.broadcast_to(-np.arange(ratings.n_items), scores.shape)
    place_unrounded = np.lexsort((lower_id, popularity, scores), axis=1).argsort(axis=1)
    same = (top_lists(rounded, allowed, place_unrounded, k) == tops[UNROUNDED_TO_THE_MORE_RATED][1]).all(axis=1)
    tied = {"unrounded": tied_lists(scores, allowed, k), "rounded": tied_lists(rounded, allowed, k)}
    return {
        "rmse": _rounding_errors(model),
        "five_stars": {
            "unrounded": _mean(scores[allowed] >= scale[1]),
            "rounded": _mean(rounded[allowed] >= scale[1]),
        },
        "lists": {name: list_measures(lists, shown, ratings, counts) for name, (shown, lists) in tops.items()},
        "ties": {name: _mean(ends) for name, (ends, _) in tied.items()},
        "one_value": {name: _mean(whole) for name, (_, whole) in tied.items()},
        "same_lists": _mean(same),
    }


def measure_course(model: FittedModel, test: list[float]) -> dict[str, Any]:
    """Measure one run as the explorer shows it. The model's own prediction rounding does not matter.

    Parameters
    ----------
    model
        Of `flexlib.fit`.
    test
        RMSE over the test ratings after each epoch, in stars.

    Returns
    -------
    dict
        Plain values for JSON:

        - training, test: RMSE after each epoch, in stars
        - rmse: as `measure_lists` has it
        - edges: of the bins of the histograms, a quarter star wide
        - histogram: of the scored test ratings, "actual", and predicted "unrounded" and "rounded"; what lies outside
          the scale counts in its first or last bin
        - lists: original id of each of `shown_users` to the rows of its list: original id of the item, title ("" where
          unknown), and unrounded prediction in stars; one row of a reason, "" and None where there is no list
    """
    low, high, _ = model.ratings.scale
    edges = np.arange(low - 0.125, high + 0.25, 0.25)
    unrounded, rounded = _scored_predictions(model, False), _scored_predictions(model, True)
    values = {
        "actual": unrounded["actual"],
        "unrounded": unrounded["predicted"],
        "rounded": rounded["predicted"],
    }
    plain = replace(model, config=model.config.replace(prediction_rounding=False))
    return {
        "training": model.history,
        "test": test,
        "rmse": _rounding_errors(model),
        "edges": edges.tolist(),
        "histogram": {
            name: np.histogram(np.clip(own, *edges[[0, -1]]), edges)[0].tolist() for name, own in values.items()
        },
        "lists": {str(user): _told_list(plain, user) for user in shown_users(model.ratings)},
    }


def _told_list(model: FittedModel, user: object) -> list[list[Any]]:
    try:
        table = recommend(model, user, LIST_LENGTH)
    except FlexError as error:  # such as one who has rated everything
        return [[str(error), "", None]]
    table = table.assign(title=table.get("title", ""), stars=table["predicted"].astype(float).round(3))
    return table[["item", "title", "stars"]].to_numpy().tolist()


def shown_users(ratings: Ratings, n: int = 6) -> NDArray[Any]:
    """Choose n users, in even steps of rank from the fewest ratings to the most.

    Parameters
    ----------
    ratings
        Whose users are chosen.
    n
        How many; where there are fewer users, some are chosen again.

    Returns
    -------
    NDArray
        (n,) original ids.
    """
    counts = np.bincount(ratings.users, minlength=ratings.n_users)
    ranks = np.linspace(0, ratings.n_users - 1, n).round().astype(int)
    return ratings.user_ids[np.argsort(counts, kind="stable")[ranks]]


def _mean(values: NDArray[Any]) -> float | None:
    """Average to a plain number; None where there are no values, which JSON can say."""
    return float(np.mean(values)) if np.size(values) else None


def _scored_predictions(model: FittedModel, rounding: bool) -> pd.DataFrame:
    """Predict the scored test ratings with PrR on or off: actual and predicted stars."""
    table = evaluate(replace(model, config=model.config.replace(prediction_rounding=rounding))).predictions
    return table.loc[table["scored"], ["actual", "predicted"]]


def _rounding_errors(model: FittedModel) -> dict[str, float | None]:
    actual, predicted = _scored_predictions(model, False).to_numpy().T
    kinds = {
        "unrounded": predicted,
        "clipped": np.clip(predicted, *model.ratings.scale[:2]),
        "rounded": _scored_predictions(model, True)["predicted"].to_numpy(),
    }
    found = {name: errors(actual, values)[0] for name, values in kinds.items()}
    return {name: None if np.isnan(rmse) else rmse for name, rmse in found.items()}


def predict_all(model: FittedModel) -> NDArray[np.floating]:
    """Predict every pair of a user and an item, from training ratings alone and before any rounding.

    Parameters
    ----------
    model
        Of `flexlib.fit`.

    Returns
    -------
    NDArray
        (users, items) stars.
    """
    train, shape = model.split.train, model.shape
    rows, columns = (axis.ravel() for axis in np.indices(shape, np.int32))
    outputs: NDArray[np.floating] = network_outputs(model, train, model.centred(train), rows, columns)
    outputs = outputs + model.centres(rows, columns)
    return outputs.reshape(shape).T if model.config.item_based else outputs.reshape(shape)


def top_lists(scores: NDArray[np.floating], allowed: Mask, ties: NDArray[Any], k: int) -> Index:
    """List each user's items with the highest scores.

    Parameters
    ----------
    scores
        (users, items) stars.
    allowed
        (users, items) True where an item may be listed.
    ties
        (users, items) numbers: of items with equal scores, that with the higher number comes first, then the lower id.
    k
        Length of the lists.

    Returns
    -------
    Index
        (users, k) items, best first; -1 where a user has fewer than k.
    """
    lists = np.full((len(scores), k), -1)
    for user, row in enumerate(np.where(allowed, scores, -np.inf)):
        length = min(k, len(row))
        near = np.flatnonzero((row >= np.partition(row, -length)[-length]) & allowed[user])
        best = np.lexsort((near, -ties[user, near], -row[near]))[:k]
        lists[user, : len(best)] = near[best]
    return lists


def tied_lists(scores: NDArray[np.floating], allowed: Mask, k: int) -> tuple[Mask, Mask]:
    """Find whose list of the k highest scores is decided by what breaks ties.

    Parameters
    ----------
    scores
        (users, items) stars.
    allowed
        (users, items) True where an item may be listed.
    k
        Length of the lists.

    Returns
    -------
    ends : Mask
        (users,) True where an item off the list has the lowest score on it.
    whole : Mask
        (users,) True where all k items on the list have one score.
    """
    best = -np.sort(-np.where(allowed, scores, np.nan), axis=1)  # best first, what may not be listed last
    best = np.pad(best, ((0, 0), (0, max(k + 1 - best.shape[1], 0))), constant_values=np.nan)
    return best[:, k - 1] == best[:, k], best[:, 0] == best[:, k - 1]


def list_measures(
    lists: Index, shown: NDArray[np.floating], ratings: Ratings, counts: Index
) -> dict[str, float | None]:
    """Measure what lists are like.

    Parameters
    ----------
    lists
        (users, k) items, -1 where there is none.
    shown
        (users, items) the predictions that go with the lists, in stars.
    ratings
        Whose scale, genres and number of users are meant.
    counts
        (items,) training ratings of each item; the catalogue is the items with any.

    Returns
    -------
    dict
        Plain numbers, None where there is nothing to measure:

        - five_stars: share of the entries predicted at the top of the scale or above
        - coverage: share of the catalogue on any list
        - gini: Gini index of how often each item of the catalogue is listed; 0 where all are alike, 1 where one item
          takes all
        - entropy: of the same, in bits
        - distance: mean over users of the Jaccard distance of genres over pairs of a list; items without genres count
          as alike
        - novelty: mean of -log2 of the share of users who rated the item, in bits
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


def _genre_distance(lists: Index, genres: NDArray[Any] | None) -> float | None:
    if genres is None:
        return None
    texts = pd.Series(genres).astype(str).replace("", "(none)")  # a genre of its own, else nothing would have it
    has = texts.str.get_dummies("|").to_numpy(float)
    own, real = has[lists], lists >= 0
    both = np.einsum("uig,ujg->uij", own, own)
    either = own.sum(-1)[:, :, None] + own.sum(-1)[:, None, :] - both
    pairs = np.triu(np.ones(both.shape[1:]), 1) * real[:, :, None] * real[:, None, :]
    distance = ((1 - both / either) * pairs).sum((1, 2)) / np.maximum(pairs.sum((1, 2)), 1)
    return _mean(distance[pairs.any((1, 2))])
