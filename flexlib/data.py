"""Rating tables: from a named set or a file of the user's to dense arrays, checked line by line, and split.

`load_ratings` is the one entry. Reading is vectorised; a value that cannot be right is reported with its
file and line, and nothing is silently dropped.
"""

import re
import warnings
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pooch

from flexlib.config import FlexError, first_line
from flexlib.sources import DATASETS, open_source
from flexlib.synthetic import make_synthetic

# The column names that need no `columns` argument, by what they hold.
KNOWN_COLUMNS = {
    "user": ("userId", "user_id", "user", "uid"),
    "item": ("movieId", "movie_id", "itemId", "item_id", "item", "iid"),
    "rating": ("rating", "stars", "value"),
    "timestamp": ("timestamp", "time", "date"),
}


@dataclass(frozen=True, eq=False)
class Ratings:
    """Ratings as parallel arrays of length n, with dense ids from 0 and the means to name them.

    users, items: (n,) int32 dense ids; values: (n,) float32 stars; timestamps: (n,) int64 seconds or None.
    user_ids, item_ids: the original ids, by dense id. titles, genres: by dense item id, "" where unknown,
    or None where the set has none. scale: (lowest, highest, step) in stars. folds: name to the indices of
    its test ratings. oracle and noise_floor: for synthetic ratings, the prediction of one who knows the
    truth, and the RMSE that this oracle is expected to score. facts: provenance (file, checksum).
    """

    name: str
    users: np.ndarray
    items: np.ndarray
    values: np.ndarray
    timestamps: np.ndarray | None
    user_ids: np.ndarray
    item_ids: np.ndarray
    scale: tuple
    titles: np.ndarray | None = None
    genres: np.ndarray | None = None
    folds: dict = field(default_factory=dict)
    oracle: np.ndarray | None = None
    noise_floor: float | None = None
    facts: dict = field(default_factory=dict)

    def __len__(self):
        return len(self.values)

    @property
    def n_users(self):
        """How many users there are."""
        return len(self.user_ids)

    @property
    def n_items(self):
        """How many items there are."""
        return len(self.item_ids)

    def summary(self):
        """Counts, density, scale and long tail, as a mapping of plain values."""
        counts = np.bincount(self.items, minlength=self.n_items)
        facts = {
            "ratings": len(self), "users": self.n_users, "items": self.n_items,
            "density": round(len(self) / (self.n_users * self.n_items), 6),
            "scale": f"{self.scale[0]:g} to {self.scale[1]:g} in steps of {self.scale[2]:g}",
            "mean rating": round(float(self.values.mean(dtype=np.float64)), 4),
            "items rated once": int((counts == 1).sum()),
            "ratings per user (median)": float(np.median(np.bincount(self.users, minlength=self.n_users))),
            "folds": ", ".join(self.folds) or "none",
        }  # fmt: skip
        if self.noise_floor is not None:
            facts["noise floor (RMSE of the oracle)"] = round(self.noise_floor, 4)
        return facts | self.facts


def load_ratings(name, columns=None, scale=None):
    """Load a data set by name, or a CSV or Parquet file by its path.

    name: a key of `flexlib.sources.DATASETS`; "synthetic", optionally with sizes as in
    "synthetic:users=100,items=500,ratings=5000,seed=1"; or a path ending in .csv, .csv.gz or .parquet.
    columns: for a file, which column holds what, such as {"user": "uid", "rating": "stars"}.
    scale: for a file, (lowest, highest, step); read off its values, all of them, where not given.
    Raises `FlexError` with the file and line, the value, and what to do.
    """
    name = str(name)
    is_file = re.search(r"\.(csv|csv\.gz|parquet)$", name)
    if (columns or scale) and not is_file:
        raise FlexError(f"{name}: columns and scale are for a file; this set has its own")
    if name == "synthetic" or name.startswith("synthetic:"):
        return _synthetic(name)
    if name in DATASETS:
        return _load_known(name)
    if is_file:
        return _load_file(Path(name), columns or {}, scale)
    known = ", ".join(DATASETS)
    raise FlexError(f"unknown data set '{name}': known are synthetic, {known}, or a path to a .csv or .parquet file")


