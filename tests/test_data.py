"""Loaders: every format in small, every bad input by its line, and the real sets' published counts."""

import gzip
import hashlib
import subprocess
import sys
import zipfile
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import make_ratings
from hypothesis import given
from hypothesis import strategies as st

import flexlib
from flexlib.data import split_ratings
from flexlib.datasets import netflix, sources
from flexlib.datasets.loading import load_cached, load_ratings

PAIRS = [(1, 10, 4.0), (1, 20, 3.5), (3, 10, 0.5), (3, 30, 5.0)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty $FLEXLIB_DATA, no cache, and no network."""
    monkeypatch.setenv("FLEXLIB_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(sources.pooch, "os_cache", lambda name: tmp_path / "cache")

    def no_network(*args, **kwargs):
        raise sources.requests.ConnectionError("no network in tests")

    monkeypatch.setattr(sources.requests.Session, "request", no_network)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def small_sets(monkeypatch):
    """Let the named sets have the counts of `PAIRS`: 4 ratings, 2 users, 3 items, and no known checksums."""
    for name, spec in sources.DATASETS.items():
        small = {"counts": (4, 2, 3), "ratings_sha256": (), "archive_hash": None, "folds": spec.folds[:2]}
        monkeypatch.setitem(sources.DATASETS, name, spec.model_copy(update=small))


def write_set(root, name, ratings=None):
    """The four ratings of `PAIRS` as GroupLens' archive of that name would hold them."""
    spec = sources.DATASETS[name]
    root.mkdir(parents=True)
    separator = {"csv": ",", "tab": "\t", "double-colon": "::"}[spec.style]
    lines = [separator.join(f"{v:g}" for v in (*pair, 900 + k)) for k, pair in enumerate(PAIRS)]
    if spec.scale[2] == 1:
        lines = [line.replace("3.5", "3").replace("0.5", "1") for line in lines]
    if spec.style == "csv":
        lines = ["userId,movieId,rating,timestamp", *lines]
        (root / "movies.csv").write_text('movieId,title,genres\n10,"Ten, The (1990)",Drama|War\n30,Thirty,Comedy\n')
    elif spec.style == "tab":
        flags = "0|1|" + "|".join("0" * 17)
        titles = f"10|Déjà vu (1990)|01-Jan-1990||url|{flags}\n20|Twenty|||url|{flags}\n30|Thirty|||url|{flags}\n"
        (root / "u.item").write_text(titles, encoding="latin-1")
        (root / "u.genre").write_text("\n".join(f"Genre{k}|{k}" for k in range(19)) + "\n\n")
        for k in (1, 2):
            (root / f"u{k}.test").write_text("\n".join(lines[2 * k - 2 : 2 * k]) + "\n")
    else:
        (root / "movies.dat").write_text("10::Ten: The Film (1990)::Drama|War\n30::Thirty::Comedy\n")
    (root / spec.ratings).write_text("\n".join(ratings or lines) + "\n")


def test_the_core_is_imported_without_what_fetches_plots_tunes_or_distributes():
    unwanted = {"pooch", "requests", "matplotlib", "myfm", "optuna", "distributed", "dask", "sklearn", "surprise"}
    code = f"import flexlib, sys; print(sorted({unwanted} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
    assert flexlib.load_ratings is load_ratings


TEXT_SETS = [name for name, spec in sources.DATASETS.items() if spec.style != "netflix"]


@pytest.mark.parametrize("name", TEXT_SETS)
def test_each_set_reads_alike_from_a_folder_and_from_an_archive(folder, small_sets, name):
    write_set(folder / name, name)
    inside = sources.DATASETS[name].folder or name
    loaded = [load_ratings(name)]
    with zipfile.ZipFile(folder / f"{name}.zip", "w") as archive:
        for path in (folder / name).iterdir():
            archive.write(path, f"{inside}/{path.name}")
        archive.writestr("../escape.txt", "nothing of an archive is ever written to disk")
    for path in [*(folder / name).iterdir()]:
        path.unlink()
    (folder / name).rmdir()
    loaded.append(load_ratings(name))
    assert not (folder.parent / "escape.txt").exists()
    for ratings in loaded:
        assert ratings.users.tolist() == [0, 0, 1, 1]
        assert ratings.items.tolist() == [0, 1, 0, 2]
        assert ratings.user_ids.tolist() == [1, 3]
        assert ratings.item_ids.tolist() == [10, 20, 30]
        assert ratings.values.tolist() == ([4, 3.5, 0.5, 5] if ratings.scale[2] == 0.5 else [4, 3, 1, 5])
        assert ratings.timestamps.tolist() == [900, 901, 902, 903]
        assert ratings.titles[0].startswith("Déjà" if name == "ml-100k" else "Ten")
        assert ratings.genres[0] == ("Genre1" if name == "ml-100k" else "Drama|War")
        assert ratings.titles[1] == ("Twenty" if name == "ml-100k" else "")
    if name == "ml-100k":
        assert {fold: test.tolist() for fold, test in ratings.folds.items()} == {"u1": [0, 1], "u2": [2, 3]}
        assert split_ratings(ratings, fold="u2").train.tolist() == [0, 1]


@pytest.mark.parametrize("chunk", [1, 2, 100])
@pytest.mark.parametrize("layout", ["mv", "combined"])
def test_netflix_files(folder, small_sets, refused, monkeypatch, layout, chunk):
    monkeypatch.setattr(netflix, "LINES_PER_CHUNK", chunk)  # a movie's ratings go on in the next chunk
    texts = ["10:\n1,4,2005-09-06\n3,1,2005-05-13\n", "20:\n1,3,1970-01-02\n", "30:\n3,5,2004-01-01\n"]
    root = folder / "netflix"
    (root / "training_set").mkdir(parents=True)
    if layout == "mv":
        for k, text in enumerate(texts, 1):
            (root / "training_set" / f"mv_{k:07}.txt").write_text(text)
    else:
        (root / "combined_data_1.txt").write_text("".join(texts[:2]))
        (root / "combined_data_2.txt").write_text(texts[2])
    (root / "movie_titles.csv").write_text("10,2003,Dinosaur Planet, Part 2\n20,NULL,Isle\n")
    ratings = load_ratings("netflix")
    assert ratings.values.tolist() == [4, 1, 3, 5]
    assert ratings.users.tolist() == [0, 1, 0, 1]
    assert ratings.timestamps[2] == 86_400
    assert ratings.titles.tolist() == ["Dinosaur Planet, Part 2 (2003)", "Isle (NULL)", ""]
    path = next(root.rglob("mv_0000001.txt" if layout == "mv" else "combined_data_1.txt"))
    path.write_text("10:\n1,4,2005-09-06\n3,x,2005-05-13\n")
    refused(lambda: load_ratings("netflix"), path.name, "line 3", "rating")
    path.write_text("10:\n1,4,9999-12-31\n3,1,0001-01-01\n" + texts[1] * (layout == "combined"))
    assert load_ratings("netflix").timestamps[:2].tolist() == [253_402_214_400, -62_135_596_800]
    path.write_text("1,4,2005-09-06\n")
    refused(lambda: load_ratings("netflix"), path.name, "line 1", "no movie id")
    path.write_text(texts[0] if layout == "mv" else "".join(texts[:2]))
    (root / "movie_titles.csv").write_text("10,2003,Dinosaur Planet\n20,Isle\n")
    refused(lambda: load_ratings("netflix"), "movie_titles.csv", "line 2", "20,Isle")


HEADER = "userId,movieId,rating,timestamp"
BAD_CSV = [
    (["userId,movieId,timestamp", "1,10,900"], ["no column 'rating'", "userId, movieId, timestamp"]),
    ([HEADER, "1,10,4,900", "1,20,good,901"], ["line 3", "rating", "'good'"]),
    ([HEADER, "1,10,4,900", "", "1,20,4,noon"], ["line 4", "timestamp", "'noon'"]),
    ([HEADER, "1,10,4,900", "1,20,,901"], ["line 3", "rating", "missing"]),
    ([HEADER, "1,10,NaN,900"], ["line 2", "rating", "NaN"]),
    ([HEADER, ",10,4,900"], ["line 2", "user", "missing"]),
    ([HEADER, "1,10,inf,900"], ["line 2", "rating", "finite"]),
    ([HEADER, "1,10,4,900", "1,20,5.5,901"], ["line 3", "5.5", "off the scale (0.5 to 5 by 0.5)"]),
    ([HEADER, "1,10,0,900"], ["line 2", "off the scale"]),
    ([HEADER, "1,10,3.7,900"], ["line 2", "3.7", "off the scale"]),
    ([HEADER, "1,10,4,900", "3,10,4,901", "1,10,3,902"], ["line 4", "user 1", "item 10", "second time"]),
    ([HEADER, "1,10,4,900,7"], ["ratings.csv"]),
    ([HEADER], ["no ratings"]),
    ([""], ["empty"]),
]


@pytest.mark.parametrize(("lines", "pieces"), BAD_CSV, ids=lambda value: value[0][:20] if value else "")
def test_bad_lines_of_a_set_are_named(folder, small_sets, refused, lines, pieces):
    write_set(folder / "ml-20m", "ml-20m", lines)
    if lines == [""]:
        (folder / "ml-20m" / "ratings.csv").write_text("")
    refused(lambda: load_ratings("ml-20m"), "ratings.csv", *pieces)


@pytest.mark.parametrize(
    ("name", "lines", "pieces"),
    [
        ("ml-1m", ["1::10::4::900", "1::20::x::901"], ["ratings.dat, line 2", "'x'"]),
        ("ml-1m", ["1,10,4,900"], ["ratings.dat"]),
        ("ml-1m", ["1::10::4.5::900"], ["line 1", "off the scale (1 to 5 by 1)"]),
        ("ml-100k", ["1\t10\t4\t900", "1\t20\t9\t901"], ["u.data, line 2", "off the scale"]),
        ("ml-100k", ["1\t10\t4\t900", "1\t10\t4\t901"], ["u.data, line 2", "second time"]),
        ("ml-100k", ["1\t10\t4\t900"], ["u.data", "1 ratings", "has 4"]),
    ],
)
def test_bad_lines_of_the_other_formats(folder, small_sets, refused, name, lines, pieces):
    write_set(folder / name, name, lines)
    refused(lambda: load_ratings(name), *pieces)


def test_a_wrong_file_or_archive_is_told_from_the_right_one(folder, refused):
    write_set(folder / "ml-latest-small-2016", "ml-latest-small-2016")
    refused(lambda: load_ratings("ml-latest-small-2016"), "ratings.csv", "SHA-256", "821795331fd9")
    write_set(folder / "ml-20m", "ml-20m")
    refused(lambda: load_ratings("ml-20m"), "ratings.csv", "4 ratings", "20,000,263")
    (folder / "ml-1m").mkdir()
    refused(lambda: load_ratings("ml-1m"), "ml-1m/ratings.dat", "no such file")
    (folder / "ml-25m.zip").write_bytes(b"PK truncated")
    refused(lambda: load_ratings("ml-25m"), "ml-25m.zip", "checksum")


def test_archives_without_a_known_checksum_are_checked_as_archives(folder, small_sets, refused):
    (folder / "ml-25m.zip").write_bytes(b"PK truncated")
    refused(lambda: load_ratings("ml-25m"), "ml-25m.zip", "not a whole zip archive")
    with zipfile.ZipFile(folder / "ml-32m.zip", "w") as archive:
        archive.writestr("elsewhere/ratings.csv", "x")
    refused(lambda: load_ratings("ml-32m"), "ml-32m.zip!ml-32m/ratings.csv", "no such file")
    write_set(folder / "ml-20m", "ml-20m")
    with zipfile.ZipFile(folder / "ml-20m.zip", "w") as archive:
        archive.write(folder / "ml-20m" / "ratings.csv", "ml-20m/ratings.csv")
    (folder / "ml-20m").rename(folder / "away")
    data = bytearray((folder / "ml-20m.zip").read_bytes())
    at = data.index(b"1,10,4")
    data[at : at + 6] = b"1,10,5"
    (folder / "ml-20m.zip").write_bytes(data)
    refused(lambda: load_ratings("ml-20m"), "ml-20m.zip", "not a whole zip archive")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_cannot_be_fetched_says_how_to_supply_it(folder, refused):
    for name in ("ml-latest-small-2016", "ml-1m"):
        refused(lambda name=name: load_ratings(name), f"{name}.zip", "FLEXLIB_DATA", str(folder), "no network")
    refused(lambda: load_ratings("ml-latest-small-2016"), "web.archive.org", "ratings_small.csv")
    refused(lambda: load_ratings("netflix"), "netflix", "FLEXLIB_DATA")


def test_a_fetched_archive_is_checked_cached_and_read(folder, small_sets, monkeypatch, refused):
    source = folder.parent / "made" / "ml-25m"
    write_set(source, "ml-25m")
    made = folder.parent / "made.zip"
    with zipfile.ZipFile(made, "w") as archive:
        for path in source.iterdir():
            archive.write(path, f"ml-25m/{path.name}")
    asked = []

    def fake_download(downloader, url, output_file, pooch):
        asked.append(url)
        Path(output_file).write_bytes(made.read_bytes())

    monkeypatch.setattr(sources.pooch.HTTPDownloader, "__call__", fake_download)
    digest = hashlib.sha256(made.read_bytes()).hexdigest()
    spec = sources.DATASETS["ml-25m"]
    wrong = spec.model_copy(update={"archive_hash": "sha256:" + "0" * 64})
    monkeypatch.setitem(sources.DATASETS, "ml-25m", wrong)
    refused(lambda: load_ratings("ml-25m"), "could not be fetched", "hash")
    right = spec.model_copy(update={"archive_hash": f"sha256:{digest}"})
    monkeypatch.setitem(sources.DATASETS, "ml-25m", right)
    asked.clear()
    assert len(load_ratings("ml-25m")) == len(load_ratings("ml-25m")) == 4
    assert asked == ["https://files.grouplens.org/datasets/movielens/ml-25m.zip"]


def test_a_file_of_the_users(tmp_path, refused):
    table = pd.DataFrame({"who": ["ann", "bob", "ann"], "what": ["x", "x", "<b>y</b>"], "stars": [1, 2, 3]})
    table.to_csv(tmp_path / "my.csv", index=False)
    table.to_parquet(tmp_path / "my.parquet")
    columns = {"user": "who", "item": "what", "rating": "stars"}
    for path in (tmp_path / "my.csv", tmp_path / "my.parquet"):
        ratings = load_ratings(path, columns)
        assert ratings.user_ids.tolist() == ["ann", "bob"]
        assert ratings.item_ids.tolist() == ["<b>y</b>", "x"]
        assert ratings.items.tolist() == [1, 1, 0]
        assert ratings.scale == (1.0, 3.0, 1.0)
        assert ratings.timestamps is None
        assert load_ratings(path, columns, (0, 10, 0.5)).scale == (0, 10, 0.5)
        place = "row 1" if path.suffix == ".parquet" else "line 2"
        refused(lambda path=path: load_ratings(path, columns, (2, 3, 1)), path.name, place, "off the scale")
        refused(lambda path=path: load_ratings(path, columns | {"timestamp": "when"}), path.name, "'when'")
        refused(lambda path=path: load_ratings(path, columns | {"stars": "x"}), "'stars'", "user, item, rating")
    refused(lambda: load_ratings(tmp_path / "my.csv"), "my.csv", "no column 'userId'", "who, what, stars")
    refused(lambda: load_ratings(tmp_path / "none.csv"), "none.csv", "no such file")
    (tmp_path / "empty.csv").write_text("")
    refused(lambda: load_ratings(tmp_path / "empty.csv"), "empty.csv", "empty")
    (tmp_path / "not.parquet").write_text("userId,movieId,rating\n")
    refused(lambda: load_ratings(tmp_path / "not.parquet"), "not.parquet", "cannot be read")
    refused(lambda: load_ratings("ml-2m"), "'ml-2m'", "synthetic", "ml-latest-small-2016")
    refused(lambda: load_ratings("synthetic:users=x"), "'users=x'")


def test_a_cached_set_is_read_once_and_is_the_one_that_was_meant(tmp_path, refused):
    path, columns, scale = str(tmp_path / "my.csv"), (("user", "who"),), (1.0, 5.0, 1.0)
    table = pd.DataFrame({"who": [1, 2], "item": [1, 1], "rating": [3, 5]})
    table.to_csv(path, index=False)
    checksum = load_ratings(path, dict(columns), scale).checksum
    ratings = load_cached(path, checksum, columns, scale)
    assert (ratings.user_ids.tolist(), ratings.values.tolist(), ratings.scale) == ([1, 2], [3, 5], (1, 5, 1))
    assert load_cached(path, checksum, columns, scale) is ratings
    other = {"user": "item", "item": "who"}
    refused(lambda: load_cached(path, checksum, tuple(other.items())), "my.csv", "checksum")
    again = load_cached(path, load_ratings(path, other).checksum, tuple(other.items()))
    assert again.item_ids.tolist() == [1, 2]
    load_cached("synthetic:users=5,items=5,ratings=10", "")
    assert load_cached(path, checksum, columns, scale) is not ratings  # two sets are kept
    table.assign(rating=[4, 5]).to_csv(path, index=False)
    refused(
        lambda: load_cached(path, load_ratings(path, dict(columns), scale).checksum + "0", columns, scale),
        "my.csv",
        "checksum",
    )
    checksum = load_ratings(path, dict(columns), scale).checksum
    assert load_cached(path, checksum, columns, scale).values.tolist() == [4, 5]


@pytest.mark.parametrize(
    ("name", "once", "mean", "first"),
    [
        ("ml-latest-small-2016", 3_063, 3.5436, "Toy Story (1995)"),
        ("ml-latest-small", 3_446, 3.5016, "Toy Story (1995)"),
        ("ml-100k", 141, 3.5299, "Toy Story (1995)"),
        ("ml-1m", 114, 3.5816, "Toy Story (1995)"),
    ],
)
def test_real_sets(real_data, name, once, mean, first):
    ratings = real_data(name)  # the loader has compared counts with the published ones
    summary = ratings.summary()
    assert (summary["items rated once"], summary["mean rating"], ratings.titles[0]) == (once, mean, first)
    if name == "ml-100k":
        tests = np.concatenate([ratings.folds[f"u{k}"] for k in range(1, 6)])
        assert np.array_equal(np.sort(tests), np.arange(100_000))  # the five folds partition the ratings


@given(n=st.integers(2, 300), rate=st.floats(0.01, 0.99), seed=st.integers(0, 2**31))
def test_splits_are_disjoint_complete_and_of_the_right_size(n, rate, seed):
    ratings = make_ratings([(k, k % 3, 3.0) for k in range(n)])
    if max(1, round(rate * n)) >= n:
        return
    split = split_ratings(ratings, rate, seed)
    assert np.array_equal(np.union1d(split.train, split.test), np.arange(n))
    assert len(split.train) + len(split.test) == n
    assert len(split.test) == max(1, round(rate * n))
    again = split_ratings(ratings, rate, seed)
    assert np.array_equal(again.test, split.test)


def test_splits_differ_by_seed_and_refuse_what_cannot_be(refused):
    ratings = make_ratings([(k, k % 3, 3.0) for k in range(50)])
    assert not np.array_equal(split_ratings(ratings, 0.5, 1).test, split_ratings(ratings, 0.5, 2).test)
    refused(lambda: split_ratings(ratings, 0.999), "0.999", "50")
    refused(lambda: split_ratings(ratings, fold="u1"), "no fold 'u1'")


def read_text(tmp_path, text, name="my.csv", **options):
    (tmp_path / name).write_text(text, newline="")
    return load_ratings(tmp_path / name, **options)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("userId,movieId,rating\n1,10,4,900\n2,10,3,901\n", ["not in the expected format"]),
        ("userId,movieId,rating\n1,10,4\n2,10,3,\n", ["not in the expected format"]),
        ("userId,movieId,rating,note\n1,10,4,a\n,,,hello\n", ["line 3", "the user is missing"]),
        ("userId,movieId,rating\n1,10,4\n1,11,5 stars\n", ["line 3", "'5 stars' is not a number"]),
        ("userId,movieId,rating\n1,10,True\n", ["line 2", "'True' is not a number"]),
        ("userId,movieId,rating\n1,10,1e39\n", ["line 2", "not finite"]),
        ("userId,movieId,rating,timestamp\n1,10,4,1e30\n", ["line 2", "timestamp"]),
        ("userId|movieId|rating\n1|10|4\n", ["no column 'userId'", "userId|movieId|rating"]),
        ("userId,movieId,rating\n\n\n", ["holds no ratings"]),
        ('userId,movieId,rating\n"1,10,4\n', ["not in the expected format"]),
        ("\nuserId,movieId,rating\n1,10,4\n", ["its first line"]),
    ],
)
def test_odd_files_are_refused_by_line(tmp_path, refused, text, pieces):
    refused(lambda: read_text(tmp_path, text), "my.csv", *pieces)


