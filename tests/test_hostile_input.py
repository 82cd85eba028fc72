"""Settings, saved models, checkpoints, records and plans that hypothesis makes up: each is taken, or a `FlexError`.

`HYPOTHESIS_PROFILE=long` draws thousands of cases a test.
"""

import contextlib
import copy
import json
import math
import re
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from conftest import SMALL, random_ratings, records_of
from flexstudy.repetitions import find_report
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save
from test_checkpoints import CONFIG, assert_same

from flexlib import recommend
from flexlib.config import FlexConfig, FlexError, Protocol
from flexlib.evaluation import evaluate
from flexlib.methods.tuning import COLUMNS, TRY_COLUMNS, best_suggestions, load_predictions, load_tuned
from flexlib.runs.plan import Plan, replay_name
from flexlib.runs.provenance import software
from flexlib.runs.records import load_records
from flexlib.runs.run import run_plan
from flexlib.serving.models import load_model as load_any_model
from flexlib.storage.checkpoints import Checkpoint
from flexlib.storage.models import load_model, save_model
from flexlib.train import fit


@contextlib.contextmanager
def taken_or_refused():
    """Let a `FlexError` of one line pass, and nothing else."""
    message = ""
    try:
        yield
    except FlexError as error:
        message = str(error)
    assert "\n" not in message
    assert len(message) < 2_000


# ---- settings

SETTINGS = {FlexConfig: FlexConfig(), Protocol: Protocol()}
KEYS = [name for kind in SETTINGS for name in kind.parameters()]
ODD_WORDS = [
    *"[]{}:,-?!&*#|>@%`'\" \n\t\0\r",
    *["self", "&a ", "*a", "<<: ", "---\n", "...\n", "!!int ", "!!bool ", "!!python/name:os.system ", "? "],
    *["0x" + "f" * 5000, "9" * 4301, "1e999", "-0", ".nan", ".inf", "1_0", "0o17", "1:30", "2020-13-45", "~", "null"],
    *["\ufeff", "\u2028", "\ud7ff", "\U0001f600", "[" * 400, "{a: " * 200, "4, " * 300, "a" * 3000],
]
VALUES = ["1", "0", "-1", "0.5", "true", "false", "adam", "selu", "[4, 2]", "[0, 1]", "rows", "all", "training"]
WORDS = st.sampled_from([*KEYS, *ODD_WORDS, *VALUES]) | st.text(max_size=5)
LINES = st.builds("{}: {}\n".format, st.sampled_from(KEYS) | WORDS, st.sampled_from(VALUES) | WORDS)
TEXTS = st.lists(LINES | WORDS, max_size=8).map("".join)
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([10**400, -(2**63)]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), inner),
    max_leaves=6,
)
MAPPINGS = st.dictionaries(st.sampled_from(KEYS), PLAIN, max_size=4)


@given(text=TEXTS | st.binary(max_size=60) | MAPPINGS.map(json.dumps), ending=st.sampled_from(["yml", "json"]))
def test_a_file_of_settings(tmp_path_factory, text, ending):
    path = tmp_path_factory.getbasetemp() / f"settings.{ending}"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "replace"))
    for kind in SETTINGS:
        with taken_or_refused():
            found = kind.read(path)
            assert kind.from_dict(json.loads(json.dumps(found.to_dict()))) == found


@given(key=st.sampled_from(KEYS) | WORDS, value=TEXTS | PLAIN.map(str), more=WORDS)
def test_an_assignment(key, value, more):
    for base in SETTINGS.values():
        for text in (f"{key}={value}", f"{key}={more}", value, more):
            with taken_or_refused():
                name, found = text.partition("=")[0].strip(), base.override([text])
                assert found == base.replace(**{name: found.to_dict()[name]})
    with taken_or_refused():
        Protocol.named(f"holdout {key}={value}")
    with taken_or_refused():
        Protocol.named(value)


@given(values=MAPPINGS | PLAIN)
def test_plain_values_as_settings(values):
    for kind in SETTINGS:
        with taken_or_refused():
            kind.from_dict(values)


# ---- saved models and checkpoints

