"""Rating tables: from a named set or a file of the user's to dense arrays, checked line by line, and split.

`load_ratings` is the one entry. Reading is vectorised; a value that cannot be right is reported with its
file and line, and nothing is silently dropped.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pooch

from flexlib.config import FlexError
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
    scale: for a file, (lowest, highest, step); read off its values where not given.
    Raises `FlexError` with the file and line, the value, and what to do.
    """
    name = str(name)
    if name == "synthetic" or name.startswith("synthetic:"):
        return _synthetic(name)
    if name in DATASETS:
        return _load_known(name)
    if re.search(r"\.(csv|csv\.gz|parquet)$", name):
        return _load_file(Path(name), columns or {}, scale)
    raise FlexError(
        f"unknown data set '{name}': known are synthetic, {', '.join(DATASETS)}, or a path to a .csv or .parquet file"
    )


def _synthetic(name):
    sizes = {}
    for part in filter(None, name.partition(":")[2].split(",")):
        key, _, value = part.partition("=")
        if key not in ("users", "items", "ratings", "seed") or not value.isdigit():
            raise FlexError(f"{name}: '{part}' is not one of users=N, items=N, ratings=N, seed=N")
        sizes[key] = int(value)
    return Ratings(name=name, **make_synthetic(**sizes))


def _load_known(name):
    spec = DATASETS[name]
    with open_source(name) as source:
        netflix = spec.style == "netflix"
        table = _read_netflix(source) if netflix else _read_text(source, spec.ratings, spec)
        where = source.describe("") if netflix else source.describe(spec.ratings)
        table = _check(table, where, spec.scale, first_line=1 + (spec.style == "csv"))
        titles, genres = _read_titles(source, spec)
        ratings = _assemble(name, table, spec.scale, titles, genres, source.facts)
        counts = (len(ratings), ratings.n_users, ratings.n_items)
        for what, count, known in zip(("ratings", "users", "rated items"), counts, spec.counts, strict=True):
            if known is not None and count != known:
                raise FlexError(f"{where}: {count:,} {what}, but {name} has {known:,}; is it whole, and the right one?")
        ratings.folds.update({fold: _fold(source, spec, fold, ratings) for fold in spec.folds})
    return ratings


def _load_file(path, columns, scale):
    unknown = set(columns) - set(KNOWN_COLUMNS)
    if unknown:
        raise FlexError(f"columns: '{sorted(unknown)[0]}' is not one of {', '.join(KNOWN_COLUMNS)}")
    if not path.is_file():
        raise FlexError(f"{path}: no such file")
    try:
        parquet = path.suffix == ".parquet"
        table = pd.read_parquet(path) if parquet else pd.read_csv(path, skip_blank_lines=False, low_memory=False)
    except pd.errors.EmptyDataError:
        raise FlexError(f"{path}: the file is empty") from None
    except Exception as error:  # the parsers' own errors are many; each has its reason in the first line
        raise FlexError(f"{path}: cannot be read ({str(error).splitlines()[0]})") from None
    chosen = {}
    for what, names in KNOWN_COLUMNS.items():
        wanted = (columns[what],) if what in columns else names
        found = [column for column in wanted if column in table.columns]
        if found:
            chosen[found[0]] = what
        elif what != "timestamp" or what in columns:
            has = ", ".join(map(str, table.columns))
            raise FlexError(f"{path}: no column '{wanted[0]}' for the {what}; it has {has}")
    # A Parquet file has no lines; its first row counts as 1.
    table = _check(table[list(chosen)].rename(columns=chosen), path, scale, first_line=1 if parquet else 2)
    facts = {"file": path.name, "sha256": pooch.file_hash(path)}
    return _assemble(str(path), table, scale or _infer_scale(table["rating"]), facts=facts)


