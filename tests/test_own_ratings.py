"""Ratings of one's own: every layout of a text, tables in memory, and files that would fill memory."""

import datetime
import doctest
import gzip

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import SMALL
from flexstudy.__main__ import main as study
from surprise import Dataset, Reader

from flexlib import recommend
from flexlib.cli import main
from flexlib.config import FlexConfig
from flexlib.datasets import layouts, loading
from flexlib.datasets.loading import load_ratings
from flexlib.storage.models import load_model, save_model
from flexlib.train import fit

ROWS = [("b", "x", "4", "900"), ("a", "y", "3.5", "901"), ("b", "y", "0.5", "902")]
NAMES = {
    "GroupLens": ["userId", "movieId", "rating", "timestamp"],
    "LensKit": ["user_id", "item_id", "rating", "timestamp"],
    "LensKit before 2025": ["user", "item", "rating", "timestamp"],
    "RecBole": ["user_id:token", "item_id:token", "rating:float", "timestamp:float"],
    "no names": None,
}
SEPARATORS = {",": ".csv", "\t": ".inter", ";": ".csv.gz", "::": ".dat", " ": ".txt"}


def write(path, text):
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize("n_columns", [3, 4])
def test_every_layout_is_found_by_its_first_line(tmp_path, names, separator, n_columns):
    lines = [separator.join(row[:n_columns]) for row in [NAMES[names], *ROWS] if row]
    ratings = load_ratings(write(tmp_path / f"my{SEPARATORS[separator]}", "\n".join(lines) + "\n"))
    assert (ratings.user_ids.tolist(), ratings.item_ids.tolist()) == (["a", "b"], ["x", "y"])
    assert (ratings.users.tolist(), ratings.items.tolist()) == ([1, 0, 1], [0, 1, 1])
    assert ratings.values.tolist() == [4, 3.5, 0.5]
    assert ratings.timestamps is None if n_columns == 3 else ratings.timestamps.tolist() == [900, 901, 902]


def test_a_file_of_surprise_is_read_as_it_reads_it(tmp_path):
    rng = np.random.default_rng(5)
    pairs = rng.permutation(400)[:150]
    lines = [f"{pair // 20}\t{pair % 20}\t{rng.integers(1, 6)}\t{pair}" for pair in pairs]
    path = write(tmp_path / "u.data", "\n".join(lines) + "\n")
    theirs = Dataset.load_from_file(str(path), Reader(line_format="user item rating timestamp", sep="\t"))
    ours = load_ratings(path)
    read = zip(ours.user_ids[ours.users], ours.item_ids[ours.items], ours.values, ours.timestamps, strict=True)
    assert [(str(user), str(item), float(stars), str(time)) for user, item, stars, time in read] == theirs.raw_ratings


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("u;i;5;x,f,3\n", ["line 1", "not clear whether commas or semicolons"]),
        ("user;item;rating;x,user,item,rating\n", ["line 1", "commas or semicolons"]),
        ("a,b,c\n1,2,3\n", ["no column 'userId'", "a, b, c"]),
        ("1,2,3,4,5\n", ["no column 'userId'"]),
        ("1,2\n", ["no column 'userId'", "it has 1, 2"]),
        ("user,userId,item,rating\n", ["columns user and userId, either of which may be the user"]),
        ("user,item,item,rating\n", ["two columns item, either of which"]),
        ("1::2::3\n1:2::3\n", ["line 2", "single colon"]),
        ("1::2::3\n4::5\n", ["line 2", "rating is missing"]),
        ("user\0,item,rating\n1,2,3\n", ["line 1", "NUL"]),
        ("user,item,rating\n1,2,3\n1,3\0,4\n", ["line 3", "NUL"]),
        ('user,item,"rating\n1,2,3\n', ["line 1", "a quote that is not closed"]),
        ("user,item,rating\n1,2,1e15\n", ["line 2", "the rating 1e+15", "beyond 1,000,000"]),
        (f"user,item,rating\n1,{'a' * 1_001},4\n", ["line 2", "the item 'aaa", "longer than 1,000 characters"]),
        ("user,item,rating,date\n1,2,3,noon\n", ["line 2", "'noon' is neither a number of seconds nor a date"]),
        (",".join(["user", "item", "rating"] + ["more"] * 998) + "\n", ["line 1", "1,001 columns"]),
        ("1,2,3\n4,5\n", ["line 2", "rating is missing"]),
        ("1,2,3\n4,5,6,7\n", ["line 2"]),
        ("1,2\n,3,4\n", ["no column"]),
    ],
)
def test_layouts_that_are_not_clear_are_refused(tmp_path, refused, text, pieces):
    refused(lambda: load_ratings(write(tmp_path / "my.csv", text)), "my.csv", *pieces)


def test_a_blank_behind_a_comma_is_part_of_the_field(tmp_path):
    ratings = load_ratings(write(tmp_path / "my.csv", "1, 2, 3\n1, 3, 4\n"))
    assert (ratings.user_ids.tolist(), ratings.item_ids.tolist(), ratings.values.tolist()) == (
        [1],
        [" 2", " 3"],
        [3, 4],
    )


