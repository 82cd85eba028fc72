"""Whatever a file of ratings holds: it is read, and then every value is sound, or one line says what is wrong.

Each property draws valid files and spoils them. HYPOTHESIS_PROFILE=long draws thousands of other cases.
"""

import datetime
import decimal
import gzip
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flexlib.config import FlexError
from flexlib.datasets import sources
from flexlib.datasets.loading import load_ratings

SEPARATORS = [",", "\t", ";", "::", " "]
HEADS = [
    ["userId", "movieId", "rating", "timestamp"],
    ["user_id", "item_id", "rating", "timestamp"],
    ["user_id:token", "item_id:token", "rating:float", "timestamp:float"],
    ["user", "item", "rating", "note"],
    ["rating", "item", "user", "time"],
    ["uid", "iid", "value", "date"],
    ["user", "user", "item", "rating"],
    ["who", "what", "stars", "when"],
]
ODD_NUMBERS = "0 -1 -0 +4 4.0 NaN NA inf 1e15 1e308 1e-308 4,5 4;5 0x1F 1_000 True None ٤ []".split()
ODD_TEXTS = [
    "",
    " ",
    "a::b",
    "a\nb",
    '"',
    '""',
    "'",
    "\0",
    "a\0b",
    "\x1b[2J",
    "\u2028",
    "\ufeff",
    "😀",
    "x" * 3_000,
    "{}",
]
LONG_NUMBERS = ["1" * 30, "9" * 5_000]
FORMULAS = ["<script>alert(1)</script>", "=1+1", "@SUM(A1)"]
ODD_DATES = ["2001-01-01", "9999-12-31", "1066-10-14T00:00:00+14:00", "99999-01-01"]
ODD_CELLS = [*ODD_NUMBERS, *ODD_TEXTS, *LONG_NUMBERS, *FORMULAS, *ODD_DATES]
MARKS = [b"\n", b"\r", b"\r\n", b"\n\n\n", b'"', b'""', b",", b";", b"\t", b"::", b":", b" ", b"-", b"|"]
NO_TEXT = [b"\0", b"\0" * 200, b"\xff", b"\xff\xfe", b"\xc3", b"\xe2\x80\xa8", b"\x1a", b"\xef\xbb\xbf"]
BEGINNINGS = [b"\x1f\x8b", b"PK\x03\x04", b"PAR1"]  # of packed files
ODD_BYTES = [b"", *MARKS, *NO_TEXT, *BEGINNINGS, b"a" * 5_000, b"1,2,3\n" * 50, b"," * 1_500]


def is_whole_or_text(ids):
    return ids.dtype.kind in "iU" and (np.sort(ids) == ids).all() and len(set(ids.tolist())) == len(ids)


def read_or_refused(call):
    """Whether ratings came, each of them sound; else it was refused in one line."""
    try:
        ratings = call()
    except FlexError as error:
        message = str(error)
        assert message.isprintable()
        assert 5 < len(message) < 2_500
        return False
    n = len(ratings)
    assert n
    assert ratings.users.shape == ratings.items.shape == ratings.values.shape == (n,)
    assert set(ratings.users.tolist()) == set(range(ratings.n_users))
    assert set(ratings.items.tolist()) == set(range(ratings.n_items))
    assert len(set(zip(ratings.users.tolist(), ratings.items.tolist(), strict=True))) == n
    assert is_whole_or_text(ratings.user_ids)
    assert is_whole_or_text(ratings.item_ids)
    low, high, step = ratings.scale
    assert step > 0
    assert np.isfinite(ratings.values).all()
    assert np.abs(ratings.values).max() <= 1e6
    assert ((ratings.values >= np.float32(low)) & (ratings.values <= np.float32(high))).all()
    assert ratings.timestamps is None or (ratings.timestamps.shape, ratings.timestamps.dtype) == ((n,), np.int64)
    assert ratings.titles is None or all(isinstance(title, str) for title in ratings.titles)
    return True