def _infer_scale(values):
    low, high = float(values.min()), float(values.max())
    steps = [step for step in (1.0, 0.5, 0.25, 0.1) if np.allclose(values / step, np.round(values / step), atol=1e-4)]
    return (low, high, steps[0] if steps else 0.01)


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
    try:
        with source.open(name) as stream:
            table = pd.read_csv(stream, skip_blank_lines=False, low_memory=False, **layout)
    except pd.errors.EmptyDataError:
        raise FlexError(f"{where}: the file is empty") from None
    except (pd.errors.ParserError, ValueError) as error:
        raise FlexError(f"{where}: not in the format of {name} ({str(error).strip().splitlines()[0]})") from None
    if spec.style == "csv":
        known = [names[0] for names in KNOWN_COLUMNS.values()]
        for column in known:
            if column not in table.columns:
                raise FlexError(f"{where}: no column '{column}'; it has {', '.join(map(str, table.columns))}")
        table = table[known]
    return table.set_axis(columns, axis=1)


def _read_netflix(source):
    """The Netflix prize files: a line `MOVIE:`, then lines `USER,RATING,DATE`."""
    parts, movie = [], None
    for member in source.glob("training_set/mv_*.txt", "combined_data_*.txt"):
        layout = dict(header=None, names=["user", "rating", "timestamp"], chunksize=5_000_000, dtype=str)
        with source.open(member) as stream, pd.read_csv(stream, **layout) as chunks:
            for lines in chunks:
                heads = lines["user"].str.endswith(":")
                movies = lines["user"].where(heads).str.rstrip(":").ffill().fillna(movie)
                movie = movies.iloc[-1]
                days = pd.to_datetime(lines["timestamp"], errors="coerce", format="%Y-%m-%d")
                columns = {"item": movies, "user": lines["user"], "rating": lines["rating"]}
                part = pd.DataFrame({key: pd.to_numeric(text, errors="coerce") for key, text in columns.items()})
                part["timestamp"] = (days - pd.Timestamp(0)) // pd.Timedelta(seconds=1)
                part = part[~heads]
                if (bad := part.isna().any(axis=1)).any():
                    at = bad.idxmax()
                    what = part.columns[part.loc[at].isna()][0]
                    why = "no movie id followed by ':' stands before it" if what == "item" else f"no valid {what}"
                    raise FlexError(f"{source.describe(member)}, line {at + 1}: {why}")
                parts.append(part)
        movie = None
    if not parts:
        raise FlexError(f"{source.describe('')}: neither training_set/mv_*.txt nor combined_data_*.txt is there")
    return pd.concat(parts, ignore_index=True)


def _check(table, where, scale, first_line):
    """The table with numeric ratings; `FlexError` naming the first line that cannot be right."""
    table = table.dropna(how="all")
    if not len(table):
        raise FlexError(f"{where}: holds no ratings")

    def refuse(bad, problem):
        at = table.index[np.flatnonzero(bad)[0]]
        raise FlexError(f"{where}, line {at + first_line}: {problem(table.loc[at])}")

    for column in table.columns:
        missing = table[column].isna()
        if missing.any():
            refuse(missing, lambda row, column=column: f"the {column} is missing or NaN")
    numbers = {}
    for column in table.columns:
        if pd.api.types.is_numeric_dtype(table[column]):
            continue
        values = pd.to_numeric(table[column], errors="coerce")
        if column in ("rating", "timestamp") and values.isna().any():
            refuse(values.isna(), lambda row, column=column: f"the {column} '{row[column]}' is not a number")
        if not values.isna().any():
            numbers[column] = values
    table = table.assign(**numbers)
    stars = table["rating"].to_numpy(np.float64)
    if not np.isfinite(stars).all():
        refuse(~np.isfinite(stars), lambda row: f"the rating {row['rating']} is not finite")
    if scale:
        low, high, step = scale
        off = (stars < low) | (stars > high) | (np.abs(stars / step - np.round(stars / step)) > 1e-4)
        if off.any():
            refuse(off, lambda row: f"the rating {row['rating']:g} is off the scale ({low:g} to {high:g} by {step:g})")
    again = table.duplicated(["user", "item"])
    if again.any():
        refuse(again, lambda row: f"user {row['user']} rates item {row['item']} a second time")
    return table


