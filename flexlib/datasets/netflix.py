"""Rating tables: from a named set or a file of the user's to dense arrays, checked line by line, and split.

`load_ratings` is the one entry. Reading is vectorised; a value that cannot be right is reported with its
file and line, and nothing is silently dropped.
"""

import pandas as pd

from flexlib.config import FlexError, first_line


def read_netflix(source):
    """The Netflix prize files: a line `MOVIE:`, then lines `USER,RATING,DATE`."""
    parts = []
    for member in source.glob("training_set/mv_*.txt", "combined_data_*.txt"):
        layout = dict(header=None, names=["user", "rating", "timestamp"], dtype=str, chunksize=5_000_000)
        where, movie = source.describe(member), None
        try:
            with source.open(member) as stream, pd.read_csv(stream, **layout) as chunks:
                for lines in filter(len, chunks):
                    part, movie = _netflix_part(lines, where, movie)
                    parts.append(part)
        except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
            raise FlexError(f"{where}: not in the expected format ({first_line(error)})") from None
    if not parts:
        raise FlexError(f"{source.describe('')}: neither training_set/mv_*.txt nor combined_data_*.txt is there")
    return pd.concat(parts, ignore_index=True)


def _netflix_part(lines, where, movie):
    """The ratings of a piece of a file, and the movie it ends with, which the next piece may go on with."""
    heads = lines["user"].str.endswith(":")
    movies = lines["user"].where(heads).str.rstrip(":").ffill().fillna(movie)
    days = pd.to_datetime(lines["timestamp"], errors="coerce", format="%Y-%m-%d")
    columns = {"item": movies, "user": lines["user"], "rating": lines["rating"]}
    part = pd.DataFrame({key: pd.to_numeric(text, errors="coerce") for key, text in columns.items()})
    part["timestamp"] = (days - pd.Timestamp(0)) // pd.Timedelta(seconds=1)
    part = part[~heads]
    if (bad := part.isna().any(axis=1)).any():
        what = part.columns[part.loc[bad.idxmax()].isna()][0]
        why = "no movie id followed by ':' stands before it" if what == "item" else f"no valid {what}"
        raise FlexError(f"{where}, line {bad.idxmax() + 1}: {why}")
    return part, movies.iloc[-1]
