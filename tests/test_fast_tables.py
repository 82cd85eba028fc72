"""The fast reader and the cache: they give what the careful reader gives, or leave the file to it."""

import dataclasses
import gzip
import zipfile

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flexlib.config import FlexConfig, FlexError
from flexlib.datasets import columnar, fast_csv, grouplens, loading, sources
from flexlib.datasets.loading import load_ratings
from flexlib.storage.models import load_model, save_model
from flexlib.train import fit

USUAL = "userId,movieId,rating,timestamp\n1,10,4,900\n1,20,3.5,901\n3,10,0.5,902\n3,30,5,903\n"
BLOCKS = st.sampled_from([1, 20, 100, fast_csv.BLOCK])
ODD_BYTES = [b"\n", b"\r", b"\r\n", b'"', b"\0", b",", b",,", b"\xff", b"\xef\xbb\xbf", b" ", b"\t", b"-", b"0x", b":"]
ODD_IDS = ["", " 7", "07", "-7", "-0", "+7", "7.0", "0x7", "NA", "nan", "True", "1" * 25, "18446744073709551615"]
ODD_STARS = ["", " 4", "4 ", "+4", "-4", "4e0", "0x4", "1e39", "inf", "nan", "True", "4,5", "٤", "3.700000000000001776"]
ODD_TIMES = ["", " 900", "0900", "-900", "900.0", "9e2", "noon", "9007199254740993", "1" * 20, "٩"]


@st.composite
def texts(draw, separator=",", header=True, any_ids=True):
    """A text of a few ratings, in one of the ways of writing it, and as often as not with something odd in it."""
    numbers = st.integers(0, 12).map(str)
    written = st.text(st.characters(codec="utf-8", exclude_characters=',"\r\n\0:'), min_size=1, max_size=3)
    ids = draw(st.sampled_from([numbers, numbers, numbers.map("{:0>2}".format), written] if any_ids else [numbers]))
    stars = draw(st.sampled_from([st.sampled_from(["1", "2.5", "3", "4.50", "5.0"]), st.floats(0, 5).map(str)]))
    times = draw(st.sampled_from([st.integers(0, 10**10), st.integers(19700101, 19700128), st.integers(1000, 1012)]))
    pairs = draw(st.lists(st.tuples(ids, ids), min_size=1, max_size=12, unique=draw(st.booleans())))
    rows = [[user, item, draw(stars), str(draw(times))] for user, item in pairs]
    for column, odd in ((0, ODD_IDS), (1, ODD_IDS), (2, ODD_STARS), (3, ODD_TIMES)):
        if draw(st.integers(0, 9)) == 0:
            draw(st.sampled_from(rows))[column] = draw(st.sampled_from(odd))
    heads = ["userId,movieId,rating,timestamp", '"user","item","stars","time"', "user,,rating,date", "uid,iid,value,a"]
    heads = [head.replace(",", separator) for head in [*heads, "user_id:token,item_id:token,rating:float,x:float"]]
    lines = [separator.join(row) for row in rows]
    if header:
        lines.insert(0, draw(st.sampled_from(heads)))
    end = draw(st.sampled_from(["\n", "\n", "\r\n"]))
    text = (end.join(lines) + draw(st.sampled_from([end, end, "", end + end]))).encode()
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.sampled_from(ODD_BYTES)) + text[at:]
    return text


def outcome(call):
    """What comes back, field by field with the kinds of arrays; or the message of what is wrong."""
    try:
        ratings = call()
    except FlexError as error:
        return str(error)
    fields = {field.name: getattr(ratings, field.name) for field in dataclasses.fields(ratings)}
    return {name: (str(a.dtype), a.tolist()) if isinstance(a, np.ndarray) else a for name, a in fields.items()}