@st.composite
def rows(draw, ids=None):
    """Cells of a few ratings, some of them odd as often as not."""
    if ids is None:
        few = st.integers(0, 9).map(str)
        ids = draw(st.sampled_from([few, few, few.map("b{}".format), st.text(min_size=1, max_size=3)]))
    pairs = draw(st.lists(st.tuples(ids, ids), min_size=1, max_size=6, unique=draw(st.booleans())))
    stars, times = st.sampled_from(["1", "2.5", "3", "4.50", "5.0"]), st.integers(0, 10**10).map(str)
    cells = [[user, item, draw(stars), draw(times)] for user, item in pairs]
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        draw(st.sampled_from(cells))[draw(st.integers(0, 3))] = draw(st.sampled_from(ODD_CELLS))
    return cells


@st.composite
def spoilt(draw, whole):
    """Bytes with up to three changes: something put in, taken out, doubled or replaced."""
    data = whole
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2, 3]))):
        start, end = sorted(draw(st.tuples(*[st.integers(0, len(data))] * 2)))
        end = min(end, start + draw(st.sampled_from([0, 1, 4, len(data)])))
        new = draw(st.one_of(st.sampled_from(ODD_BYTES), st.binary(max_size=6), st.just(data[start:end] * 2)))
        data = data[:start] + new + data[end:]
    return data


@st.composite
def texts(draw, separators=SEPARATORS, heads=(*HEADS, None, None), **options):
    """Bytes of a text of ratings in one of its layouts, spoilt as often as not."""
    separator, head = draw(st.sampled_from(separators)), draw(st.sampled_from(heads))
    cells = draw(rows(**options))
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    lines = [separator.join(row) for row in ([head] if head else []) + cells]
    text = (end.join(lines) + draw(st.sampled_from([end, ""]))).encode("utf-8", "surrogatepass")
    return draw(st.one_of([st.just(text)] * 3 + [spoilt(text)] * 4 + [st.binary(max_size=200)]))


COLUMNS = st.dictionaries(
    st.sampled_from(["user", "item", "rating", "timestamp", "user", "item", "rating", "stars", ""]),
    st.sampled_from(["userId", "movieId", "rating", "timestamp", "who", "rating:float", "", "a\nb", "0"]),
    max_size=3,
)
STARS = st.one_of(st.sampled_from([0.5, 1, 5, 10]), st.floats())
SCALES = st.one_of(st.just((0, 10, 0.5)), st.tuples(st.just(0.5), STARS, STARS), st.lists(STARS, max_size=4))


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """A folder, in a cache that is empty."""
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("hostile")
        patch.setenv("FLEXLIB_DATA", str(root / "data"))
        patch.setattr(sources.pooch, "os_cache", lambda name: root / "cache")
        yield root


@given(data=texts(), ending=st.sampled_from([".csv", ".tsv", ".inter", ".data", ".csv.gz"]))
def test_texts_of_ones_own(scratch, data, ending):
    path = scratch / f"my{ending}"
    path.write_bytes(gzip.compress(data) if ending == ".csv.gz" else data)
    read_or_refused(lambda: load_ratings(path))


@given(columns=COLUMNS, scale=st.one_of(st.none(), SCALES))
def test_any_columns_and_scale(scratch, columns, scale):
    (scratch / "my.csv").write_text("userId,movieId,rating,timestamp\n1,10,1,5\n2,10,0.5,10\n")
    read_or_refused(lambda: load_ratings(scratch / "my.csv", columns, scale))


@given(data=st.data())
def test_damaged_gzip(scratch, data):
    packed = gzip.compress(b"userId,movieId,rating\n" + b"".join(b"%d,7,3\n" % k for k in range(50)))
    (scratch / "my.csv.gz").write_bytes(data.draw(spoilt(packed)))
    read_or_refused(lambda: load_ratings(scratch / "my.csv.gz"))