def test_ids_are_kept_as_they_are_written(tmp_path):
    big, long = "18446744073709551615", "1" * 25
    ids = ["007", "7", "NA", big, long, long[:-1] + "2", "1.5"]
    text = "userId,movieId,rating\n" + "".join(f"{user},10,{k % 5 + 1}\n" for k, user in enumerate(ids))
    assert set(read_text(tmp_path, text).user_ids) == set(ids)
    table = pd.DataFrame({"user": ["001", "1"], "item": [2.0, 2.0], "rating": [3, 4]}, index=[70, 3])
    table["time"] = pd.to_datetime(["1970-01-02", "1970-01-03"])
    table.to_parquet(tmp_path / "my.parquet")
    ratings = load_ratings(tmp_path / "my.parquet")
    assert ratings.user_ids.tolist() == ["001", "1"]
    assert ratings.item_ids.tolist() == [2]
    assert ratings.timestamps.tolist() == [86_400, 172_800]


def test_byte_order_marks_line_ends_quotes_and_blank_lines_are_read(tmp_path):
    text = '\ufeffuserId,movieId,rating\r\n"1","a, b",4\r\n\r\n2,"c ""d""",3.5\r\n\r\n'
    ratings = read_text(tmp_path, text)
    assert ratings.item_ids.tolist() == ["a, b", 'c "d"']
    assert ratings.scale == (3.5, 4.0, 0.5)