ODD = [
    *[None, True, -1, 0, 2, 1.5, math.nan, math.inf, 10**400, 2**63, 2**31, 10**12],
    *["", "x", "a\nb", "ok", [], [1], [[1]], [None], ["a"], [[["a"]]], [1, "a"], [1, 1, 0], [5, 1, 1], {}, {"a": [1]}],
]
DTYPES = [torch.complex64, torch.int8, torch.int64, torch.bool, torch.float16, torch.float64, torch.bfloat16]
CHANGES = {
    "remove": lambda t, n: None,
    "kind": lambda t, n: t.to(DTYPES[n % len(DTYPES)]) if not t.is_complex() else t.real,
    "column": lambda t, n: t.reshape(-1, 1).clone(),
    "flat": lambda t, n: t.reshape(-1).clone(),
    "scalar": lambda t, n: t.reshape(-1)[:1].squeeze().clone(),
    "shorter": lambda t, n: t[: n % 4].clone() if t.ndim else t,
    "longer": lambda t, n: torch.cat([t, t]) if t.ndim else t,
    "odd": lambda t, n: t.clone().fill_([-1, 0, 99, 127][n % 4]),
    "nan": lambda t, n: t.clone().fill_([math.nan, math.inf][n % 2]) if t.is_floating_point() else t,
    "backwards": lambda t, n: t.flip(0) if t.ndim else t,
}
TENSOR_CHANGES = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from(sorted(CHANGES)), st.integers(0, 40)), max_size=2
)
FACT_CHANGES = st.lists(st.tuples(st.integers(0, 400), st.sampled_from(ODD) | PLAIN), max_size=2)
BYTE_CHANGES = st.none() | st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), min_size=1, max_size=3)


def places_of(value, place=()):
    """The paths to all values within plain values."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    yield from [place] * bool(place)
    for key, inner in pairs:
        yield from places_of(inner, (*place, key))


def changed(facts, tensors, fact_changes, tensor_changes, byte_changes):
    """A safetensors file with parts of its header and some tensors replaced, or some bytes flipped."""
    facts, tensors = json.loads(json.dumps(facts)), dict(tensors)
    for number, value in fact_changes:
        places = list(places_of(facts))
        *way, last = places[number % len(places)]
        inner = facts
        for key in way:
            inner = inner[key]
        inner[last] = copy.deepcopy(value)
    for number, change, more in tensor_changes:
        name = sorted(tensors)[number % len(tensors)]
        tensor = CHANGES[change](tensors.pop(name), more)
        tensors |= {} if tensor is None else {name: tensor.contiguous()}
    written = bytearray(save(tensors, {"flexlib": json.dumps(facts)}))
    for share, flip in byte_changes or ():
        written[int(share * (len(written) - 1))] ^= flip
    return bytes(written)


def contents(path):
    with safe_open(path, "pt") as stream:
        return json.loads(stream.metadata()["flexlib"]), {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A file, what is in it, and the model it is of: with a state after 3 epochs, and as it was saved."""
    folder, ratings = tmp_path_factory.mktemp("saved"), random_ratings(3)
    model = fit(ratings, CONFIG.replace(epochs=3), device="cpu", checkpoint=Checkpoint(folder / "state.safetensors"))
    save_model(model, folder / "model.safetensors")
    return folder, model, contents(folder / "model.safetensors"), contents(folder / "state.safetensors")


@given(facts=FACT_CHANGES, tensors=TENSOR_CHANGES, flips=BYTE_CHANGES)
def test_a_saved_model(saved, facts, tensors, flips):
    folder, _, (header, arrays), _ = saved
    path = folder / "changed.safetensors"
    path.write_bytes(changed(header, arrays, facts, tensors, flips))
    with taken_or_refused():
        loaded = load_model(path, device="cpu")
        loaded.ratings.summary()
        with taken_or_refused():
            recommend(loaded, loaded.ratings.user_ids[0])
        evaluate(loaded).scores()
        save_model(loaded, folder / "again.safetensors")
        load_model(folder / "again.safetensors", device="cpu")


@pytest.mark.parametrize("name", ["train", "test", "ratings.users", "ratings.items"])
def test_indices_of_a_saved_model_that_pytorch_would_not_take(saved, refused, name):
    folder, _, (header, arrays), _ = saved
    path = folder / "narrow.safetensors"
    path.write_bytes(save(arrays | {name: arrays[name].to(torch.int8)}, {"flexlib": json.dumps(header)}))
    refused(lambda: load_model(path, device="cpu"), str(path), name)


@given(facts=FACT_CHANGES, tensors=TENSOR_CHANGES, flips=BYTE_CHANGES)
def test_a_checkpoint(saved, facts, tensors, flips):
    """What is gone on from is what was written, to the bit."""
    folder, model, _, (header, arrays) = saved
    path = folder / "state-changed.safetensors"
    path.write_bytes(changed(header, arrays, facts, tensors, flips))
    before = path.read_bytes()
    with taken_or_refused():
        again = fit(model.ratings, CONFIG.replace(epochs=3), device="cpu", checkpoint=Checkpoint(path))
        assert_same(again, model)
    assert path.read_bytes() == before