@contextmanager
def small_sets(root):
    """Let named sets be in this folder, and have neither counts nor checksums that are known."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLEXLIB_DATA", str(root))
        for name, spec in sources.DATASETS.items():
            folds = spec.folds[:2]
            open_to_all = {"counts": (None, None, None), "ratings_sha256": (), "archive_hash": None, "folds": folds}
            patch.setitem(sources.DATASETS, name, spec.model_copy(update=open_to_all))
        yield


USUAL = [("1", "10", "4", "900"), ("1", "20", "3", "901"), ("3", "10", "1", "902"), ("3", "30", "5", "903")]
SETS = {
    "ml-20m": {
        "ratings.csv": "userId,movieId,rating,timestamp\n" + "".join(",".join(row) + "\n" for row in USUAL),
        "movies.csv": 'movieId,title,genres\n10,"Ten, The (1990)",Drama|War\n20,=1+1,\n30,<b>Thirty</b>,Comedy\n',
    },
    "ml-1m": {
        "ratings.dat": "".join("::".join(row) + "\n" for row in USUAL),
        "movies.dat": "10::Ten: The Film (1990)::Drama|War\n20::Déjà::\n30::Thirty::Comedy\n",
    },
    "ml-100k": {
        "u.data": "".join("\t".join(row) + "\n" for row in USUAL),
        "u.item": "".join(f"{item}|Film {item}|01-Jan-1990||url|0|1|{'0|' * 16}0\n" for item in (10, 20, 30)),
        "u.genre": "".join(f"Genre{k}|{k}\n" for k in range(19)),
        "u1.test": "".join("\t".join(row) + "\n" for row in USUAL[:2]),
        "u2.test": "".join("\t".join(row) + "\n" for row in USUAL[2:]),
    },
    "netflix": {
        "training_set/mv_0000001.txt": "10:\n1,4,2005-09-06\n3,1,2005-05-13\n",
        "training_set/mv_0000002.txt": "20:\n1,3,1970-01-02\n30:\n3,5,2004-01-01\n",
        "movie_titles.csv": "10,2003,Dinosaur Planet, Part 2\n20,NULL,Isle\n",
    },
}


def write_set(root, name, files):
    shutil.rmtree(root / name, ignore_errors=True)
    for file, content in files.items():
        path = root / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@pytest.mark.parametrize("name", SETS)
def test_the_sets_that_are_spoilt_below_are_read(tmp_path, name):
    write_set(tmp_path, name, {file: text.encode() for file, text in SETS[name].items()})
    with small_sets(tmp_path):
        assert read_or_refused(lambda: load_ratings(name))


ODD_TITLES = [
    "<script>alert(1)</script>",
    "=HYPERLINK(1)",
    "+1",
    "-1",
    "a\x85b",
    "a\u2028b",
    "a\x0bb",
    "  b ",
    "007",
    "1984",
]


@pytest.mark.parametrize("name", SETS)
def test_titles_are_kept_as_they_are_written(tmp_path, name):
    file, line = {
        "ml-20m": ("movies.csv", "{0},{1},x\n"),
        "ml-1m": ("movies.dat", "{0}::{1}::x\n"),
        "ml-100k": ("u.item", "{0}|{1}|||||\n"),
        "netflix": ("movie_titles.csv", "{0},1999,{1}\n"),
    }[name]
    for title in ODD_TITLES:
        head = "movieId,title,genres\n" if name == "ml-20m" else ""
        text = head + "".join(line.format(item, title) for item in (10, 20, 30))
        encoding = sources.DATASETS[name].encoding
        if encoding == "latin-1" and "\u2028" in title:
            continue
        files = {each: old.encode() for each, old in SETS[name].items()} | {file: text.encode(encoding)}
        write_set(tmp_path, name, files)
        with small_sets(tmp_path):
            assert load_ratings(name).titles.tolist() == [title + " (1999)" * (name == "netflix")] * 3


@pytest.mark.parametrize("name", SETS)
@given(data=st.data())
def test_named_sets(scratch, name, data):
    files = {file: text.encode() for file, text in SETS[name].items()}
    which = data.draw(st.sampled_from([*files]))
    separator = {"ml-20m": ",", "ml-1m": "::", "ml-100k": "\t", "netflix": ","}[name]
    any_text = texts([separator], [HEADS[0] if name == "ml-20m" else None], ids=st.integers(0, 99).map(str))
    files[which] = data.draw(st.one_of(spoilt(files[which]), any_text))
    write_set(scratch / "sets", name, files)
    with small_sets(scratch / "sets"):
        read_or_refused(lambda: load_ratings(name))


@given(data=st.data())
def test_damaged_archives(scratch, data):
    packed = io.BytesIO()
    with zipfile.ZipFile(
        packed, "w", data.draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
    ) as archive:
        for file, text in SETS["ml-20m"].items():
            archive.writestr(f"ml-20m/{file}", text)
    (scratch / "packed").mkdir(exist_ok=True)
    (scratch / "packed" / "ml-20m.zip").write_bytes(data.draw(spoilt(packed.getvalue())))
    with small_sets(scratch / "packed"):
        read_or_refused(lambda: load_ratings("ml-20m"))


def arrays(n):
    """(n,) values of one of Arrow's types, or of none, with and without nulls."""
    whole, texts = st.integers(-(2**31), 2**31 - 1), st.text(max_size=3)
    moments = st.one_of(st.integers(0, 10**10), st.integers(-(2**53), 2**53))  # Parquet has no larger seconds
    kinds = {
        pa.int32(): whole,
        pa.uint64(): st.integers(0, 2**64 - 1),
        pa.int8(): st.integers(-3, 9),
        pa.float32(): st.sampled_from([1.0, 2.5, 4.0, float("nan"), float("inf"), 3.0]),
        pa.float64(): st.floats(),
        pa.string(): texts,
        pa.large_string(): st.sampled_from(["1", "007", "a\nb", "\0", "4.5", "1e15", "<b>", "=1+1"]),
        pa.dictionary(pa.int32(), pa.string()): texts,
        pa.binary(): st.binary(max_size=3),
        pa.bool_(): st.booleans(),
        pa.null(): st.none(),
        pa.decimal128(20, 3): st.decimals(-9999, 9999, places=3),
        pa.date32(): st.dates(),
        pa.time64("us"): st.times(),
        **{pa.timestamp(unit, tz): moments for unit in ("s", "ms", "us", "ns") for tz in (None, "UTC")},
        pa.duration("s"): whole,
        pa.list_(pa.int8()): st.lists(st.integers(0, 9), max_size=2),
        pa.struct([("a", pa.int8())]): st.fixed_dictionaries({"a": st.integers(0, 9)}),
        pa.map_(pa.string(), pa.int8()): st.lists(st.tuples(texts, st.integers(0, 9)), max_size=2),
    }

    def of(kind):
        values = st.lists(kinds[kind], min_size=n, max_size=n)
        return st.one_of(values, values, values.map(lambda given: [None, *given[1:]])).map(
            lambda given: pa.array(given[:n], kind)
        )

    return st.sampled_from([*kinds]).flatmap(of)