def test_the_rules_name_every_ending_and_column():
    for word in (*layouts.ENDINGS, *(name for names in layouts.KNOWN_COLUMNS.values() for name in names)):
        assert word in layouts.RULES, word
    assert all(what in layouts.RULES for what in layouts.SEPARATORS.values())


def test_columns_of_a_file_are_told_once_and_its_records_are_told_apart(tmp_path, refused, capsys):
    text = "who;film;stars;again\n1;2;3;5\n2;2;4;5\n"
    path = write(tmp_path / "my.csv", text)
    columns = {"user": "who", "item": "film", "rating": "stars"}
    plain = write(tmp_path / "plain.csv", text.replace("who;film;stars", "user;item;rating"))
    told = [load_ratings(path, columns), load_ratings(path, columns, (1, 5, 1))]
    told.append(load_ratings(path, columns | {"rating": "again"}))
    assert len({ratings.checksum for ratings in told}) == len(told)
    assert told[0].facts["read with"] == "--columns item=film --columns rating=stars --columns user=who"
    assert load_ratings(plain).checksum == load_ratings(plain).facts["sha256"]
    refused(lambda: load_ratings(path, columns | {"item": "who"}), "its column who cannot hold")
    assert main(["data", str(path), "--columns", "user=who", "--columns", "user=film"]) == 2
    assert capsys.readouterr().err == "flexlib: --columns: user is told twice\n"


@pytest.fixture(scope="module")
def two_files(tmp_path_factory):
    """Ratings with the usual names, and the same with others and a further column that is no rating."""
    folder, ratings = tmp_path_factory.mktemp("two"), load_ratings(SMALL)
    frame = pd.DataFrame({"user": ratings.users, "item": ratings.items, "rating": ratings.values})
    frame.to_csv(folder / "usual.csv", index=False)
    frame.set_axis(["who", "film", "stars"], axis=1).assign(rating=1).to_csv(
        folder / "other.tsv", sep="\t", index=False
    )
    told = ["--columns", "user=who", "--columns", "item=film", "--columns", "rating=stars"]
    return folder, {"usual.csv": [], "other.tsv": [*told, "--scale", "0.5", "5", "0.5"]}


def test_methods_are_tuned_and_scored_on_any_columns(two_files, tmp_path, capsys):
    folder, told = two_files
    found = {}
    for name, options in told.items():
        data = ["--dataset", str(folder / name), *options]
        out = tmp_path / name
        tune = ["tune", *data, "--method", "biases", "--tries", "2", "--splits", "1", "--out", str(out)]
        assert main(tune) == 0
        (tuned,) = out.glob("tuned-*-2tries.parquet")
        served = ["served", *data, "--tuned", str(tuned), "--splits", "1", "--out", str(out)]
        assert study(served) == 0
        tables = [pd.read_parquet(path) for path in (tuned, *out.glob("served-*.parquet"))]
        found[name] = [table.drop(columns=["dataset", "checksum", "tuned"], errors="ignore") for table in tables]
        found[name] = [table.loc[:, ~table.columns.str.contains("seconds")] for table in found[name]]
        if options:
            assert main(["tune", *data[:-4], *tune[-8:]]) == 2
            assert "is of another" in capsys.readouterr().err
    for usual, other in zip(*found.values(), strict=True):
        pd.testing.assert_frame_equal(usual, other)


def test_the_examples_of_loading_run():
    found = doctest.testmod(loading)
    assert found.attempted > 3
    assert not found.failed


def test_a_dataframe_is_read_like_a_file(tmp_path):
    frame = pd.DataFrame(ROWS, columns=["user", "item", "rating", "timestamp"], index=[5, 5, 1])
    frame["rating"] = frame["rating"].astype(float)
    frame["timestamp"] = pd.to_datetime(frame["timestamp"].astype(int), unit="s", utc=True)
    frame.to_csv(tmp_path / "my.csv", index=False)
    frame.to_parquet(tmp_path / "my.parquet")
    for ratings in (load_ratings(frame), load_ratings(tmp_path / "my.csv"), load_ratings(tmp_path / "my.parquet")):
        assert (ratings.user_ids.tolist(), ratings.users.tolist()) == (["a", "b"], [1, 0, 1])
        assert (ratings.values.tolist(), ratings.timestamps.tolist()) == ([4, 3.5, 0.5], [900, 901, 902])
    assert load_ratings(frame).name == "DataFrame"


def test_a_dataframes_checksum_is_that_of_its_ratings():
    frame = pd.DataFrame({"user": [1, 2, 2], "item": [7, 7, 8], "rating": [3.0, 4.0, 5.0]})
    same = frame.assign(note="x").set_index("note").astype({"user": "Int64", "rating": "float32"})
    assert load_ratings(frame).checksum == load_ratings(same).checksum
    others = [frame.assign(rating=[3, 4, 4]), frame.assign(item=[7, 7, 9]), frame.assign(time=1), frame[::-1]]
    others += [frame.assign(user=["1", "2", "x"]), frame.head(2)]
    assert len({load_ratings(each).checksum for each in [frame, *others]}) == 1 + len(others)
    assert load_ratings(frame).checksum != load_ratings(frame, scale=(0, 5, 1)).checksum


