"""Synthetic ratings shaped like ml-latest-small-2016, with a known noise floor.

Every rating is a latent score plus Gaussian noise, rounded to the nearest half star from 0.5 to 5:

    score(u, i) = mean + user bias + item bias + taste(u) . style(i),    rating = round(score + sigma * noise)

An oracle that knows the score predicts E[rating | score], which no predictor beats on average. Its expected RMSE is the
noise floor: the square root of the mean of Var[rating | score] over the set's own pairs. A lower score on held-out
ratings cannot be skill.
"""

import re

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from flexlib.config import FlexError
from flexlib.data import Ids, Index, Ratings
from flexlib.seeds import Purpose, numpy_generator

Floats = NDArray[np.float64]

STARS = np.arange(0.5, 5.01, 0.5)
SIGMA = 0.85  # sd of the noise in stars; leaves a floor near the best RMSE reported on MovieLens
FACTORS = 8
CELLS_PER_CHUNK = 20_000_000  # user-item keys drawn at once: 160 MB
RATINGS_PER_CHUNK = 1_000_000
MOST_RATINGS = 10**9  # about 20 GB
MOST_PAIRS = 10**11  # whose keys take about an hour to draw

GENRES = ("Action", "Comedy", "Crime", "Drama", "Fantasy", "Musical", "Mystery", "Romance", "Thriller", "War")
ADJECTIVES = (
    "Amber Broken Crimson Distant Electric Forgotten Golden Hidden Iron Last Midnight Quiet Silver Wild".split()
)
NOUNS = "Harbour Lantern Letters Orchard Passage Promise Railway River Season Shadow Signal Summer Tower Voyage".split()


def named_synthetic(name: str) -> Ratings:
    """Draw the ratings that a name such as "synthetic:users=100,seed=1" describes; "synthetic" has the default sizes.

    Parameters
    ----------
    name
        "synthetic", and the arguments of `make_synthetic` that differ from their defaults.

    Raises
    ------
    FlexError
        For another argument, or sizes that cannot be.
    """
    sizes: dict[str, int] = {}
    for part in filter(None, name.partition(":")[2].split(",")):
        key, _, value = part.partition("=")
        if key not in ("users", "items", "ratings", "seed") or not re.fullmatch("[0-9]{1,18}", value):
            raise FlexError(f"{name:.100}: '{part:.40}' is not one of users=N, items=N, ratings=N, seed=N")
        if key in sizes:
            raise FlexError(f"{name:.100}: {key} is given twice")
        sizes[key] = int(value)
    return make_synthetic(**sizes, name=name)


def make_synthetic(
    users: int = 671, items: int = 9_066, ratings: int = 100_004, seed: int = 0, name: str = "synthetic"
) -> Ratings:
    """Draw ratings, of which each user and each item has at least one.

    They depend on the four numbers alone. Pairs are drawn in chunks of users, so that 100 million ratings need memory
    for the ratings themselves, not for a matrix of users and items.

    Parameters
    ----------
    users, items, ratings
        How many, exactly. By default as in ml-latest-small-2016.
    seed
        At least 0.
    name
        Of the set.

    Returns
    -------
    Ratings
        Sorted by user, with oracle and noise floor.

    Raises
    ------
    FlexError
        Where so many ratings do not fit.
    """
    if min(users, items) < 2 or ratings < max(users, items) or ratings > users * items // 2:
        what = f"synthetic: {ratings:,} ratings by {users:,} users of {items:,} items cannot be drawn"
        raise FlexError(f"{what}: it takes 2 of each, as many ratings as users and as items, at most half of all pairs")
    if ratings > MOST_RATINGS or users * items > MOST_PAIRS:
        size = f"synthetic: {ratings:,} ratings by {users:,} users of {items:,} items"
        raise FlexError(f"{size}: at most {MOST_RATINGS:,} ratings and {MOST_PAIRS:,} pairs are drawn")
    rng = numpy_generator(seed, Purpose.SYNTHETIC)
    activity = _activity(rng, users, items, ratings)
    popularity = rng.permutation(1.0 / (np.arange(items) + 0.02 * items) ** 2.0)
    popularity /= popularity.mean()

    item_genres = rng.random((items, len(GENRES))) < 0.2
    item_genres[np.arange(items), rng.integers(0, len(GENRES), items)] = True
    genre_style = rng.normal(0, 1, (len(GENRES), FACTORS))
    genre_style = item_genres @ genre_style / np.sqrt(item_genres.sum(1, keepdims=True))
    style = genre_style + rng.normal(0, 0.5, (items, FACTORS))
    taste = rng.normal(0, 0.4 / np.sqrt(FACTORS), (users, FACTORS))
    user_bias = rng.normal(0, 0.42, users)
    # Popular films are rated a little higher, as in MovieLens.
    item_bias = rng.normal(0, 0.45, items) + 0.12 * np.log(popularity)

    who = np.repeat(np.arange(users, dtype=np.int32), activity)
    which = _pairs(rng, seed, activity, popularity)
    values, oracle = np.empty(ratings, np.float32), np.empty(ratings, np.float32)
    variance = 0.0
    for start in range(0, ratings, RATINGS_PER_CHUNK):
        part = slice(start, start + RATINGS_PER_CHUNK)
        u, i = who[part], which[part]
        score = 3.5 + user_bias[u] + item_bias[i] + np.einsum("nk,nk->n", taste[u], style[i])
        noisy = score + SIGMA * rng.normal(size=len(u))
        values[part] = np.clip(np.round(noisy * 2) / 2, STARS[0], STARS[-1])
        expected, spread = rating_moments(score)
        oracle[part] = expected
        variance += spread.sum()
    return Ratings(
        name=name,
        users=who,
        items=which,
        values=values,
        timestamps=_timestamps(rng, activity),
        user_ids=np.arange(1, users + 1),
        item_ids=np.arange(1, items + 1),
        scale=(0.5, 5.0, 0.5),
        titles=_titles(rng, items),
        genres=np.array(["|".join(GENRES[g] for g in np.flatnonzero(row)) for row in item_genres], object),
        oracle=oracle,
        noise_floor=float(np.sqrt(variance / ratings)),
        facts={"generator": f"users={users}, items={items}, ratings={ratings}, seed={seed}"},
    )