# ---- tables of records

PLAN = Plan.sweep(SMALL, ("released", "holdout"), 3, 1)
# Without the commit, so that the same bytes are tried whichever it is.
SWEPT = records_of(PLAN, lambda k, protocol: "skipped" if k == 2 else 0.9).assign(commit="")
ORIGIN = dict.fromkeys(["dataset", "checksum", "device", *software()], "x")
TUNED = pd.DataFrame(
    [
        dict.fromkeys(COLUMNS, 1) | ORIGIN | {"method": "biases", "split": f"seed {k}", "settings": '{"a": 1}'}
        for k in range(3)
    ]
)
TRIES = pd.DataFrame(
    {
        "method": "biases",
        "split": f"seed {k}",
        "number": k,
        "validation_rmse": 1.0,
        "settings": "{}",
        "suggested": '{"user_damping": 3.0}',
        "seconds": 0.5,
        "pruned": False,
        "curve": "[0.9]",
    }
    for k in range(3)
)
PREDICTIONS = pd.DataFrame(
    {"method": "biases", "split": f"seed {k}", "networks": 1, "hundredths": [300, 1], "validation_hundredths": [1]}
    for k in range(3)
)
CELLS = [
    *[None, True, 0, -1, 7, 1.5, math.nan, math.inf, 2**62, 1e300, "", "x", "a\nb", "[4]", "{", "null", "\ud7ff"],
    *[b"\xff\xfe", [1], [], ["a"], [None], [[1]], {"a": 1}, Decimal("1.5"), pd.Timestamp("2020"), np.float32(1.5)],
    *["[" * 2000, '{"a": 1}', "9" * 5000, '{"user_damping": "x"}', "0x10"],
]
CELL_CHANGES = st.lists(
    st.tuples(st.integers(0, 60), st.sampled_from(CELLS) | PLAIN, st.sampled_from(["all", "first", "drop", "twice"])),
    min_size=1,
    max_size=3,
)


def written(table, changes, path):
    """Write a table with some of its cells or columns replaced; whether Arrow can hold it."""
    arrays = {name: table[name].tolist() for name in table.columns}
    twice = []
    for number, value, how in changes:
        name = list(arrays)[number % len(arrays)]
        twice += [name] * (how == "twice")
        if how == "drop" and len(arrays) > 1:
            del arrays[name]
        elif how in ("all", "first"):
            arrays[name] = [value, *(arrays[name][1:] if how == "first" else [value] * (len(table) - 1))]
    with contextlib.suppress(pa.ArrowException, TypeError, ValueError, OverflowError):
        columns = [(name, pa.array(arrays[name])) for name in [*arrays, *twice] if name in arrays]
        pq.write_table(pa.Table.from_arrays([c for _, c in columns], [name for name, _ in columns]), path)
        return True
    return False


@given(changes=CELL_CHANGES)
def test_records_of_a_sweep(tmp_path_factory, changes):
    path = tmp_path_factory.getbasetemp() / f"{PLAN.name}.parquet"
    if written(SWEPT, changes, path):
        with taken_or_refused():
            table = load_records(path)
            assert list(table.dtypes) == list(SWEPT.dtypes)
            assert len(table) == len(SWEPT)


@given(changes=CELL_CHANGES)
def test_tuned_methods(tmp_path_factory, changes):
    path = tmp_path_factory.getbasetemp() / "tuned.parquet"
    for table, columns in ((TUNED, COLUMNS), (TRIES, TRY_COLUMNS)):
        if written(table, changes, path):
            with taken_or_refused():
                found = load_tuned(path, columns)
                assert list(found.dtypes) == list(found.astype(columns).dtypes)
                if columns is TRY_COLUMNS:
                    assert all(isinstance(json.loads(text), dict) for text in best_suggestions(found, "biases"))
    if written(PREDICTIONS, changes, path):
        with taken_or_refused():
            found = load_predictions(path)
            assert all(np.asarray(row).dtype.kind == "i" or len(row) == 0 for row in found["hundredths"])