@st.composite
def parquets(draw):
    """A table of which one or more columns are of any type."""
    n = draw(st.integers(0, 4).map(lambda n: n or 3))
    usual = [pa.array(range(n), pa.int64()), pa.array([10] * n), pa.array([4.0] * n), pa.array([900] * n)]
    for _ in range(draw(st.integers(0, 3))):
        usual[draw(st.integers(0, 3))] = draw(arrays(n))
    names = draw(st.sampled_from(HEADS[:2]))
    more = draw(st.sampled_from([*["more"] * 9, names[0], "user", "a\nb", ""]))
    return pa.Table.from_arrays([*usual, usual[0]], [*names, more])


@given(table=parquets())
def test_parquet_of_any_types(scratch, table):
    pq.write_table(table, scratch / "my.parquet", version="2.6", use_deprecated_int96_timestamps=False)
    read_or_refused(lambda: load_ratings(scratch / "my.parquet"))


@given(data=st.data())
def test_damaged_parquet(scratch, data):
    written = io.BytesIO()
    pd.DataFrame({"user": ["a", "b"] * 9, "item": range(18), "rating": [1.0, 2.5, 3.0] * 6}).to_parquet(written)
    (scratch / "my.parquet").write_bytes(data.draw(spoilt(written.getvalue())))
    read_or_refused(lambda: load_ratings(scratch / "my.parquet"))