def _synthetic(name):
    sizes = {}
    for part in filter(None, name.partition(":")[2].split(",")):
        key, _, value = part.partition("=")
        if key not in ("users", "items", "ratings", "seed") or not (value.isascii() and value.isdecimal()):
            raise FlexError(f"{name}: '{part}' is not one of users=N, items=N, ratings=N, seed=N")
        sizes[key] = int(value)
    return Ratings(name=name, **make_synthetic(**sizes))


def _load_known(name):
    spec = DATASETS[name]
    with open_source(name) as source:
        netflix = spec.style == "netflix"
        where = source.describe("" if netflix else spec.ratings)
        table = _read_netflix(source) if netflix else _read_text(source, spec.ratings, spec)
        titles, genres = _read_titles(source, spec)
        ratings = _assemble(name, _check(table, where, spec.scale), spec.scale, titles, genres, source.facts)
        counts = (len(ratings), ratings.n_users, ratings.n_items)
        for what, count, known in zip(("ratings", "users", "rated items"), counts, spec.counts, strict=True):
            if known is not None and count != known:
                raise FlexError(f"{where}: {count:,} {what}, but {name} has {known:,}; is it whole, and the right one?")
        ratings.folds.update({fold: _fold(source, spec, fold, ratings) for fold in spec.folds})
        if spec.folds and len(np.unique(np.concatenate(list(ratings.folds.values())))) != len(ratings):
            raise FlexError(f"{source.describe(spec.folds[0])}.test and the other folds overlap: one is misnamed")
    return ratings


def _load_file(path, columns, scale):
    for what in columns:
        if what not in KNOWN_COLUMNS:
            raise FlexError(f"columns: '{what}' is not one of {', '.join(KNOWN_COLUMNS)}")
    scale = _checked_scale(scale)
    if not path.is_file():
        raise FlexError(f"{path}: no such file")
    if path.suffix == ".parquet":
        try:
            table = pd.read_parquet(path).reset_index(drop=True)
        except Exception as error:  # pyarrow's own errors are many; each has its reason in the first line
            raise FlexError(f"{path}: cannot be read ({first_line(error)})") from None
        table.index += 1  # rows, as a Parquet file has no lines
    else:
        table = _read_csv(path, path, header=0, dtype=str, na_filter=False)
    chosen = {}
    for what, names in KNOWN_COLUMNS.items():
        wanted = (columns[what],) if what in columns else names
        found = [column for column in wanted if column in table.columns]
        if found:
            chosen[what] = table[found[0]]
        elif what != "timestamp" or what in columns:
            has = ", ".join(map(str, table.columns))
            raise FlexError(f"{path}: no column '{wanted[0]}' for the {what}; it has {has}")
    table = _check(pd.DataFrame(chosen), path, scale)
    facts = {"file": path.name, "sha256": pooch.file_hash(path)}
    return _assemble(str(path), table, scale or _infer_scale(table["rating"].to_numpy()), facts=facts)


def _checked_scale(scale):
    if scale is None:
        return None
    low, high, step = scale = (*map(float, scale), *[np.nan] * 3)[:3]
    steps = (high - low) / step if step else 0
    if not (step > 0 and low < high and 1 - 1e-6 < steps < 1e6 and abs(steps - round(steps)) < 1e-6):
        raise FlexError(f"scale {low:g} {high:g} {step:g}: give the lowest, the highest and the step, as 0.5 5 0.5")
    return scale


def _infer_scale(stars):
    """Lowest, highest, and the widest usual step between. It looks at every rating, test ratings too, which can matter
    to PrR alone."""
    low, high = stars.min(), stars.max()
    fits = [step for step in (1.0, 0.5, 0.25, 0.1) if (np.abs(_off_grid(stars, low, step)) < 1e-4).all()]
    return (low, high, fits[0] if fits else 0.01)


