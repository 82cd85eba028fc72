"""Ratings as parallel arrays, and how they are split into training, test and validation ratings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from flexlib.config import FlexError
from flexlib.seeds import Purpose, numpy_generator

Index = NDArray[np.int64]
Ids = NDArray[np.int32]
AnyIds = NDArray[np.integer[Any]]
Stars = NDArray[np.float32]
Mask = NDArray[np.bool_]

VALIDATION_SHARE = 0.1  # of the training ratings, held back for early stopping (patience) or for tuning


@dataclass(frozen=True, eq=False)
class Ratings:
    """n ratings with dense ids from 0, and the names behind these ids.

    Parameters
    ----------
    name
        Of the data set, or the path of its file.
    users, items
        (n,) int32 dense ids.
    values
        (n,) float32 stars.
    timestamps
        (n,) int64 seconds since 1970, or None.
    user_ids, item_ids
        (n_users,) and (n_items,) original ids, by dense id.
    scale
        Lowest rating, highest rating and step, in stars.
    titles, genres
        (n_items,) texts, "" where unknown; None where the set has none.
    folds
        Name of each published fold to the index of its test ratings.
    oracle
        (n,) stars that one who knows how synthetic ratings were made would predict, else None.
    noise_floor
        RMSE that the oracle is expected to score, else None.
    facts
        Provenance: file and checksum.
    """

    name: str
    users: Ids
    items: Ids
    values: Stars
    timestamps: Index | None
    user_ids: NDArray[Any]
    item_ids: NDArray[Any]
    scale: tuple[float, float, float]
    titles: NDArray[Any] | None = None
    genres: NDArray[Any] | None = None
    folds: dict[str, Index] = field(default_factory=dict)
    oracle: NDArray[Any] | None = None
    noise_floor: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def n_users(self) -> int:
        """How many users there are."""
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        """How many items there are."""
        return len(self.item_ids)

    @property
    def checksum(self) -> str:
        """SHA-256 of the file they come from, and of how it was read where that was told; "" for synthetic ones."""
        return str(self.facts.get("checksum", self.facts.get("sha256", "")))

    def summary(self) -> dict[str, Any]:
        """Describe the ratings: counts, density, scale and long tail, as plain values."""
        counts = np.bincount(self.items, minlength=self.n_items)
        facts: dict[str, Any] = {
            "ratings": len(self),
            "users": self.n_users,
            "items": self.n_items,
            "density": round(len(self) / (self.n_users * self.n_items), 6),
            "scale": f"{self.scale[0]:g} to {self.scale[1]:g} in steps of {self.scale[2]:g}",
            "mean rating": round(float(self.values.mean(dtype=np.float64)), 4),
            "items rated once": int((counts == 1).sum()),
            "ratings per user (median)": float(np.median(np.bincount(self.users, minlength=self.n_users))),
            "folds": ", ".join(self.folds) or "none",
        }
        if self.noise_floor is not None:
            facts["noise floor (RMSE of the oracle)"] = round(self.noise_floor, 4)
        return facts | dict(self.facts)


@dataclass(frozen=True, eq=False)
class Split:
    """Which ratings train and which test: two sorted, disjoint indices into `Ratings`."""

    train: Index
    test: Index


def find_ids(known: NDArray[Any], wanted: ArrayLike) -> Index:
    """Find the dense ids of original ones.

    Parameters
    ----------
    known
        (n,) original ids, by dense id.
    wanted
        (k,) original ids, or a single one. Where one of the two are numbers and the other texts, both are compared as
        texts.

    Returns
    -------
    Index
        (k,) dense ids, -1 for an id that is not known.

    Raises
    ------
    FlexError
        For numbers with decimals, which ids never are, and for a table of ids.
    """
    wanted = np.atleast_1d(wanted)
    if wanted.ndim > 1 or (wanted.dtype.kind == "f" and len(wanted)):
        raise FlexError(f"ids are whole numbers or texts, in a list, not {wanted.dtype} of shape {wanted.shape}")
    if not {known.dtype.kind, wanted.dtype.kind} <= set("iu"):
        known, wanted = known.astype(str), wanted.astype(str)
    return np.asarray(pd.Index(known).get_indexer(pd.Index(wanted)), np.int64)


def split_ratings(ratings: Ratings, test_split_rate: float = 0.3, seed: int = 0, fold: str | None = None) -> Split:
    """Hold out a random share of the ratings (TSR), or a published fold.

    The random split depends on the seed, the rate and the number of ratings alone.

    Parameters
    ----------
    ratings
        What to split.
    test_split_rate
        Share held out: `round(rate * n)` ratings, at least one. 0 holds out none, for a model that is to be used, not
        scored.
    seed
        At least 0.
    fold
        Name of a published fold, in place of a random split.

    Returns
    -------
    Split
        Its two parts together hold every rating.

    Raises
    ------
    FlexError
        For an unknown fold, a negative seed, or where no training rating would be left.
    """
    n = len(ratings)
    if seed < 0:
        raise FlexError(f"seed {seed}: at least 0 is needed")
    if fold is not None:
        if fold not in ratings.folds:
            raise FlexError(f"{ratings.name} has no fold '{fold}': it has {', '.join(ratings.folds) or 'none'}")
        test = ratings.folds[fold]
    else:
        count = max(1, round(test_split_rate * n)) if test_split_rate else 0
        if count >= n:
            raise FlexError(f"a test split rate of {test_split_rate} leaves none of {n} ratings for training")
        test = np.sort(numpy_generator(seed, Purpose.SPLIT).permutation(n)[:count])
    train = np.ones(n, dtype=bool)
    train[test] = False
    return Split(train=np.flatnonzero(train), test=test)


def hold_back(split: Split, seed: int) -> Split:
    """Split the training ratings again: `VALIDATION_SHARE` of them, drawn by the seed, become the new test part.

    The test ratings of the given split are in neither part.

    Parameters
    ----------
    split
        Whose training ratings are split.
    seed
        At least 0.

    Returns
    -------
    Split
        `train`: what is left to train on. `test`: the validation ratings.
    """
    shuffled = split.train[numpy_generator(seed, Purpose.VALIDATION).permutation(len(split.train))]
    n_validation = max(1, round(VALIDATION_SHARE * len(shuffled)))
    return Split(np.sort(shuffled[n_validation:]), np.sort(shuffled[:n_validation]))
