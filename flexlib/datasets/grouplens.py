"""Rating tables: from a named set or a file of the user's to dense arrays, checked line by line, and split.

`load_ratings` is the one entry. Reading is vectorised; a value that cannot be right is reported with its
file and line, and nothing is silently dropped.
"""

import numpy as np
import pandas as pd

from flexlib.config import FlexError
from flexlib.datasets.tables import KNOWN_COLUMNS, check_table, read_csv


def read_text(source, name, spec):
    """The four columns user, item, rating, timestamp of one of GroupLens' text formats, unchecked."""
    columns = ["user", "item", "rating", "timestamp"]
    layout = {
        "csv": dict(sep=",", header=0),
        "tab": dict(sep="\t", header=None, names=columns),
        # Only digits and points stand between the "::", so that a one-character separator, which
        # pandas reads fast, finds the fields at every other place.
        "double-colon": dict(sep=":", header=None, usecols=[0, 2, 4, 6]),
    }[spec.style]
    where = source.describe(name)
    with source.open(name) as stream:
        table = read_csv(stream, where, **layout)
    if spec.style == "csv":
        known = [names[0] for names in KNOWN_COLUMNS.values()]
        for column in known:
            if column not in table.columns:
                raise FlexError(f"{where}: no column '{column}'; it has {', '.join(map(str, table.columns))}")
        table = table[known]
    return table.set_axis(columns, axis=1)


def read_titles(source, spec):
    """Item id to title, and to genres joined by '|'; (None, None) where the set has no titles file."""
    if not spec.titles or not source.has(spec.titles):
        return None, None
    where = source.describe(spec.titles)
    if spec.style == "csv":
        with source.open(spec.titles) as stream:
            table = read_csv(stream, where, header=0, na_filter=False)
        if not {"movieId", "title", "genres"} <= set(table.columns):
            raise FlexError(f"{where}: its columns are not movieId, title and genres")
        if (bad := pd.to_numeric(table["movieId"], errors="coerce").isna()).any():
            raise FlexError(f"{where}, line {bad.idxmax()}: '{table['movieId'][bad.idxmax()]}' is not a movie id")
        table = table.set_index("movieId")
        return table["title"].to_dict(), table["genres"].to_dict()
    titles, genres, flags = {}, {}, []
    if spec.genres:
        flags = [line.split("|")[0] for line in source.read(spec.genres).split("\n") if "|" in line]
    separator = {"tab": "|", "double-colon": "::", "netflix": ","}[spec.style]
    for number, line in enumerate(source.read(spec.titles, spec.encoding).splitlines(), 1):
        item, *rest = line.split(separator) if spec.style == "tab" else line.split(separator, 2)
        if not item.isdecimal() or len(rest) < 2:
            raise FlexError(f"{where}, line {number}: '{line[:40]}' is not id{separator}...{separator}...")
        if spec.style == "netflix":
            titles[int(item)] = f"{rest[1]} ({rest[0]})"
        else:
            titles[int(item)] = rest[0]
            on = [genre for genre, flag in zip(flags, rest[4:], strict=False) if flag == "1"]
            genres[int(item)] = "|".join(on) if flags else rest[1]
    return titles, genres or None


def read_fold(source, spec, fold, ratings):
    """Indices into `ratings` of one published fold's test ratings, an equal share of them all."""
    where = source.describe(f"{fold}.test")
    table = check_table(read_text(source, f"{fold}.test", spec), where, spec.scale)
    index = pd.MultiIndex.from_arrays([ratings.user_ids[ratings.users], ratings.item_ids[ratings.items]])
    found = index.get_indexer(pd.MultiIndex.from_frame(table[["user", "item"]]))
    if (found < 0).any() or len(found) != round(len(ratings) / len(spec.folds)):
        raise FlexError(f"{where}: not one of {len(spec.folds)} equal shares of the pairs in {spec.ratings}")
    return np.sort(found)