def _off_grid(stars, low, step):
    return (stars - low) / step - np.round((stars - low) / step)


def _read_csv(stream, where, **layout):
    """A table whose index is the line number (if no quoted field holds a line break), less lines that hold nothing.
    Raises `FlexError` for what is not such a table."""
    try:
        with warnings.catch_warnings():
            # Fields beyond the header's would be dropped with a warning.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(stream, index_col=False, skip_blank_lines=False, low_memory=False, **layout)
    except pd.errors.EmptyDataError:
        raise FlexError(f"{where}: the file is empty") from None
    except (pd.errors.ParserError, pd.errors.ParserWarning, ValueError, OSError, EOFError, zlib.error) as error:
        raise FlexError(f"{where}: not in the expected format ({first_line(error)})") from None
    if not table.shape[1]:
        raise FlexError(f"{where}: its first line, which names the columns, is blank")
    table.index += 1 if layout["header"] is None else 2
    maybe = table.index[(table.iloc[:, 0].isna() | (table.iloc[:, 0] == "")).to_numpy()]
    rest = table.loc[maybe]
    return table.drop(maybe[(rest.isna() | (rest == "")).all(axis=1).to_numpy()]) if len(maybe) else table


def _read_text(source, name, spec):
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
        table = _read_csv(stream, where, **layout)
    if spec.style == "csv":
        known = [names[0] for names in KNOWN_COLUMNS.values()]
        for column in known:
            if column not in table.columns:
                raise FlexError(f"{where}: no column '{column}'; it has {', '.join(map(str, table.columns))}")
        table = table[known]
    return table.set_axis(columns, axis=1)


def _read_netflix(source):
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


def _check(table, where, scale):
    """The table with checked columns: whole or text ids, float stars, whole seconds. The index says which line (or row)
    a `FlexError` names."""
    if not len(table):
        raise FlexError(f"{where}: holds no ratings")

    def refuse(bad, problem):
        if (bad := np.asarray(bad)).any():
            at = int(np.flatnonzero(bad)[0])
            raise FlexError(f"{where}, line {table.index[at]}: {problem(at)}")

    columns = {}
    for name, column in table.items():
        blank = column.isna() | (column.astype(str) == "") if column.dtype.kind == "O" else column.isna()
        refuse(blank, lambda at, name=name: f"the {name} is missing or NaN")
        if name in ("user", "item"):
            columns[name] = _ids(column)
            continue
        if pd.api.types.is_datetime64_any_dtype(column):
            column = (column - pd.Timestamp(0, tz=column.dt.tz)) // pd.Timedelta(seconds=1)
        if name == "timestamp" and column.dtype.kind == "O":
            dates = pd.to_datetime(column, errors="coerce", format="ISO8601", utc=True)
            column = column if dates.isna().any() else (dates - pd.Timestamp(0, tz="utc")) // pd.Timedelta(seconds=1)
        if column.dtype.kind == "b":
            column = column.astype(str)  # true is no number
        values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
        refuse(np.isnan(values), lambda at, n=name, column=column: f"the {n} '{column.iloc[at]}' is not a number")
        refuse(np.abs(values) >= 2.0**53, lambda at, n=name, values=values: f"the {n} {values[at]} is not finite")
        columns[name] = values if name == "rating" else values.astype(np.int64)
    stars = columns["rating"]
    if scale:
        low, high, step = scale
        refuse((stars < low) | (stars > high) | (np.abs(_off_grid(stars, low, step)) > 1e-4),
               lambda at: f"the rating {stars[at]:g} is off the scale ({low:g} to {high:g} by {step:g})")  # fmt: skip
    checked = pd.DataFrame(columns)
    refuse(checked.duplicated(["user", "item"]),
           lambda at: f"user {columns['user'][at]} rates item {columns['item'][at]} a second time")  # fmt: skip
    return checked


