"""The files of the Netflix prize: a line `MOVIE:`, then lines `USER,RATING,DATE`.

Both layouts are read: a file a movie (training_set/mv_*.txt), and Kaggle's four files (combined_data_*.txt).
"""

import warnings
from typing import Any

import pandas as pd

from flexlib.config import FlexError, first_line
from flexlib.datasets.layouts import check_text
from flexlib.datasets.sources import DatasetSpec, Source
from flexlib.datasets.tables import first_true, read_numbered

LINES_PER_CHUNK = 5_000_000


def read_netflix(source: Source) -> pd.DataFrame:
    """Read all ratings of the prize's files.

    Parameters
    ----------
    source
        Where the files are.

    Returns
    -------
    DataFrame
        Not yet checked for scale and duplicates.

        - item, user: ids.
        - rating: stars.
        - timestamp: seconds since 1970.

    Raises
    ------
    FlexError
        With file and line, where the files are not there or not of this format.
    """
    parts = []
    for member in source.glob("training_set/mv_*.txt", "combined_data_*.txt"):
        where, movie = source.describe(member), None
        names = ["user", "rating", "timestamp"]
        with source.open(member) as stream:
            check_text(stream, where)
        options: dict[str, Any] = dict(header=None, names=names, index_col=False, dtype=str)
        try:
            with (
                warnings.catch_warnings(),
                source.open(member) as stream,
                pd.read_csv(stream, chunksize=LINES_PER_CHUNK, **options) as chunks,
            ):
                warnings.simplefilter("error", pd.errors.ParserWarning)  # of fields beyond the third
                for lines in filter(len, chunks):
                    part, movie = _read_chunk(lines, where, movie)
                    parts.append(part)
        except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
            raise FlexError(f"{where}: not in the expected format ({first_line(error)})") from None
    if not parts:
        raise FlexError(f"{source.describe('')}: neither training_set/mv_*.txt nor combined_data_*.txt is there")
    return pd.concat(parts, ignore_index=True)


def _read_chunk(lines: pd.DataFrame, where: str, movie: str | None) -> tuple[pd.DataFrame, str]:
    """Give a chunk's ratings, and the movie it ends with: a chunk begins in the middle of a movie's lines."""
    heads = lines["user"].str.endswith(":")
    movies = lines["user"].where(heads).str.rstrip(":").ffill().fillna(movie)
    days = pd.to_datetime(lines["timestamp"], errors="coerce", format="%Y-%m-%d")
    columns = {"item": movies, "user": lines["user"], "rating": lines["rating"]}
    part = pd.DataFrame({key: pd.to_numeric(text, errors="coerce") for key, text in columns.items()})
    part["timestamp"] = (days - pd.Timestamp(0, unit="s")) // pd.Timedelta(seconds=1)
    part = part[~heads]
    if (at := first_true(part.isna().any(axis=1))) is not None:
        what = part.columns[part.iloc[at].isna()][0]
        why = "no movie id followed by ':' stands before it" if what == "item" else f"no valid {what}"
        raise FlexError(f"{where}, line {part.index[at] + 1}: {why}")
    return part, movies.iloc[-1]


def read_netflix_titles(source: Source, spec: DatasetSpec) -> dict[int, str] | None:
    """Read the titles, with the year behind each, from lines `MOVIE,YEAR,TITLE`.

    Parameters
    ----------
    source, spec
        Where the file is, and what is known of it.

    Returns
    -------
    dict
        Item id to title; None where the file is not there.

    Raises
    ------
    FlexError
        With file and line, where it is not of this format.
    """
    if not spec.titles or not source.has(spec.titles):
        return None
    lines = read_numbered(source, spec.titles, spec.encoding, ",", 2)
    return {item: f"{title} ({year})" for item, (year, title) in lines}
