"""Splits in files, so that others can train and test on the same ratings: which pair is in which part."""

from pathlib import Path

import numpy as np
import pandas as pd

from flexlib.config import FlexError
from flexlib.data import Ratings, Split, find_ids
from flexlib.serving.tables import place_in, read_pairs, write_table

PARTS = ("train", "test")


def write_split(ratings: Ratings, split: Split, path: str | Path) -> None:
    """Write a split: the columns user, item (original ids) and part (train or test), in the order of the ratings.

    Parameters
    ----------
    ratings, split
        What was split, and how. Ratings in neither part are left out.
    path
        Of the file, which ends in .csv or .parquet.

    Raises
    ------
    FlexError
        Where the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from flexlib import load_ratings, split_ratings
    >>> from flexlib.serving.splits import read_split, write_split
    >>> ratings = load_ratings("synthetic:users=60,items=90,ratings=1500,seed=1")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_split(ratings, split_ratings(ratings, 0.2), f"{folder}/split.parquet")
    ...     len(read_split(ratings, f"{folder}/split.parquet").test)
    300
    """
    part = np.full(len(ratings), "", object)
    part[split.train], part[split.test] = PARTS
    table = {"user": ratings.user_ids[ratings.users], "item": ratings.item_ids[ratings.items], "part": part}
    write_table(pd.DataFrame(table)[part != ""], Path(path))


def read_split(ratings: Ratings, path: str | Path) -> Split:
    """Read a split, made here or elsewhere, and check that it is one of these ratings.

    Parameters
    ----------
    ratings
        What is split.
    path
        A CSV or Parquet file with the columns user, item and part, or with the usual other names of the first two.

    Returns
    -------
    Split
        Whose two parts together hold every rating.

    Raises
    ------
    FlexError
        Naming the file and the line: for a pair that has no rating or is there twice, or another part than train and
        test; or where a rating is in no part, or none is one of training.
    """
    table = read_pairs(Path(path), ["part"])
    users, items = find_ids(ratings.user_ids, table["user"]), find_ids(ratings.item_ids, table["item"])
    keys = ratings.users.astype(np.int64) * ratings.n_items + ratings.items
    wanted = np.where((users < 0) | (items < 0), -1, users * ratings.n_items + items)
    places = np.asarray(pd.Index(keys).get_indexer(pd.Index(wanted)), np.int64)
    for wrong, problem in (
        (~table["part"].isin(PARTS), f"its part is neither {' nor '.join(PARTS)}"),
        (places < 0, f"{ratings.name} has no such rating"),
        (pd.Series(places).duplicated(), "it is there twice"),
    ):
        if np.any(wrong):
            line = int(np.flatnonzero(wrong)[0])
            user, item, part = table.iloc[line]
            where = place_in(Path(path), table.index[line])
            raise FlexError(f"{where}: user {user}, item {item}, {part}: {problem}")
    if len(places) < len(ratings):
        raise FlexError(f"{path}: {len(places):,} pairs; {ratings.name} has {len(ratings):,} ratings, each in one part")
    train = (table["part"] == "train").to_numpy()
    if not train.any():
        raise FlexError(f"{path}: no rating is in the part train")
    return Split(np.sort(places[train]), np.sort(places[~train]))