def same_both_ways(module, call, block):
    """Compare what comes with and without the fast reader."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast_csv, "BLOCK", block)
        fast = outcome(call)
        patch.setattr(module, "read_fast", lambda *args, **kwargs: None)
        assert fast == outcome(call)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("fast")


@settings(deadline=None)
@given(data=st.data(), scale=st.sampled_from([None, (0.5, 5.0, 0.5), (0.0, 5.0, 0.01)]), block=BLOCKS)
def test_a_file_of_the_users_is_read_alike_by_both(scratch, data, scale, block):
    text = data.draw(texts(data.draw(st.sampled_from([",", ",", "\t", ";", "::", " "])), data.draw(st.booleans())))
    (scratch / "my.csv").write_bytes(text)
    same_both_ways(loading, lambda: load_ratings(scratch / "my.csv", scale=scale), block)


@pytest.mark.parametrize(("name", "separator"), [("ml-20m", ","), ("ml-100k", "\t"), ("ml-10m", "::")])
@settings(deadline=None)
@given(data=st.data(), block=BLOCKS)
def test_the_formats_of_grouplens_are_read_alike_by_both(scratch, name, separator, data, block):
    text = data.draw(texts(separator, header=separator == ",", any_ids=False))
    spec = sources.DATASETS[name]
    (scratch / spec.ratings).write_bytes(text)
    same_both_ways(grouplens, lambda: grouplens.read_ratings(sources.Source(scratch), spec), block)


@pytest.mark.parametrize("odd", ODD_BYTES)
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("my.csv", b"user,item,stars,time\n1,10,4,900\n3,a,5,901\n"),
        ("ml-100k", b"1\t10\t4\t900\n2\t10\t5\t901\n"),
        ("ml-10m", b"1::2::4::900\n3::2::5::901\n"),
        ("my.dat", b"1::a::4::900\n3::2::5::901\n"),
    ],
)
def test_odd_bytes_at_any_place_are_read_alike_by_both(scratch, name, text, odd):
    spec = sources.DATASETS.get(name)
    path = scratch / (spec.ratings if spec else name)
    for at in range(len(text) + 1):
        path.write_bytes(text[:at] + odd + text[at:])
        if spec:
            same_both_ways(grouplens, lambda: grouplens.read_ratings(sources.Source(scratch), spec), 20)
        else:
            same_both_ways(loading, lambda: load_ratings(path), 30)


@pytest.fixture
def no_careful_reader(monkeypatch):
    def read(*args, **kwargs):
        raise AssertionError("left to the careful reader")

    monkeypatch.setattr(loading, "read_own_text", read)
    monkeypatch.setattr(grouplens, "read_text", read)


PLAIN = {
    "as usual": USUAL,
    "line ends of Windows": USUAL.replace("\n", "\r\n"),
    "no last line end": USUAL[:-1],
    "blank lines": USUAL.replace("\n", "\n\n"),
    "quoted names": USUAL.replace("userId,movieId,rating,timestamp", '"userId","movieId","rating","timestamp"'),
    "further columns": USUAL.replace("\n", ",Zoë\n").replace("Zoë", "note", 1),
    "tabs": USUAL.replace(",", "\t"),
    "semicolons": USUAL.replace(",", ";"),
    "spaces": USUAL.replace(",", " "),
    "double colons": USUAL.replace(",", "::"),
    "no names": USUAL.partition("\n")[2],
    "no names, and tabs": USUAL.partition("\n")[2].replace(",", "\t"),
    "no names, and double colons": USUAL.partition("\n")[2].replace(",", "::"),
    "RecBole's names": USUAL.replace(
        "userId,movieId,rating,timestamp", "user_id:token,item_id:token,rating:float,timestamp:float"
    ).replace(",", "\t"),
    "another order": "rating,movieId,timestamp,userId\n4,10,900,1\n3.5,20,901,1\n0.5,10,902,3\n5,30,903,3\n",
}


@pytest.mark.usefixtures("no_careful_reader")
@pytest.mark.parametrize("block", [1, 40, fast_csv.BLOCK])
@pytest.mark.parametrize("text", PLAIN.values(), ids=PLAIN)
def test_plain_files_are_read_fast(tmp_path, monkeypatch, text, block):
    monkeypatch.setattr(fast_csv, "BLOCK", block)
    (tmp_path / "my.csv").write_text(text, newline="", encoding="utf-8")
    with gzip.open(tmp_path / "my.csv.gz", "wb") as packed:
        packed.write(text.encode())
    for path in (tmp_path / "my.csv", tmp_path / "my.csv.gz"):
        ratings = load_ratings(path)
        assert ratings.users.tolist() == [0, 0, 1, 1]
        assert ratings.items.tolist() == [0, 1, 0, 2]
        assert (ratings.user_ids.tolist(), ratings.item_ids.tolist()) == ([1, 3], [10, 20, 30])
        assert ratings.values.tolist() == [4, 3.5, 0.5, 5]
        assert ratings.timestamps.tolist() == [900, 901, 902, 903]
        assert ratings.scale == (0.5, 5.0, 0.5)


@pytest.mark.usefixtures("no_careful_reader")
def test_ids_that_are_text_are_read_fast_and_sorted_as_text(tmp_path):
    (tmp_path / "my.csv").write_text("user,item,stars\nÄnn,10,4\nbob,9,3\nann,010,5\nbob,10,5\n", encoding="utf-8")
    ratings = load_ratings(tmp_path / "my.csv")
    assert ratings.user_ids.tolist() == ["ann", "bob", "Änn"]
    assert ratings.item_ids.tolist() == ["010", "10", "9"]
    assert (ratings.users.tolist(), ratings.items.tolist()) == ([2, 1, 0, 1], [1, 2, 0, 1])
    assert ratings.timestamps is None


@pytest.mark.usefixtures("no_careful_reader")
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ml-20m", USUAL.replace("\n", "\r\n")),
        ("ml-100k", "1\t10\t4\t900\n1\t20\t3\t901\n"),
        ("ml-10m", "1::10::4::900\n1::20::3.5::901\n"),
    ],
)
def test_the_formats_of_grouplens_are_read_fast(tmp_path, name, text):
    spec = sources.DATASETS[name]
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"inside/{spec.ratings}", text)
    with zipfile.ZipFile(tmp_path / "set.zip") as archive:
        ratings = grouplens.read_ratings(sources.Source(tmp_path / "set.zip", archive, "inside"), spec)
    assert ratings.values[:2].tolist() == [4, 3 if name == "ml-100k" else 3.5]
    assert (ratings.item_ids[:2].tolist(), ratings.timestamps[:2].tolist()) == ([10, 20], [900, 901])


def test_a_file_with_a_zero_byte_is_left_to_the_careful_reader(tmp_path):
    for text, is_read in ((USUAL, True), (USUAL.replace("3,30", "3\0,30"), False)):
        (tmp_path / "my.csv").write_text(text)
        assert (fast_csv.read_fast(lambda: (tmp_path / "my.csv").open("rb"), {}, None) is not None) == is_read


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder of kept ratings, of an empty cache; four ratings are large."""
    monkeypatch.setenv("FLEXLIB_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(sources.pooch, "os_cache", lambda name: tmp_path / "cache")
    monkeypatch.setattr(columnar, "LARGE", 4)
    return tmp_path / "cache" / "columnar"


@pytest.fixture
def reads(monkeypatch):
    """A list that grows with each time that a file is read and not opened."""
    made = []
    for module, name in ((loading, "_read_file"), (loading, "read_ratings")):
        read = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *args, read=read: (made.append(args), read(*args))[1])
    return made