def test_text_dates_are_seconds_and_broken_gzip_is_named(tmp_path, refused):
    text = "userId,movieId,rating,date\n1,10,4,1970-01-02\n1,11,3,1970-01-01T00:00:05\n"
    assert read_text(tmp_path, text).timestamps.tolist() == [86_400, 5]
    early = datetime(1066, 10, 14) - datetime(1970, 1, 1)
    old = "userId,movieId,rating,date\n1,10,4,1066-10-14\n"
    assert read_text(tmp_path, old).timestamps.tolist() == [early.total_seconds()]
    packed = gzip.compress(text.encode() * 200)
    for data in (packed[:50], packed[:30] + b"?" * 30, b"plain"):
        (tmp_path / "my.csv.gz").write_bytes(data)
        refused(lambda: load_ratings(tmp_path / "my.csv.gz"), "my.csv.gz", "not in the expected format")


def test_a_scale_need_not_start_at_a_multiple_of_its_step(tmp_path, refused):
    text = "userId,movieId,rating\n1,10,1\n1,11,4\n2,11,10\n"
    assert read_text(tmp_path, text, scale=(1, 10, 3)).scale == (1, 10, 3)
    assert read_text(tmp_path, text).scale == (1, 10, 1)
    steps = [(1, 5, step) for step in (0, -1, 3, 1e-310, float("nan"))]
    for scale in (*steps, (5, 1, 1), (1, 5), (1, 5, 1, 1), (-1e308, 5, 1e308), (0, 2e6, 1e6)):
        refused(lambda scale=scale: read_text(tmp_path, text, scale=scale), "scale")