@given(content=st.binary(max_size=40), flips=BYTE_CHANGES)
def test_bytes_of_a_table(tmp_path_factory, content, flips):
    path, base = tmp_path_factory.getbasetemp() / "bytes.parquet", tmp_path_factory.getbasetemp() / "whole.parquet"
    if not base.exists():
        SWEPT.to_parquet(base)
    held = bytearray(base.read_bytes())
    for share, flip in flips or ():
        held[int(share * (len(held) - 1))] ^= flip
    for data, loads in (
        (bytes(held), [load_records]),
        (content, [load_records, load_tuned, load_predictions]),
        (bytes(held[: len(held) // 2]), [load_tuned]),
    ):
        path.write_bytes(data)
        for load in loads:
            with taken_or_refused():
                load(path)


def test_a_name_of_a_column_that_is_no_text(tmp_path):
    # Parquet names each column in its own schema, in Arrow's, and in its statistics.
    path = tmp_path / "name.parquet"
    SWEPT.to_parquet(path)
    whole = path.read_bytes()
    places = [match.start() for match in re.finditer(b"protocol", whole)]
    assert len(places) > 2
    for place in places:
        path.write_bytes(whole[:place] + b"\xff" + whole[place + 1 :])
        with taken_or_refused():
            load_records(path)


# ---- plans, and what a killed command left of one

JOURNAL = SWEPT.astype(object).where(SWEPT.notna(), None).to_dict("records")


@given(
    runs=st.integers(-5, 5) | st.integers(),
    seed=st.integers(),
    space=st.sampled_from(["paper", "extended"]) | WORDS,
    protocol=st.sampled_from(["released", "holdout means=all"]) | WORDS,
    dataset=st.just(SMALL) | WORDS.filter(lambda text: not text.startswith("ml-")),
)
def test_a_plan(runs, seed, space, protocol, dataset):
    with taken_or_refused():
        plan = Plan.sweep(dataset, (protocol,), runs if runs < 20 or runs > 100_000 else 20, seed, space)
        assert len(plan.configs) == len(plan.seeds) <= 20
        if dataset == SMALL:
            assert len(plan.runs(plan.load())) == len(plan.configs)


def test_a_plan_of_a_space_with_a_long_name(refused):
    assert len(refused(lambda: Plan.sweep(SMALL, ("released",), 1, 0, "x" * 5_000), "xxx", "paper")) < 500


def test_a_journal_without_the_protocol_of_a_record(tmp_path, refused):
    records = [JOURNAL[0] | {"protocol": None}, *JOURNAL[1:]]
    (tmp_path / f"{PLAN.name}.journal").write_text("".join(json.dumps(record) + "\n" for record in records))
    refused(lambda: run_plan(PLAN, tmp_path), str(tmp_path), "protocol")


@settings(max_examples=max(30, settings().max_examples // 10))  # each takes as long as ten of the others
@given(number=st.integers(0, 5), changes=FACT_CHANGES, cut=st.sampled_from([None, 10, -10]))
def test_a_journal(tmp_path_factory, number, changes, cut):
    """Records of a plan all of whose runs are too costly: nothing is run, and none of its records is lost."""
    out = tmp_path_factory.getbasetemp() / "journal"
    out.mkdir(exist_ok=True)
    for path in out.iterdir():
        path.unlink()
    records = json.loads(json.dumps(JOURNAL))
    record = records[number]
    for place, value in changes:
        name = sorted(record)[place % len(record)]
        record |= {name: value}
    text = "".join(json.dumps(record) + "\n" for record in records)
    (out / f"{PLAN.name}.journal").write_text(text[:cut])
    plan = Plan.sweep(SMALL, ("released", "holdout"), 3, 1, max_seconds=1e-9)
    with taken_or_refused():
        assert len(run_plan(plan, out)) == 6
        assert len(load_records(out / f"{PLAN.name}.parquet")) == 6


# ---- JSON that is nested deeper than Python can follow

NESTED = "[" * 200_000


def a_saved_method(folder):
    path = folder / "method.parquet"
    pq.write_table(pa.table({"user": [1]}, metadata={"flexlib": NESTED}), path)
    return lambda: load_any_model(path)


def a_journal_of_runs(folder):
    (folder / f"{PLAN.name}.journal").write_text(f"{NESTED}\n{{}}\n")
    return lambda: run_plan(PLAN, folder)


def a_schedulers_file(folder):
    path = folder / "scheduler.json"
    path.write_text(NESTED)
    return lambda: run_plan(PLAN, folder, scheduler=str(path))


def a_report_of_a_replay(folder):
    (folder / f"{replay_name(SMALL, 0)}.json").write_text(NESTED)
    return lambda: find_report(SMALL, folder)


@pytest.mark.parametrize("made", [a_saved_method, a_journal_of_runs, a_schedulers_file, a_report_of_a_replay])
def test_json_that_is_nested_too_deeply(tmp_path, refused, made):
    refused(made(tmp_path), str(tmp_path))