def test_a_model_of_a_dataframe_is_saved_and_recommends(tmp_path):
    frame = pd.DataFrame({"user": list("aabbcc"), "item": [1, 2, 2, 3, 1, 3], "rating": [5, 4, 3, 2, 1, 4]})
    model = fit(load_ratings(frame), FlexConfig(epochs=1), "holdout")
    save_model(model, tmp_path / "my.safetensors")
    pd.testing.assert_frame_equal(recommend(load_model(tmp_path / "my.safetensors"), "a", 2), recommend(model, "a", 2))


@pytest.mark.parametrize(
    ("cell", "what"),
    [
        (True, "True"),
        (1.5, "1.5"),
        (b"x", "b'x'"),
        ([1, 2], "[1, 2]"),
        ((1, 2), "(1, 2)"),
        ({"a": 1}, "{'a': 1}"),
        pytest.param(10**5_000, "of type int", id="5,000 digits"),
        (datetime.date(2001, 1, 1), "datetime.date(2001, 1, 1)"),
        (pd.Timedelta(1), "Timedelta"),
    ],
)
@pytest.mark.parametrize("column", ["user", "item"])
def test_ids_are_whole_numbers_or_texts(refused, column, cell, what):
    frame = pd.DataFrame({"user": [1, 2], "item": ["x", "x"], "rating": [3, 4]}, dtype=object)
    frame.at[1, column] = cell
    refused(lambda: load_ratings(frame), f"the DataFrame, row 1: the {column} {what}", "neither a whole number nor")


@pytest.mark.parametrize("values", [[True, False], [1.5, 2], pd.to_datetime(["2001-01-01", "2001-01-02"])])
def test_whole_columns_of_other_types_are_no_ids(refused, values):
    frame = pd.DataFrame({"user": values, "item": 1, "rating": 4})
    refused(lambda: load_ratings(frame), "the DataFrame, row 0", "neither a whole number nor a text")


@pytest.mark.parametrize("values", [[True, False], pd.to_datetime(["2001-01-01", "2001-01-02"]), [1j, 2j], [[4], [5]]])
def test_other_types_are_no_ratings(refused, values):
    frame = pd.DataFrame({"user": [1, 2], "item": 1, "rating": values})
    refused(lambda: load_ratings(frame), "the DataFrame, row 0: the rating", "is not a number")


def test_bytes_that_are_text_are_ids_and_others_are_not(tmp_path, refused):
    columns = {"item": pa.array([1, 1]), "rating": pa.array([4, 5])}
    for users, kind in (([b"b", "ä".encode()], pa.binary()), ([b"bb", "ä".encode()], pa.binary(2))):
        pq.write_table(pa.table({"user": pa.array(users, kind), **columns}), tmp_path / "my.parquet")
        assert load_ratings(tmp_path / "my.parquet").user_ids.tolist() == sorted(user.decode() for user in users)
    pq.write_table(pa.table({"user": pa.array([b"a", b"\xff"]), **columns}), tmp_path / "my.parquet")
    refused(lambda: load_ratings(tmp_path / "my.parquet"), "my.parquet", "cannot be read", "UTF")


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_timestamps_of_every_unit_are_whole_seconds(tmp_path, refused, unit):
    per_second = {"s": 1, "ms": 1_000, "us": 10**6, "ns": 10**9}[unit]
    seconds = [-1, 0, 9 * 10**9] + ([] if unit == "ns" else [4 * 10**11])  # the last is beyond nanoseconds
    moments = pa.array([value * per_second + per_second // 2 for value in seconds], pa.timestamp(unit, "Europe/Rome"))
    table = pa.table({"user": range(len(seconds)), "item": [1] * len(seconds), "rating": [4] * len(seconds)})
    pq.write_table(table.append_column("timestamp", moments), tmp_path / "my.parquet")
    assert load_ratings(tmp_path / "my.parquet").timestamps.tolist() == seconds


ODD_IDS = [
    "<script>alert(1)</script>",
    "=HYPERLINK(1)",
    "+1",
    "-1",
    "@A1",
    "a\x85b",
    "a\u2028b",
    "  b ",
    "007",
    "1984",
    "‮",
]


def test_titles_and_ids_are_kept_as_they_are_written(tmp_path):
    odd = sorted(ODD_IDS)
    frame = pd.DataFrame({"user": odd, "item": odd, "rating": 4})
    frame.to_csv(tmp_path / "my.csv", index=False)
    frame.to_parquet(tmp_path / "my.parquet")
    for ratings in (load_ratings(frame), load_ratings(tmp_path / "my.csv"), load_ratings(tmp_path / "my.parquet")):
        assert ratings.user_ids.tolist() == ratings.item_ids.tolist() == odd