def rating_moments(score: Floats) -> tuple[Floats, Floats]:
    """Compute mean and variance of the rating that a score becomes.

    Parameters
    ----------
    score
        (n,) latent scores in stars.

    Returns
    -------
    mean, variance
        (n,) each, in stars and squared stars.
    """
    # P(rating <= r) for each r but the last, with the scale's ends taking all that lies beyond.
    edges = (STARS[:-1] + 0.25 - score[:, None]) / SIGMA
    below = np.concatenate([np.zeros((len(score), 1)), ndtr(edges), np.ones((len(score), 1))], axis=1)
    probabilities = np.diff(below, axis=1)
    mean = probabilities @ STARS
    return mean, probabilities @ STARS**2 - mean**2


def _activity(rng: np.random.Generator, users: int, items: int, ratings: int) -> Index:
    """Draw how many ratings each user gives: a floor, a log-normal tail, at most half the items."""
    floor = min(20, max(1, ratings // (2 * users)))
    most = items // 2 + 1
    weights = rng.lognormal(0, 1.25, users)
    counts = np.full(users, min(floor, most))
    # Hand out what is left in proportion, and again while somebody is full.
    while (left := ratings - counts.sum()) > 0:
        room = most - counts
        share = np.where(room > 0, weights, 0)
        extra = np.minimum(np.floor(share / share.sum() * left).astype(np.int64), room)
        if not extra.any():
            extra[np.argsort(-share, kind="stable")[: int(left)]] = 1
            extra = np.minimum(extra, room)
        counts += extra
    return counts


def _pairs(rng: np.random.Generator, seed: int, activity: Index, popularity: Floats) -> Ids:
    """Draw different items for each user in turn, popular ones more often, and every item at least once.

    Weighted sampling without replacement takes the items with the largest keys log(weight) + Gumbel noise (Efraimidis
    and Spirakis 2006). Which user rates an item for certain is drawn by a random place among all ratings.
    """
    users, items = len(activity), len(popularity)
    ends = np.cumsum(activity)
    owners = np.searchsorted(ends, rng.choice(ends[-1], items, replace=False), side="right")
    by_owner = np.argsort(owners, kind="stable")
    starts = np.searchsorted(owners[by_owner], np.arange(users + 1))
    log_weight = np.log(popularity)
    which = np.empty(ends[-1], np.int32)
    step = max(1, CELLS_PER_CHUNK // items)
    for first in range(0, users, step):
        chunk = numpy_generator(seed, Purpose.SYNTHETIC_PAIRS, first)
        block = range(first, min(first + step, users))
        keys = log_weight - np.log(chunk.standard_exponential((len(block), items)))
        for row, user in enumerate(block):
            keys[row, by_owner[starts[user] : starts[user + 1]]] = np.inf
            n = activity[user]
            chosen = np.argpartition(-keys[row], n - 1)[:n]
            which[ends[user] - n : ends[user]] = np.sort(chosen)
    return which


def _timestamps(rng: np.random.Generator, activity: Index) -> Index:
    """Draw seconds since 1970: each user joins at some time and rates on from there."""
    joined = rng.integers(850_000_000, 1_470_000_000, len(activity))
    gaps = rng.integers(5, 4_000, activity.sum())
    run = np.cumsum(gaps)
    before = np.repeat(run[np.cumsum(activity) - activity], activity)
    return np.asarray(np.repeat(joined, activity) + run - before)


def _titles(rng: np.random.Generator, items: int) -> NDArray[np.object_]:
    drawn = rng.integers((0, 0, 1930), (len(ADJECTIVES), len(NOUNS), 2017), (items, 3)).tolist()
    names = [f"{ADJECTIVES[a]} {NOUNS[b]} #{k} ({year})" for k, (a, b, year) in enumerate(drawn, 1)]
    return np.array(names, object)