def test_archives_damaged_inside_are_refused(folder, small_sets, refused):
    write_set(folder / "made" / "x", "ml-20m", ["userId,movieId,rating,timestamp"] + ["1,10,4,900"] * 3_000)
    with zipfile.ZipFile(folder / "ml-20m.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(folder / "made" / "x" / "ratings.csv", "ml-20m/ratings.csv")
    data = bytearray((folder / "ml-20m.zip").read_bytes())
    data[60:110] = b"\xff" * 50
    (folder / "ml-20m.zip").write_bytes(data)
    refused(lambda: load_ratings("ml-20m"), "ml-20m.zip", "not a whole zip archive")


def test_a_netflix_archive_is_read_in_place(folder, small_sets):
    with zipfile.ZipFile(folder / "netflix.zip", "w") as archive:
        archive.writestr("netflix/training_set/mv_0000001.txt", "10:\n1,4,2005-09-06\n3,1,2005-05-13\n")
        archive.writestr("netflix/training_set/mv_0000002.txt", "20:\n1,3,1970-01-02\n30:\n3,5,2004-01-01\n")
    assert load_ratings("netflix").values.tolist() == [4, 1, 3, 5]


@pytest.mark.parametrize(
    "text",
    ["", "a,b\n1,2\n", "movieId,title,genres\n10,Ten,Drama\nx,A,b\n", "movieId,title,genres\n10,Ten\n10,a,b,c,d\n"],
)
def test_a_broken_titles_file_is_named(folder, small_sets, refused, text):
    write_set(folder / "ml-20m", "ml-20m")
    (folder / "ml-20m" / "movies.csv").write_text(text)
    refused(lambda: load_ratings("ml-20m"), "movies.csv")


def test_a_fold_that_is_cut_is_refused(folder, small_sets, refused):
    write_set(folder / "ml-100k", "ml-100k")
    first, second = (folder / "ml-100k" / f"u{k}.test" for k in (1, 2))
    whole = second.read_text()
    for text in (whole * 2, "9\t9\t3\t1\n", "1\t10\n", whole.splitlines()[0] + "\n"):
        second.write_text(text)
        refused(lambda: load_ratings("ml-100k"), "u2.test")
    second.write_text(first.read_text())
    refused(lambda: load_ratings("ml-100k"), "u1.test", "overlap")
    second.unlink()
    refused(lambda: load_ratings("ml-100k"), "u2.test", "no such file")
