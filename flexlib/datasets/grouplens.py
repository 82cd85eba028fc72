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
from flexlib.datasets.sources import DatasetSpec, Source
from flexlib.datasets.tables import Texts, check_table, read_csv, read_numbered

COLUMNS = ["user", "item", "rating", "timestamp"]
CSV_COLUMNS = ["userId", "movieId", "rating", "timestamp"]

# The arguments of pandas' reader. Only digits and points stand between the "::", so that a separator of one
# character, which pandas reads fast, finds the fields at every other place.
LAYOUTS: dict[str, dict[str, Any]] = {
    "csv": dict(sep=",", header=0),
    "tab": dict(sep="\t", header=None, names=COLUMNS),
    "double-colon": dict(sep=":", header=None, usecols=[0, 2, 4, 6]),
}


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
    with source.open(name) as stream:
        table = read_csv(stream, where, **LAYOUTS[spec.style])
    if spec.style == "csv":
        for column in CSV_COLUMNS:
            if column not in table.columns:
                raise FlexError(f"{where}: no column '{column}'; it has {', '.join(map(str, table.columns))}")
        table = table[CSV_COLUMNS]
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
    if spec.style == "double-colon":
        lines = dict(read_numbered(source, spec.titles, spec.encoding, "::", 2))
        return {item: title for item, (title, _) in lines.items()}, {item: names for item, (_, names) in lines.items()}
    names = source.read(spec.genres).split("\n") if spec.genres else []
    genres = [line.split("|")[0] for line in names if "|" in line]
    fields = dict(read_numbered(source, spec.titles, spec.encoding, "|"))
    return (
        {item: title for item, (title, *_) in fields.items()},
        {item: _flagged(genres, flags) for item, (_, _, _, _, *flags) in fields.items()},
    )