OF_NUMPY = [np.True_, np.float32(2.5), np.int8(3), np.array([1, 2])]
OF_PANDAS = [pd.NA, pd.NaT, pd.Timestamp("2001-01-01"), pd.Timedelta(1), pd.Interval(0, 1)]
OF_PYTHON = [None, True, 10**5_000, -(10**30), 2**64, 1j, b"a", [1], (1, 2), {}, {"a": 1}, object(), range(3), len]
MOMENTS = [datetime.date(1, 1, 1), datetime.datetime(9999, 12, 31, tzinfo=datetime.UTC)]
DECIMALS = [decimal.Decimal(text) for text in ("2.5", "sNaN", "1e999999")]
CELLS = st.one_of(
    st.sampled_from([*ODD_CELLS, "\ud800"]),
    st.sampled_from([*OF_NUMPY, *OF_PANDAS, *OF_PYTHON, *MOMENTS, *DECIMALS]),
    st.floats(),
    st.integers(),
    st.text(max_size=3),
)
TYPES = "object object object category str string[python] Int64 Float64 boolean datetime64[s] complex128".split()


@st.composite
def frames(draw):
    """A table of which one or more columns hold anything."""
    n = draw(st.integers(1, 4))
    usual = [range(n), ["x"] * n, [4.0] * n, [900] * n]
    for _ in range(draw(st.integers(0, 2))):
        column = draw(st.integers(0, 3))
        values = [*usual[column][1:], draw(CELLS)] if draw(st.booleans()) else [draw(CELLS) for _ in range(n)]
        given = pd.Series(np.empty(n, object))
        for k, value in enumerate(values):
            given.iat[k] = value
        kind = draw(st.sampled_from(TYPES))
        usual[column] = values_as(given, kind)
    names = draw(st.sampled_from([HEADS[0], HEADS[1], [0, 1, 2, 3], ["user", "item", "rating", ("a", 1)]]))
    index = draw(st.sampled_from([None, [7] * n, list("abcd")[:n]]))
    frame = pd.concat([pd.Series(column) for column in usual], axis=1, keys=range(4))
    return frame.set_axis(pd.Index(names, dtype=object), axis=1).set_axis(index or range(n))


def values_as(values, kind):
    """The values as another type, where they can be."""
    try:
        return values.astype(kind)
    except Exception:
        return values


# NaN that pandas does not count as missing
NOT_MASKED = pd.arrays.FloatingArray(np.array([np.nan]), np.array([False]))


@given(frame=frames())
@example(frame=pd.DataFrame({"user": NOT_MASKED, "item": ["x"], "rating": [4.0]}))
@example(frame=pd.DataFrame({"user": pd.array(["\ud800"], "string[python]"), "item": ["x"], "rating": [4.0]}))
def test_frames_of_any_types(frame):
    before = frame.copy()
    read_or_refused(lambda: load_ratings(frame))
    assert frame.columns.equals(before.columns)
    assert frame.index.equals(before.index)


NUMBERS = st.one_of(
    *[st.integers(2, 40)] * 4,
    st.sampled_from([-3, 10**12, 10**40, "9" * 5000, "0x1f", "1.5", "1e3", "²", "٤", "", "+4", "0007", "1_0"]),
)
SIZES = st.fixed_dictionaries({"users": NUMBERS, "items": NUMBERS, "ratings": st.just(45)}, optional={"seed": NUMBERS})
MORE = st.one_of([st.just([])] * 5 + [st.just(["users=9"]), st.lists(st.text(max_size=5), max_size=2)])