def _ids(column):
    """(n,) ids: int64 where each is a whole number and written as one, else text as it stands."""
    if column.dtype.kind == "f" and (column % 1 == 0).all() and (column.abs() < 2**53).all():
        return column.to_numpy(np.int64)
    if column.dtype.kind in "iu" and column.max() < 2**63:
        return column.to_numpy(np.int64)
    text = column.astype(str)
    numbers = pd.to_numeric(text, errors="coerce")
    same = numbers.dtype.kind == "i" and (numbers.astype(str) == text).all()
    return numbers.to_numpy(np.int64) if same else text.to_numpy(object)


def _assemble(name, table, scale, titles=None, genres=None, facts=None):
    users, user_ids = pd.factorize(table["user"].to_numpy(), sort=True)
    items, item_ids = pd.factorize(table["item"].to_numpy(), sort=True)

    def by_item(names):
        return None if names is None else np.array([names.get(item, "") for item in item_ids.tolist()], dtype=object)

    return Ratings(
        name=name, users=users.astype(np.int32), items=items.astype(np.int32),
        values=table["rating"].to_numpy(np.float32), scale=tuple(map(float, scale)),
        timestamps=table["timestamp"].to_numpy(copy=True) if "timestamp" in table else None,
        user_ids=user_ids if user_ids.dtype.kind == "i" else user_ids.astype(str),
        item_ids=item_ids if item_ids.dtype.kind == "i" else item_ids.astype(str),
        titles=by_item(titles), genres=by_item(genres), facts=facts or {},
    )  # fmt: skip


def _read_titles(source, spec):
    """Item id to title, and to genres joined by '|'; (None, None) where the set has no titles file."""
    if not spec.titles or not source.has(spec.titles):
        return None, None
    where = source.describe(spec.titles)
    if spec.style == "csv":
        with source.open(spec.titles) as stream:
            table = _read_csv(stream, where, header=0, na_filter=False)
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


def _fold(source, spec, fold, ratings):
    """Indices into `ratings` of one published fold's test ratings, an equal share of them all."""
    where = source.describe(f"{fold}.test")
    table = _check(_read_text(source, f"{fold}.test", spec), where, spec.scale)
    index = pd.MultiIndex.from_arrays([ratings.user_ids[ratings.users], ratings.item_ids[ratings.items]])
    found = index.get_indexer(pd.MultiIndex.from_frame(table[["user", "item"]]))
    if (found < 0).any() or len(found) != round(len(ratings) / len(spec.folds)):
        raise FlexError(f"{where}: not one of {len(spec.folds)} equal shares of the pairs in {spec.ratings}")
    return np.sort(found)


@dataclass(frozen=True, eq=False)
class Split:
    """Indices of the training and of the test ratings: disjoint, both sorted; of `split_ratings`, together complete."""

    train: np.ndarray
    test: np.ndarray


def split_ratings(ratings, test_split_rate=0.3, seed=0, fold=None):
    """Hold out a random share of the ratings (`round(rate * n)`, at least one), or a published fold.

    The split depends on the seed, the rate and the number of ratings alone. Raises `FlexError` for an
    unknown fold, a negative seed, or where no training rating would be left.
    """
    n = len(ratings)
    if seed < 0:
        raise FlexError(f"seed {seed}: at least 0 is needed")
    if fold is not None:
        if fold not in ratings.folds:
            raise FlexError(f"{ratings.name} has no fold '{fold}': it has {', '.join(ratings.folds) or 'none'}")
        test = ratings.folds[fold]
    else:
        count = max(1, round(test_split_rate * n))
        if count >= n:
            raise FlexError(f"a test split rate of {test_split_rate} leaves none of {n} ratings for training")
        test = np.sort(np.random.default_rng([seed, 0x5EED]).permutation(n)[:count])
    train = np.ones(n, dtype=bool)
    train[test] = False
    return Split(train=np.flatnonzero(train), test=test)