def _assemble(name, table, scale, titles=None, genres=None, facts=None):
    users, user_ids = pd.factorize(table["user"], sort=True)
    items, item_ids = pd.factorize(table["item"], sort=True)
    user_ids, item_ids = (_plain_ids(ids) for ids in (user_ids, item_ids))
    stamps = table["timestamp"].to_numpy(np.int64, copy=True) if "timestamp" in table else None

    def by_item(names):
        return None if names is None else np.array([names.get(item, "") for item in item_ids.tolist()], dtype=object)

    return Ratings(
        name=name, users=users.astype(np.int32), items=items.astype(np.int32),
        values=table["rating"].to_numpy(np.float32, copy=True), timestamps=stamps, user_ids=user_ids, item_ids=item_ids,
        scale=tuple(map(float, scale)), titles=by_item(titles), genres=by_item(genres), facts=facts or {},
    )  # fmt: skip


def _plain_ids(ids):
    """Whole numbers as int64, anything else as text."""
    ids = np.asarray(ids)
    if ids.dtype.kind == "f" and np.all(ids == np.floor(ids)):
        ids = ids.astype(np.int64)
    return ids.astype(np.int64) if ids.dtype.kind in "iu" else ids.astype(str)


def _read_titles(source, spec):
    """Item id to title, and to genres joined by '|'; (None, None) where the set has no titles file."""
    if not spec.titles or not source.has(spec.titles):
        return None, None
    if spec.style == "csv":
        with source.open(spec.titles) as stream:
            table = pd.read_csv(stream, index_col="movieId")
        return table["title"].to_dict(), table["genres"].to_dict()
    titles, genres, flags = {}, {}, []
    if spec.genres:
        flags = [line.split("|")[0] for line in source.read(spec.genres).split("\n") if "|" in line]
    separator = {"tab": "|", "double-colon": "::", "netflix": ","}[spec.style]
    for number, line in enumerate(source.read(spec.titles, spec.encoding).splitlines(), 1):
        item, *rest = line.split(separator) if spec.style == "tab" else line.split(separator, 2)
        if not item.isdigit() or len(rest) < 2:
            where = source.describe(spec.titles)
            raise FlexError(f"{where}, line {number}: '{line[:40]}' is not id{separator}...{separator}...")
        if spec.style == "netflix":
            titles[int(item)] = f"{rest[1]} ({rest[0]})"
        else:
            titles[int(item)] = rest[0]
            on = [genre for genre, flag in zip(flags, rest[4:], strict=False) if flag == "1"]
            genres[int(item)] = "|".join(on) if flags else rest[1]
    return titles, genres or None


def _fold(source, spec, fold, ratings):
    """Indices into `ratings` of one published fold's test ratings."""
    table = _read_text(source, f"{fold}.test", spec)
    index = pd.MultiIndex.from_arrays([ratings.user_ids[ratings.users], ratings.item_ids[ratings.items]])
    found = index.get_indexer(pd.MultiIndex.from_frame(table[["user", "item"]]))
    if (found < 0).any():
        raise FlexError(f"{source.describe(f'{fold}.test')}: holds pairs that {spec.ratings} does not")
    return np.sort(found)


@dataclass(frozen=True, eq=False)
class Split:
    """Indices of the training and of the test ratings: disjoint, together complete, both sorted."""

    train: np.ndarray
    test: np.ndarray


def split_ratings(ratings, test_split_rate=0.3, seed=0, fold=None):
    """Hold out a random share of the ratings (`round(rate * n)`, at least one), or a published fold.

    The split depends on the seed, the rate and the number of ratings alone. Raises `FlexError` for an
    unknown fold or where no training rating would be left.
    """
    n = len(ratings)
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
