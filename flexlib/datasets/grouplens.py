"""The text formats of GroupLens' archives: ratings, titles with genres, and published folds.

A `DatasetSpec` names the format by its style:

- csv: comma-separated with a head (since 2014);
- tab: tab-separated ratings and titles separated by "|", without a head (ml-100k);
- double-colon: fields separated by "::" (ml-1m, ml-10m).
"""

from typing import Any

import numpy as np
import pandas as pd

from flexlib.config import FlexError
from flexlib.data import Index, Ratings
from flexlib.datasets.fast_csv import read_fast
from flexlib.datasets.layouts import choose_columns
from flexlib.datasets.sources import DatasetSpec, Source
from flexlib.datasets.tables import Texts, check_table, first_true, is_item_id, read_csv, read_numbered, to_ratings

COLUMNS = ["user", "item", "rating", "timestamp"]
CSV_COLUMNS = ["userId", "movieId", "rating", "timestamp"]

# The arguments of pandas' reader. Only digits and points stand between the "::", so that a separator of one
# character, which pandas reads fast, finds the fields at every other place.
LAYOUTS: dict[str, dict[str, Any]] = {
    "csv": dict(sep=",", header=0),
    "tab": dict(sep="\t", header=None, names=COLUMNS),
    "double-colon": dict(sep=":", header=None, usecols=[0, 2, 4, 6]),
}

# The arguments of `read_fast` for the same.
FAST_LAYOUTS: dict[str, dict[str, Any]] = {
    "csv": dict(columns=dict(zip(COLUMNS, CSV_COLUMNS, strict=True))),
    "tab": dict(separator="\t", names=COLUMNS, has_head=False, columns={}),
    "double-colon": dict(
        separator=":", names=["user", "", "item", "", "rating", "", "timestamp"], has_head=False, columns={}
    ),
}


def read_ratings(source: Source, spec: DatasetSpec) -> Ratings:
    """Read and check all ratings of a set.

    Parameters
    ----------
    source, spec
        Where the file is, and what is known of the set.

    Returns
    -------
    Ratings
        Without a name, titles and provenance.

    Raises
    ------
    FlexError
        As `read_text` and `check_table` do.
    """
    ratings = read_fast(lambda: source.open(spec.ratings), scale=spec.scale, **FAST_LAYOUTS[spec.style])
    # Ids that are no whole numbers as they are usually written are read as numbers here, where they can be.
    if ratings is not None and ratings.user_ids.dtype.kind == ratings.item_ids.dtype.kind == "i":
        return ratings
    table = read_text(source, spec.ratings, spec)
    return to_ratings(check_table(table, source.describe(spec.ratings), spec.scale), spec.scale)


def read_text(source: Source, name: str, spec: DatasetSpec) -> pd.DataFrame:
    """Read a file of ratings, unchecked.

    Parameters
    ----------
    source, name, spec
        Where the file is, its name, and what is known of the set.

    Returns
    -------
    DataFrame
        Indexed by the number of the line.

        - user, item: ids.
        - rating: stars.
        - timestamp: seconds since 1970.

    Raises
    ------
    FlexError
        Where the file is not there or not of the set's format.
    """
    where = source.describe(name)
    table = read_csv(lambda: source.open(name), where, **LAYOUTS[spec.style])
    if spec.style == "csv":
        table = table[[*choose_columns(table.columns, FAST_LAYOUTS["csv"]["columns"], where).values()]]
    return table.set_axis(COLUMNS, axis=1)


def read_titles(source: Source, spec: DatasetSpec) -> tuple[Texts, Texts]:
    """Read what the items are called, and their genres.

    Parameters
    ----------
    source, spec
        Where the files are, and what is known of the set.

    Returns
    -------
    titles, genres
        Item id to title, and to genres joined by "|"; None where the set has no file of titles.

    Raises
    ------
    FlexError
        With file and line, where the file is not of the set's format.
    """
    if not spec.titles or not source.has(spec.titles):
        return None, None
    if spec.style == "csv":
        return _read_csv_titles(source, spec.titles)
    titles: dict[int, str] = {}
    genres: dict[int, str] = {}
    if spec.style == "double-colon":
        for item, (title, names) in read_numbered(source, spec.titles, spec.encoding, "::", 2):
            titles[item], genres[item] = title, names
        return titles, genres
    lines = source.read(spec.genres).split("\n") if spec.genres else []
    flagged = [line.split("|")[0] for line in lines if "|" in line]
    for item, (title, *fields) in read_numbered(source, spec.titles, spec.encoding, "|"):
        # Behind three fields of dates and an address stands a 0 or 1 for each genre.
        titles[item] = title
        genres[item] = "|".join(genre for genre, flag in zip(flagged, fields[3:], strict=False) if flag == "1")
    return titles, genres


def _read_csv_titles(source: Source, name: str) -> tuple[dict[int, str], dict[int, str]]:
    where = source.describe(name)
    table = read_csv(lambda: source.open(name), where, header=0, dtype=str, na_filter=False)
    if not {"movieId", "title", "genres"} <= set(table.columns):
        raise FlexError(f"{where}: its columns are not movieId, title and genres")
    table = table.fillna("")  # of a line with fewer fields
    if (at := first_true(~table["movieId"].map(is_item_id))) is not None:
        raise FlexError(f"{where}, line {table.index[at]}: '{table['movieId'].iloc[at]:.40}' is not a movie id")
    items = table["movieId"].astype(np.int64).tolist()
    return dict(zip(items, table["title"], strict=True)), dict(zip(items, table["genres"], strict=True))


def read_fold(source: Source, spec: DatasetSpec, fold: str, ratings: Ratings) -> Index:
    """Read a published fold's test ratings.

    Parameters
    ----------
    source, spec
        Where the files are, and what is known of the set.
    fold
        Its name: the file is FOLD.test.
    ratings
        All of the set.

    Returns
    -------
    Index
        (n / number of folds,) sorted index into `ratings`.

    Raises
    ------
    FlexError
        Where the file does not hold an equal share of the pairs in `ratings`.
    """
    where = source.describe(f"{fold}.test")
    table = check_table(read_text(source, f"{fold}.test", spec), where, spec.scale)
    pairs = pd.MultiIndex.from_arrays([ratings.user_ids[ratings.users], ratings.item_ids[ratings.items]])
    found = pairs.get_indexer(pd.MultiIndex.from_frame(table[["user", "item"]]))
    if (found < 0).any() or len(found) != round(len(ratings) / len(spec.folds)):
        raise FlexError(f"{where}: not one of {len(spec.folds)} equal shares of the pairs in {spec.ratings}")
    return np.sort(found)