CACHED = {
    "plain.csv": USUAL,
    "careful.csv": 'userId,movieId,rating\n"a,b",10,4\n1,20,3.5\n"a,b",20,0.1\nd,010,5\n',
    "dates.csv": USUAL.replace(",90", ",2001-01-0").replace("01-00", "01-09"),
}


@pytest.mark.parametrize("name", CACHED)
def test_large_ratings_are_read_once_and_opened_alike(tmp_path, cache, reads, name):
    (tmp_path / name).write_text(CACHED[name])
    read, opened = (load_ratings(tmp_path / name) for _ in range(2))
    assert len(reads) == len([*cache.iterdir()]) == 1
    assert outcome(lambda: read) == outcome(lambda: opened)
    assert read.values.flags.writeable
    assert not opened.values.flags.writeable
    (tmp_path / "renamed.csv").write_text(CACHED[name])
    renamed = load_ratings(tmp_path / "renamed.csv")
    assert len(reads) == 1
    assert (renamed.name, renamed.facts["file"]) == (str(tmp_path / "renamed.csv"), "renamed.csv")


def test_small_ratings_are_not_kept(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(columnar, "LARGE", 5)
    (tmp_path / "my.csv").write_text(USUAL)
    load_ratings(tmp_path / "my.csv")
    assert not cache.exists()


def test_other_files_columns_and_scales_are_not_confused(tmp_path, cache, reads):
    path = tmp_path / "my.csv"
    path.write_text("userId,movieId,rating,other\n1,2,3,4\n5,6,4,1\n7,8,2,2\n9,9,1,3\n")
    other = {"rating": "other"}
    for _ in range(2):
        assert load_ratings(path).values.tolist() == [3, 4, 2, 1]
        assert load_ratings(path, other).values.tolist() == [4, 1, 2, 3]
        assert load_ratings(path, scale=(0, 5, 0.5)).scale == (0, 5, 0.5)
        assert load_ratings(path, {"user": "movieId", "item": "userId"}).user_ids.tolist() == [2, 6, 8, 9]
        with pytest.raises(FlexError, match="off the scale"):
            load_ratings(path, scale=(2, 4, 1))
    assert len(reads) == 6  # what is refused is read each time
    path.write_text(path.read_text().replace("9,9,1", "9,9,5"))
    assert load_ratings(path).values.tolist() == [3, 4, 2, 5]
    table = pd.read_csv(path)
    table.to_parquet(tmp_path / "my.parquet")
    (tmp_path / "copy.csv").write_bytes((tmp_path / "my.parquet").read_bytes())
    assert load_ratings(tmp_path / "my.parquet").values.tolist() == [3, 4, 2, 5]
    with pytest.raises(FlexError, match=r"copy\.csv"):
        load_ratings(tmp_path / "copy.csv")


def test_a_file_that_changes_while_it_is_read_is_not_kept(tmp_path, cache, monkeypatch):
    path, read = tmp_path / "my.csv", loading._read_file
    path.write_text(USUAL)

    def changed_first(*args):
        path.write_text(USUAL + "9,9,2,904\n")
        return read(*args)

    monkeypatch.setattr(loading, "_read_file", changed_first)
    assert len(load_ratings(path)) == 5
    monkeypatch.setattr(loading, "_read_file", read)
    path.write_text(USUAL)
    assert len(load_ratings(path)) == 4


def test_damaged_files_of_the_cache_are_not_used(tmp_path, cache, reads):
    (tmp_path / "my.csv").write_text(USUAL)
    expected = outcome(lambda: load_ratings(tmp_path / "my.csv"))
    (kept,) = cache.iterdir()
    whole = kept.read_bytes()
    flipped = (whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :] for at in range(0, len(whole), 97))
    for count, damaged in enumerate([b"", whole[:-1], whole[: len(whole) // 2], b"?" * len(whole), *flipped], 2):
        kept.write_bytes(damaged)
        assert outcome(lambda: load_ratings(tmp_path / "my.csv")) == expected
        assert len(reads) == count
        assert kept.read_bytes() == whole  # written anew
    kept.unlink()
    kept.mkdir()
    assert outcome(lambda: load_ratings(tmp_path / "my.csv")) == expected


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, cache, monkeypatch):
    (tmp_path / "my.csv").write_text(USUAL)
    cache.parent.write_text("a file where the folder should be")
    assert len(load_ratings(tmp_path / "my.csv")) == 4
    cache.parent.unlink()

    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(columnar.pa.ipc.RecordBatchFileWriter, "write_table", full)
        assert len(load_ratings(tmp_path / "my.csv")) == 4
    assert [*cache.iterdir()] == []  # nor is anything left behind


def test_named_sets_are_kept_too(tmp_path, cache, reads, monkeypatch):
    small = {"counts": (4, 2, 3), "archive_hash": None}
    monkeypatch.setitem(sources.DATASETS, "ml-20m", sources.DATASETS["ml-20m"].model_copy(update=small))
    (tmp_path / "data").mkdir()
    with zipfile.ZipFile(tmp_path / "data" / "ml-20m.zip", "w") as archive:
        archive.writestr("ml-20m/ratings.csv", USUAL)
        archive.writestr("ml-20m/movies.csv", "movieId,title,genres\n10,Ten,Drama\n30,Thirty,War\n")
    read, opened = (load_ratings("ml-20m") for _ in range(2))
    assert len(reads) == 1
    assert outcome(lambda: read) == outcome(lambda: opened)
    assert opened.titles.tolist() == ["Ten", "", "Thirty"]
    other = sources.DATASETS["ml-20m"].model_copy(update={"counts": (5, 2, 3)})
    monkeypatch.setitem(sources.DATASETS, "ml-20m", other)
    with pytest.raises(FlexError, match="4 ratings, but ml-20m has 5"):
        load_ratings("ml-20m")


@pytest.mark.usefixtures("cache")
def test_read_only_ratings_are_trained_on_and_saved(tmp_path):
    (tmp_path / "my.csv").write_text(USUAL)
    ratings = [load_ratings(tmp_path / "my.csv") for _ in range(2)][1]
    assert not ratings.users.flags.writeable
    model = fit(ratings, FlexConfig(hidden_layers=[2], epochs=1), device="cpu")
    save_model(model, tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors", device="cpu")
    for name in ("users", "items", "values", "timestamps"):
        assert np.array_equal(getattr(loaded.ratings, name), getattr(ratings, name))