@given(sizes=SIZES, more=MORE)
def test_names_of_synthetic_ratings(sizes, more):
    parts = [*(f"{key}={value}" for key, value in sizes.items()), *more]
    read_or_refused(lambda: load_ratings("synthetic:" + ",".join(parts)))


NAMES = st.one_of(
    st.text(max_size=30), st.text(max_size=9).map("{}.csv".format), st.text(max_size=9).map("/{}.parquet".format)
)


@given(name=NAMES.filter(lambda name: name not in sources.DATASETS))
def test_any_name(name):
    read_or_refused(lambda: load_ratings(name))


def pack(path, start, part, times):
    path.write_bytes(gzip.compress(start) + gzip.compress(part) * times)  # one behind the other is one file
    return str(path)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Small files that say or hold gigabytes, by the words that are to be said of each."""
    root, start, million = tmp_path_factory.mktemp("large"), b"user,item,rating\n1,2,3\n", b"x" * 1_000_000
    made = {
        pack(root / "zeros.csv.gz", b"", bytes(1_000_000), 1_000): "line 1: longer than",
        pack(root / "later.csv.gz", start, bytes(1_000_000), 1_000): "line 3: holds a NUL",
        pack(root / "line.csv.gz", start, million, 1_000): "line 3: longer than",
        pack(root / "quote.csv.gz", start + b'"', million, 1_000): "line 3: longer than",
        pack(root / "blank.csv.gz", start + b'"1",3,4', b"\n" * 1_000_000, 1_000): "blank",
        pack(root / "columns.csv.gz", b"user,item,rating" + b"," * 900_000 + b"\n", b"1,2,3\n", 1): "900,003 columns",
    }
    n = 10_000_000
    few = pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int8)), pa.array(["x"]))
    pq.write_table(pa.table({"user": few, "item": few, "rating": few}), root / "rows.parquet")
    made[str(root / "rows.parquet")] = "rows in"
    for name, file in (("ml-25m", "ratings.csv"), ("ml-32m", "movies.csv")):
        with zipfile.ZipFile(root / f"{name}.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr(
                f"{name}/ratings.csv" if file == "movies.csv" else f"{name}/movies.csv", SETS["ml-20m"]["ratings.csv"]
            )
            with archive.open(f"{name}/{file}", "w", force_zip64=True) as member:
                for _ in range(300):
                    member.write(million)
        made[name] = f"{file}, line 1: longer than"
    made["synthetic:users=2,items=2,ratings=1000000000000"] = "cannot be drawn"
    made["synthetic:users=1000000,items=1000000,ratings=1000000"] = "at most"
    made["synthetic:users=1000000,items=1000000,ratings=9000000000"] = "at most"
    return root, made


MORE_BYTES = 250_000_000  # than this package takes once it is imported


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the memory of a process is read as Linux tells it")
def test_files_that_would_fill_memory_are_refused(large):
    root, made = large
    code = f"""
import json, resource, sys
from flexlib.config import FlexError
from flexlib.datasets import sources
from flexlib.datasets.loading import load_ratings
import pandas, pyarrow.csv, pyarrow.parquet
for name, spec in sources.DATASETS.items():
    free = dict(counts=(None, None, None), ratings_sha256=(), archive_hash=None)
    sources.DATASETS[name] = spec.model_copy(update=free)
pages = int(open("/proc/self/statm").read().split()[0])
most = pages * resource.getpagesize() + {MORE_BYTES}
resource.setrlimit(resource.RLIMIT_AS, (most, most))
said = {{}}
for name in sys.argv[1:]:
    try:
        load_ratings(name)
    except FlexError as error:
        said[name] = str(error)
print(json.dumps(said))
"""
    command = [sys.executable, "-c", code, *made]
    run = subprocess.run(command, env=os.environ | {"FLEXLIB_DATA": str(root)}, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout)
    assert {name: piece in said.get(name, "") for name, piece in made.items()} == dict.fromkeys(made, True), said
