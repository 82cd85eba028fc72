"""The live explorer: what its controls make, what it shows while it trains, and what it refuses."""

import csv
import dataclasses
import re
import threading
from types import SimpleNamespace

import ipywidgets
import numpy as np
import pytest
import requests
from conftest import SMALL, records_of
from explorer_records import HOSTILE, TEXTS
from flexexplorer import live, pictures, together, trained
from flexexplorer.live import Explorer
from flexexplorer.pace import Pace, estimate_seconds
from flexexplorer.pictures import Curve
from flexstudy.one_run import learning_curve
from flexstudy.plans import LEAKY_AND_LEAK_FREE
from flexstudy.style import COLOURS, SHORT_NAMES
from hypothesis import given, settings
from markup import numbers, parsed, points, rows, scale, words
from test_explorer_trained import command

from flexlib.config import PRESETS, FlexConfig, FlexError
from flexlib.datasets import sources
from flexlib.datasets.loading import load_ratings
from flexlib.evaluation import evaluate
from flexlib.runs.plan import Plan
from flexlib.serving.recommending import recommend
from flexlib.train import fit

RATINGS = load_ratings(SMALL)
TINY = {"hidden_layers": "4", "epochs": 2}
WILD = {"learning_rate": 1e9, "optimizer": "sgd", "activation": "relu"}
WORDS = [SHORT_NAMES[protocol] for protocol in LEAKY_AND_LEAK_FREE]
PATIENCE = 120  # seconds that nothing here takes, also on a busy machine
SHOWN = ["scores", "curve", "place", "list", "origin"]  # of a run


@pytest.fixture(autouse=True)
def no_widgets_left():
    yield
    ipywidgets.Widget.close_all()


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """One as fast as the reference, which is told without a measurement; the devices that were to be measured."""
    measured = []
    monkeypatch.setattr(live, "measure_pace", lambda device: measured.append(device) or Pace())
    return measured


@pytest.fixture
def make():
    """A maker of live explorers with a small network, whose training is waited for at the end."""
    made = []

    def make_one(dataset=SMALL, **options):
        explorer = Explorer(dataset, **{"device": "cpu", "preset": "default"} | options)
        made.append(explorer)
        change(explorer, TINY)
        return explorer

    yield make_one
    for explorer in made:
        explorer.on_change.value = False
        explorer.stop()
        explorer.wait()
        assert not explorer.background.thread or not explorer.background.thread.is_alive()


def change(explorer, values):
    for name, value in values.items():
        explorer.controls[name].value = value


def train(explorer):
    explorer.train()
    explorer.wait()


def told(explorer):
    """The message: a plain paragraph in what the page's script makes a live region."""
    (part,) = parsed(explorer.outputs["message"].value)
    assert (part.tag, part.attrib) == ("p", {})
    return part.text or ""


def refused(explorer, output="wrong"):
    """What is wrong, which a screen reader says at once; None where nothing is."""
    found = list(parsed(explorer.outputs[output].value))
    if not found or found[0].get("role") is None:
        return None
    (part,) = found
    assert (part.tag, part.attrib) == ("p", {"role": "alert"})
    text = part.text.removeprefix("\N{WARNING SIGN} ")
    assert text != part.text
    return text


class Gate:
    """A function that waits inside until it is let go, as the tests' stand-in for a slow one."""

    def __init__(self, function):
        self.function, self.inside, self.go = function, threading.Event(), threading.Event()

    def __call__(self, *args, **options):
        self.inside.set()
        assert self.go.wait(PATIENCE), "not let go: what should not have waited did"
        return self.function(*args, **options)


def all_parsed(explorer):
    return {name: parsed(output.value) for name, output in explorer.outputs.items()}


def test_training_gives_what_fit_and_evaluate_give(make):
    explorer = make()
    explorer.seed.value = 3
    explorer.user.value = str(RATINGS.user_ids[7])
    train(explorer)
    assert told(explorer).startswith("Trained in ")
    assert refused(explorer) is None
    config = FlexConfig(hidden_layers=(4,), epochs=2)
    models = {name: fit(RATINGS, config, name, 3, device="cpu") for name in LEAKY_AND_LEAK_FREE}
    scores = {name: evaluate(model) for name, model in models.items()}
    found = all_parsed(explorer)
    assert found["scores"].find(".//caption").text == f"{SMALL}, seed 3"
    assert rows(found["scores"]) == [
        [SHORT_NAMES[name], f"{own.rmse:.3f}", f"{own.mae:.3f}", f"{own.n_scored:,}"] for name, own in scores.items()
    ]
    assert {name: model.config for name, model in explorer.models.items()} == dict.fromkeys(LEAKY_AND_LEAK_FREE, config)
    lists = [recommend(models[name], RATINGS.user_ids[7], 10) for name in ("released", "holdout")]
    texts = [[f"{row.title} ({row.predicted:.2f})" for row in own.itertuples()] for own in lists]
    assert rows(found["list"]) == [[str(k), *pair] for k, pair in enumerate(zip(*texts, strict=True), 1)]
    assert explorer.progress.value == explorer.progress.max == 4
    assert explorer.buttons["Stop"].disabled


def test_the_curves_are_those_of_the_runs(make, monkeypatch):
    drawn, picture = [], pictures.curves

    def record(series, *rest):
        drawn.append(series)
        return picture(series, *rest)

    monkeypatch.setattr(pictures, "curves", record)
    explorer = make()
    train(explorer)
    assert len(drawn) >= 2  # at the end, and now and then before it
    expected = []
    for protocol in LEAKY_AND_LEAK_FREE:
        table = learning_curve(RATINGS, explorer.config(), protocol, 0, device="cpu")
        for part, dashed in (("test", False), ("training", True)):
            expected.append(Curve(COLOURS[protocol], dashed, table[part].tolist()))
    assert drawn[-1] == expected


def test_a_run_that_is_stopped_ends_early_and_another_one_can_follow(make):
    explorer = make()
    change(explorer, {"epochs": 50})

    def stop(event):
        if event["new"] == 3:
            explorer.buttons["Stop"].click()

    explorer.progress.observe(stop, "value")
    train(explorer)
    assert told(explorer) == "Stopped after 3 of 100 epochs."
    assert (explorer.models, explorer.buttons["Stop"].disabled) == ({}, True)
    all_parsed(explorer)
    explorer.progress.unobserve(stop, "value")
    change(explorer, {"epochs": 1})
    train(explorer)
    assert told(explorer).startswith("Trained in ")
    assert list(explorer.models) == list(LEAKY_AND_LEAK_FREE)
    before = explorer.outputs["scores"].value
    train(explorer)
    assert explorer.outputs["scores"].value == before
    explorer.stop()  # where nothing goes on
    train(explorer)
    assert told(explorer).startswith("Trained in ")


def test_what_a_stop_leaves_is_shown(make):
    """The curves of both networks, which grow together; no scores, as neither has been trained as the settings say."""
    explorer = make()
    explorer.progress.observe(lambda event: explorer.stop() if event["new"] == 3 else None, "value")
    train(explorer)  # four epochs, of which the third is the second of the first protocol
    assert told(explorer) == "Stopped after 3 of 4 epochs."
    (svg,) = parsed(explorer.outputs["curve"].value).iter("svg")
    lengths = {colour: len(line) for (colour, dashed), line in points(svg).items() if not dashed}
    assert lengths == {COLOURS["released"]: 2, COLOURS["holdout"]: 1}
    assert (explorer.outputs["scores"].value, explorer.models) == ("", {})


def test_what_a_stop_leaves_is_of_its_own_run(make):
    """Not the command, the scores or the lists of the run before, which had other settings."""
    explorer = make(sweep=records_of(Plan.sweep(SMALL, ["holdout"], 3, 0), lambda *_: 1.0))
    train(explorer)
    before = {name: explorer.outputs[name].value for name in SHOWN}
    assert all(before.values())
    change(explorer, {"epochs": 3})
    explorer.progress.observe(lambda event: explorer.stop() if event["new"] == 1 else None, "value")
    train(explorer)
    assert told(explorer) == "Stopped after 1 of 6 epochs."
    after = {name: explorer.outputs[name].value for name in SHOWN}
    assert [after[name] for name in ("origin", "place", "list", "scores")] == [""] * 4
    assert after["curve"] != before["curve"]
    assert (explorer.models, explorer.buttons["Stop"].disabled) == ({}, True)


def test_training_forgets_what_an_earlier_run_showed_at_once(make, monkeypatch):
    explorer = make()
    train(explorer)
    gate = Gate(fit)
    monkeypatch.setattr(together, "fit", gate)
    explorer.train()
    assert gate.inside.wait(PATIENCE)
    assert [explorer.outputs[name].value for name in SHOWN] == [""] * 5
    assert (explorer.models, explorer.buttons["Stop"].disabled) == ({}, False)
    gate.go.set()
    explorer.wait()
    assert explorer.outputs["scores"].value


def test_a_new_run_takes_the_place_of_one_that_goes_on(make):
    explorer = make()
    change(explorer, {"epochs": 100})
    explorer.train()
    first = explorer.background.thread
    change(explorer, {"epochs": 1})
    train(explorer)
    assert not first.is_alive()
    assert {model.config.epochs for model in explorer.models.values()} == {1}
    assert told(explorer).startswith("Trained in ")


def test_of_several_runs_that_wait_only_the_last_is_made(make, monkeypatch):
    """What waits is stopped by what comes after it, or by Stop, and the page goes on meanwhile."""
    explorer, begun, gate, work = make(), [], Gate(fit), Explorer._train
    monkeypatch.setattr(Explorer, "_train", lambda self, *args: (begun.append(args[1].epochs), work(self, *args)))
    monkeypatch.setattr(together, "fit", gate)
    for epochs in (4, 5, 3):
        change(explorer, {"epochs": epochs})
        explorer.train()
        assert gate.inside.wait(PATIENCE)
    gate.go.set()
    explorer.wait()
    assert begun == [4, 3]
    assert {model.config.epochs for model in explorer.models.values()} == {3}
    assert told(explorer).startswith("Trained in ")
    gate.go.clear(), gate.inside.clear()
    explorer.train()
    assert gate.inside.wait(PATIENCE)
    explorer.train()
    explorer.stop()
    gate.go.set()
    explorer.wait()
    assert begun == [4, 3, 3]
    assert told(explorer) == "Stopped after 0 of 6 epochs."


def test_a_run_that_waits_is_of_the_settings_and_the_seed_at_the_click(make, monkeypatch):
    explorer, gate = make(), Gate(fit)
    monkeypatch.setattr(together, "fit", gate)
    explorer.train()
    assert gate.inside.wait(PATIENCE)
    explorer.seed.value = 4
    explorer.train()
    change(explorer, {"epochs": 1})
    explorer.seed.value = 5
    gate.go.set()
    explorer.wait()
    assert {(model.seed, model.config.epochs) for model in explorer.models.values()} == {(4, 2)}


def test_the_seed_that_is_told_is_the_one_that_was_trained_with(make):
    explorer = make()
    explorer.progress.observe(lambda event: setattr(explorer.seed, "value", 99), "value")
    train(explorer)
    assert parsed(explorer.outputs["scores"].value).find(".//caption").text.endswith(", seed 0")
    assert "--seed 0 " in explorer.outputs["origin"].value


def test_presets_set_all_controls(make):
    explorer = make()
    assert set(explorer.controls) == set(FlexConfig.parameters())
    for name in [*list(PRESETS)[::-1], "table1"]:
        explorer.preset.value = name
        assert explorer.config() == FlexConfig.preset(name), name
    assert make(preset="cfn").preset.value == "cfn"


@pytest.mark.parametrize("preset", ["default", "cfn"])
def test_reset_sets_all_controls_to_the_preset_again(make, preset):
    explorer = make(preset=preset)
    change(explorer, WILD | {"pivot_indexes": (1, 0), "prediction_rounding": True, "hidden_layers": "none"})
    assert refused(explorer, "remarks")
    explorer.buttons["Reset"].click()
    assert explorer.config() == FlexConfig.preset(preset)
    assert explorer.preset.value == preset
    assert refused(explorer, "remarks") is None


def test_reset_is_one_change(make, monkeypatch):
    explorer, begun = make(), []
    monkeypatch.setattr(explorer, "train", lambda: begun.append(explorer.config()))
    change(explorer, {"optimizer": "sgd", "hidden_layers": "8 4"})
    explorer.on_change.value = True
    explorer.buttons["Reset"].click()
    assert begun == [FlexConfig()]


def test_each_parameter_has_a_control_with_its_abbreviation_and_its_meaning(make):
    explorer = make()
    shown = explorer.view.children[0].children
    pairs = [row.children for row in shown if isinstance(row, ipywidgets.HBox)]
    helps = {id(row[0]): words(parsed(row[1].value)) for row in pairs if isinstance(row[-1], ipywidgets.HTML)}
    table = {row["parameter"]: row for row in FlexConfig().describe()}
    assert len(helps) == len(table) == 25
    for name, row in table.items():
        control = explorer.controls[name]
        assert control.description == f"{name.replace('_', ' ')} ({row['abbreviation']})"
        text = helps[id(control)]
        assert row["meaning"][1:] in text
        assert ("Table 1's example: " in text) == (name in PRESETS["table1"])
    assert "Table 1's example: [512, 256]." in helps[id(explorer.controls["hidden_layers"])]
    assert "Table 1's example: users as rows [0, 1]." in helps[id(explorer.controls["pivot_indexes"])]


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("64 4", (64, 4)),
        ("64, 4", (64, 4)),
        ("[64, 4]", (64, 4)),
        (" 7 ", (7,)),
        ("512,256,8", (512, 256, 8)),
    ],
)
def test_layers_may_be_written_in_several_ways(make, text, sizes):
    explorer = make()
    change(explorer, {"hidden_layers": text})
    assert explorer.config().hidden_layers == sizes


@pytest.mark.parametrize(
    ("values", "pieces"),
    [
        ({"hidden_layers": "64 four"}, ["hidden_layers (HLs)", "whole numbers"]),
        ({"hidden_layers": "<b>"}, ["hidden_layers (HLs)", "<b>"]),
        ({"hidden_layers": ""}, ["hidden_layers (HLs)", "[64, 4]"]),
        ({"hidden_layers": "64 0"}, ["hidden_layers (HLs)", "from 1"]),
        ({"learning_rate": 0.0}, ["learning_rate (LR)", "at least"]),
        ({"learning_rate": float("nan")}, ["learning_rate (LR)", "finite"]),
        ({"test_split_rate": 0.0}, ["test_split_rate (TSR)", "at least"]),
        ({"test_split_rate": 1.0}, ["test_split_rate (TSR)", "below 1"]),
        ({"drop_probability": 1.0}, ["drop_probability (DrP)", "below 1"]),
        ({"train_batch_size": 0}, ["train_batch_size (TBS)", "at least 1"]),
        ({"patience": -1}, ["patience (Pat)", "at least 0"]),
        (
            {"hidden_layers": "20000 20000", "epochs": 100, "train_batch_size": 1},
            ["minutes", "more than 10 are refused"],
        ),
    ],
)
def test_bad_settings_are_refused_in_words_and_nothing_is_lost(make, values, pieces):
    explorer = make()
    train(explorer)
    models, scores = dict(explorer.models), explorer.outputs["scores"].value
    thread = explorer.background.thread
    change(explorer, values)
    # While they are changed already; how long a run takes is no fault of theirs
    text = refused(explorer, "remarks")
    assert text is None if "minutes" in pieces else all(piece in text for piece in pieces)
    train(explorer)
    text = refused(explorer)
    for piece in pieces:
        assert piece in text
    assert explorer.background.thread is thread
    assert (explorer.models, explorer.outputs["scores"].value) == (models, scores)
    assert explorer.buttons["Stop"].disabled


def test_what_training_itself_refuses_is_told(make):
    """A share that leaves no rating for training is known only then."""
    explorer = make()
    change(explorer, {"test_split_rate": 0.99999})
    train(explorer)
    with pytest.raises(FlexError) as refusal:
        fit(RATINGS, explorer.config(), "holdout", 0, device="cpu")
    assert refused(explorer) == str(refusal.value)
    assert "leaves none" in refused(explorer)
    assert explorer.buttons["Stop"].disabled
    change(explorer, {"test_split_rate": 0.1})
    train(explorer)
    assert refused(explorer) is None


@pytest.mark.parametrize(
    ("module", "part"),
    [(together, "fit"), (live, "evaluate"), (trained, "evaluate"), (trained, "recommend")],
    ids=["training", "watching", "scoring", "recommending"],
)
@pytest.mark.parametrize(
    "error", [ZeroDivisionError("<b> of\ntwo lines"), RuntimeError("out of memory"), MemoryError("much"), KeyError("k")]
)
def test_whatever_goes_wrong_while_training_is_told(make, monkeypatch, module, part, error):
    explorer = make()

    def fail(*_, **__):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(module, part, fail)
        train(explorer)
        assert refused(explorer) == f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        assert told(explorer) == ""  # not that some time is left
        assert explorer.buttons["Stop"].disabled
    train(explorer)
    assert refused(explorer) is None
    assert told(explorer).startswith("Trained in ")


def test_a_file_is_loaded_with_the_columns_and_the_scale_that_are_told(make, tmp_path):
    explorer = make()
    path = tmp_path / "my.csv"
    path.write_text("user id;item;stars\n" + "".join(f"{k % 7};{k};{k % 5 + 1}\n" for k in range(60)))
    explorer.load(str(path))
    explorer.wait()
    assert "no column 'userId'" in refused(explorer)
    explorer.columns.value, explorer.scale.value = "'user=user id' rating=stars", "0 10 0.5"
    explorer.load(str(path))
    explorer.wait()
    assert refused(explorer) is None
    assert (explorer.ratings.n_users, explorer.ratings.scale) == (7, (0, 10, 0.5))
    assert trained.shell_command(SimpleNamespace(config=FlexConfig(), seed=0, ratings=explorer.ratings)).endswith(
        "--columns rating=stars --columns &#x27;user=user id&#x27; --scale 0 10 0.5</pre>"
    )
    wrong = {("user", ""): "'user' is not of the form", ("'", ""): "quotation", ("", "1 x"): "'x'"}
    for told_wrong, piece in wrong.items():
        explorer.columns.value, explorer.scale.value = told_wrong
        explorer.load(str(path))
        explorer.wait()
        assert piece in refused(explorer)


def test_it_begins_with_a_file_as_it_was_told(make, tmp_path):
    path = tmp_path / "my.csv"
    path.write_text("my id;thing;mark\n" + "".join(f"{k % 7};{k};{k % 5 + 1}\n" for k in range(60)))
    explorer = make(str(path), columns=(("rating", "mark"), ("user", "my id")), scale=(0, 10, 0.5))
    assert refused(explorer) == f"{path}: no column 'movieId' for the item; it has my id, thing, mark"
    columns = (("item", "thing"), ("rating", "mark"), ("user", "my id"))
    explorer = make(str(path), columns=columns, scale=(0, 10, 0.5))
    assert refused(explorer) is None
    assert explorer.ratings.checksum == load_ratings(path, dict(columns), (0, 10, 0.5)).checksum
    explorer.load(explorer.dataset.value)  # with what its controls now say
    explorer.wait()
    assert (explorer.ratings.n_users, explorer.ratings.scale) == (7, (0, 10, 0.5))
    assert "for a file" in refused(make(columns=columns))


def test_whatever_goes_wrong_while_loading_is_told(make, monkeypatch):
    explorer = make()
    ratings = explorer.ratings

    def fail(*_):
        raise OSError("the disk is <gone>")

    monkeypatch.setattr(live, "load_ratings", fail)
    explorer.load(SMALL)
    explorer.wait()
    assert (refused(explorer), told(explorer)) == ("OSError: the disk is <gone>", "")
    assert explorer.ratings is ratings
    train(explorer)
    assert refused(explorer) is None


def test_what_is_refused_while_a_run_goes_on_stays_until_the_next(make, monkeypatch):
    """Through the messages of all epochs that follow; and the run goes on."""
    explorer, gate, messages = make(), Gate(fit), []
    explorer.outputs["message"].observe(lambda event: messages.append((event["new"], refused(explorer))), "value")
    monkeypatch.setattr(together, "fit", gate)
    explorer.train()
    assert gate.inside.wait(PATIENCE)
    change(explorer, {"hidden_layers": "four"})
    explorer.buttons["Train"].click()
    assert "hidden_layers (HLs)" in refused(explorer)
    assert "hidden_layers (HLs)" in refused(explorer, "remarks")
    gate.go.set()
    explorer.wait()
    assert len(messages) >= 3  # two epochs of both networks and the end
    assert all("hidden_layers (HLs)" in wrong for _, wrong in messages)
    assert told(explorer).startswith("Trained in ")
    assert len(explorer.models) == 2
    change(explorer, {"hidden_layers": "4"})
    train(explorer)
    assert (refused(explorer), refused(explorer, "remarks")) == (None, None)


@pytest.mark.parametrize("dataset", ["nosuch", "nosuch.csv", "", "<b>.parquet", "synthetic:users=<i>"])
def test_a_data_set_that_is_not_there_leaves_the_one_before(make, dataset):
    explorer = make()
    train(explorer)
    ratings, scores = explorer.ratings, explorer.outputs["scores"].value
    explorer.dataset.value = dataset
    explorer.buttons["Load"].click()
    explorer.wait()
    assert dataset in refused(explorer)
    assert told(explorer) == ""  # nothing is loading any more
    assert explorer.ratings is ratings
    assert explorer.outputs["scores"].value == scores
    train(explorer)
    assert told(explorer).startswith("Trained in ")
    assert refused(explorer) is None


def test_loading_does_not_keep_the_page_waiting(make, monkeypatch):
    explorer, other = make(), "synthetic:users=30,items=40,ratings=300,seed=2"
    ratings, gate = explorer.ratings, Gate(load_ratings)
    monkeypatch.setattr(live, "load_ratings", gate)
    explorer.load(other)  # which Gate would not let end
    assert gate.inside.wait(PATIENCE)
    assert told(explorer) == f"Loading {other} ..."
    assert explorer.ratings is ratings
    gate.go.set()
    explorer.wait()
    assert explorer.ratings.name == other


def test_loading_ends_a_run_that_goes_on(make):
    explorer = make()
    change(explorer, {"epochs": 100})
    explorer.train()
    first, other = explorer.background.thread, "synthetic:users=30,items=40,ratings=300,seed=2"
    explorer.load(other)
    explorer.wait()
    assert not first.is_alive()
    assert explorer.ratings.name == other
    assert [explorer.outputs[name].value for name in SHOWN] == [""] * 5
    assert explorer.buttons["Stop"].disabled


def test_a_data_set_is_trained_on_at_once_where_changes_are(make):
    explorer, other = make(), "synthetic:users=30,items=40,ratings=300,seed=2"
    explorer.on_change.value = True
    explorer.load(other)
    explorer.wait()  # for the run that follows, too
    assert told(explorer).startswith("Trained in ")
    assert {model.ratings.name for model in explorer.models.values()} == {other}


def test_without_any_ratings_training_is_refused(make):
    explorer = make("nosuch.csv")
    assert "nosuch.csv" in refused(explorer)
    assert explorer.ratings is None
    train(explorer)
    assert refused(explorer) == "there are no ratings yet: load a data set first"
    explorer.load(SMALL)
    explorer.wait()
    assert refused(explorer) is None
    train(explorer)
    assert told(explorer).startswith("Trained in ")


def test_another_data_set_takes_the_place_of_the_results(make):
    explorer = make()
    train(explorer)
    other = "synthetic:users=30,items=40,ratings=300,seed=2"
    explorer.load(other)
    explorer.wait()
    assert told(explorer) == f"{other}: 300 ratings of 40 items by 30 users. Train to begin."
    assert [explorer.outputs[name].value for name in SHOWN] == [""] * 5
    assert explorer.user.value == str(explorer.ratings.user_ids[0])
    train(explorer)
    assert parsed(explorer.outputs["scores"].value).find(".//caption").text == f"{other}, seed 0"


@pytest.mark.parametrize("user", ["<b>nobody</b>", "", "1.0"])
def test_an_unknown_user_is_told_so(make, user):
    explorer = make()
    train(explorer)
    explorer.user.value = "zz"
    explorer.user.value = user
    assert f"'{user}'" in refused(explorer, "list")
    explorer.user.value = f" {RATINGS.user_ids[3]} "
    assert parsed(explorer.outputs["list"].value).find(".//caption").text.endswith(f"user {RATINGS.user_ids[3]}")


@pytest.mark.parametrize("rounding", [False, True])
def test_a_run_that_diverged_is_told_as_such(make, rounding):
    """With rounding as in the released code, too, which makes stars of what is no number."""
    sweep = records_of(Plan.sweep(SMALL, ["released", "holdout"], 4, 0), lambda *_: 1.0)
    explorer = make(sweep=sweep)
    change(explorer, WILD | {"prediction_rounding": rounding})
    train(explorer)
    assert {model.status for model in explorer.models.values()} == {"diverged"}
    assert np.isfinite(evaluate(explorer.models["released"]).rmse) == rounding
    assert [row[:3] for row in rows(parsed(explorer.outputs["scores"].value))] == [
        [word, "none: diverged", ""] for word in WORDS
    ]
    assert (explorer.outputs["list"].value, explorer.outputs["place"].value) == ("", "")
    all_parsed(explorer)


def test_no_epochs_are_a_run_too(make):
    explorer = make()
    change(explorer, {"epochs": 0})
    train(explorer)
    assert told(explorer).startswith("Trained in ")
    assert "No epoch has ended yet." in explorer.outputs["curve"].value
    assert len(rows(parsed(explorer.outputs["scores"].value))) == 2


def test_training_on_change(make, monkeypatch):
    explorer, begun = make(), []
    work = Explorer._train
    monkeypatch.setattr(Explorer, "_train", lambda self, *args: (begun.append(args[1]), work(self, *args)))
    change(explorer, {"epochs": 1})
    assert not begun
    explorer.on_change.value = True
    assert not begun  # nothing has changed yet
    change(explorer, {"epochs": 2})
    explorer.wait()
    change(explorer, {"optimizer": "sgd"})
    explorer.wait()
    explorer.seed.value = 5
    explorer.wait()
    assert [(config.epochs, config.optimizer) for config in begun] == [(2, "adam"), (2, "sgd"), (2, "sgd")]
    assert {model.seed for model in explorer.models.values()} == {5}
    explorer.preset.value = "table2:9"  # one run of all that it changes
    explorer.wait()
    assert begun[3:] == [FlexConfig.preset("table2:9")]
    change(explorer, {"hidden_layers": "none"})
    explorer.wait()
    assert len(begun) == 4
    assert "hidden_layers" in refused(explorer, "remarks")


@pytest.mark.parametrize(
    ("values", "remark"),
    [
        ({"dense_refeeding_rounding": True, "dense_refeeding": 0}, "DeFR has no effect while DeF is 0."),
        ({"centring": "biases", "mean_normalization": False}, "Cen has no effect while MeN is off."),
        ({"patience": 2}, "Pat cannot end training before Ep does."),
    ],
)
def test_settings_without_an_effect_are_remarked_on_and_have_none(make, values, remark):
    explorer = make()
    assert remark not in explorer.outputs["remarks"].value
    change(explorer, values)
    assert remark in words(parsed(explorer.outputs["remarks"].value))
    first = next(iter(values))
    without = explorer.config().replace(**{first: getattr(FlexConfig(), first)})
    if first != "patience":  # which also holds ratings back
        models = [fit(RATINGS, config, "holdout", 0, device="cpu") for config in (explorer.config(), without)]
        assert len({evaluate(model).rmse for model in models}) == 1
    change(explorer, {first: getattr(without, first)})
    assert remark not in explorer.outputs["remarks"].value


def test_the_place_in_the_sweep_is_counted(make):
    def outcome(k, protocol):
        return "diverged" if k % 5 == 0 else 0.9 + 0.02 * k + 0.01 * (protocol == "holdout")

    sweep = records_of(Plan.sweep(SMALL, ["released", "holdout"], 30, 0), outcome)
    explorer = make(sweep=sweep)
    train(explorer)
    tree = parsed(explorer.outputs["place"].value)
    texts = [part.text for part in tree.findall("p")]
    assert len(texts) == len(tree.findall("svg")) == 2
    for protocol, text, svg in zip(("released", "holdout"), texts, tree.findall("svg"), strict=True):
        rmse = evaluate(explorer.models[protocol]).rmse
        mark = numbers(svg.findall("path[@class='line']")[-1].get("d"))[0]
        value, per_pixel = scale(svg, "middle")
        assert value + per_pixel * mark == pytest.approx(rmse, abs=0.005)
        assert mark > 40  # not on the axis
        values = [outcome(k, protocol) for k in range(30) if k % 5]
        higher = sum(value > rmse for value in values)
        assert 0 < higher < 24
        assert text == (
            f"{SHORT_NAMES[protocol]}: of the 24 random settings of the sweep that ended well, {higher} have a higher"
            f" RMSE than this run's {rmse:.3f}"
        )
    explorer.load("synthetic:users=60,items=90,ratings=1500,seed=2")
    explorer.wait()
    train(explorer)
    assert explorer.outputs["place"].value == ""


@pytest.mark.parametrize("values", [[1.0], [1.0, 1.0], [0.5, 9.0]], ids=str)
def test_few_or_equal_runs_of_a_sweep_can_be_drawn(make, values):
    sweep = records_of(Plan.sweep(SMALL, ["holdout"], len(values), 0), lambda k, _: values[k])
    explorer = make(sweep=sweep)
    train(explorer)
    assert f"of the {len(values)} random settings" in words(parsed(explorer.outputs["place"].value))


def test_a_set_that_is_not_here_is_fetched_on_a_click_only(make, monkeypatch, tmp_path):
    asked = []

    def refuse(name, **_):
        asked.append(name)
        raise requests.ConnectionError("no network here")

    monkeypatch.setattr(sources, "data_folders", lambda: [tmp_path, tmp_path])
    monkeypatch.setattr(sources.pooch, "create", lambda *_, **__: SimpleNamespace(fetch=refuse))
    explorer = make("ml-100k")
    assert told(explorer) == "ml-100k is not on this machine: these are synthetic data. Load fetches it."
    assert explorer.ratings.name == live.STAND_IN
    assert explorer.dataset.value == "ml-100k"
    train(explorer)
    assert told(explorer).startswith("Trained in ")
    assert not asked
    explorer.buttons["Load"].click()
    explorer.wait()
    assert asked == ["ml-100k.zip"]
    assert "no network here" in refused(explorer)
    assert explorer.ratings.name == live.STAND_IN


def test_the_command_of_a_run_gives_its_rmse(make):
    explorer = make()
    train(explorer)
    args = command(explorer.outputs["origin"].value)
    assert words(parsed(explorer.outputs["origin"].value)).startswith("The leak-free run from a shell:")
    config = FlexConfig.load(args.config).override(args.changes)
    rmse = evaluate(fit(load_ratings(args.dataset), config, args.protocol, args.seed, device="cpu")).rmse
    assert rows(parsed(explorer.outputs["scores"].value))[1][1] == f"{rmse:.3f}"


@pytest.fixture
def hostile_file(tmp_path):
    """A CSV file whose name and ids are what would be HTML."""
    path = tmp_path / "<b>&\"'films.csv"
    rng = np.random.default_rng(0)
    users = [f"u{k}{text}" for k, text in enumerate(HOSTILE)]
    items = [f"{text} {k}" for k in range(4) for text in HOSTILE]
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["user", "item", "rating"])
        writer.writerows((user, item, rng.integers(1, 6)) for user in users for item in items if rng.random() < 0.6)
    return path


def test_html_in_a_users_own_file_stays_text(make, hostile_file):
    explorer = make(str(hostile_file))
    assert str(hostile_file) in told(explorer)
    for user in explorer.ratings.user_ids.tolist():
        explorer.user.value = user
        train(explorer)
        found = all_parsed(explorer)
        assert found["list"].find(".//caption").text == f"Recommended to user {user}"
        for row in rows(found["list"]):
            for text in row[1:]:
                assert any(text.startswith(f"{item} (") for item in explorer.ratings.item_ids)
    assert str(hostile_file) in found["scores"].find(".//caption").text
    explorer.ratings = dataclasses.replace(explorer.ratings, titles=np.array(HOSTILE * 4, object))
    train(explorer)
    titles = [text for row in rows(all_parsed(explorer)["list"]) for text in row[1:]]
    assert titles
    assert all(any(text.startswith(f"{title} (") for title in HOSTILE) for text in titles)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(TEXTS)
def test_whatever_is_told_is_text(text):
    explorer = SimpleNamespace(outputs={name: SimpleNamespace(value="") for name in ("message", "wrong")})
    Explorer.tell(explorer, text)
    assert (told(explorer), refused(explorer)) == (text, None)
    Explorer.refuse(explorer, text)
    Explorer.tell(explorer, "next")  # what is wrong stays beside it
    assert (told(explorer), refused(explorer)) == ("next", text)


def test_what_changes_is_in_a_region_that_the_pages_script_makes_live(make):
    explorer = make()
    live = [name for name, output in explorer.outputs.items() if "explorer-live" in output._dom_classes]
    assert live == ["message"]


def test_the_published_records_are_those_of_a_checkout(monkeypatch, tmp_path):
    assert live.published_records().endswith("results/records")
    monkeypatch.setattr(live, "__file__", str(tmp_path / "flexlib" / "explore.py"))
    assert live.published_records() == ""


def test_a_click_on_stop_ends_training_amid_an_epoch(make):
    explorer = make()
    change(explorer, {"train_batch_size": 1, "epochs": 1})
    batches, fitted = [], together.fit

    def fit_and_count(*args, on_batch, **options):
        def count(*seen):
            batches.append(seen)
            if len(batches) == 3:
                explorer.buttons["Stop"].click()
            on_batch(*seen)

        return fitted(*args, on_batch=count, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(together, "fit", fit_and_count)
        train(explorer)
    assert (len(batches), told(explorer)) == (3, "Stopped after 0 of 2 epochs.")


def test_the_pace_is_measured_whenever_data_are_taken(make, machine, monkeypatch):
    explorer = make()
    assert machine == ["cpu"]
    assert explorer.pace == Pace()
    monkeypatch.setattr(live, "measure_pace", lambda device: Pace(4.0, 2.0))
    explorer.load("synthetic:users=60,items=90,ratings=1500,seed=2")
    explorer.wait()
    change(explorer, {"epochs": 100, "train_batch_size": 1})
    seconds = estimate_seconds(explorer.config(), explorer.ratings, Pace(4.0, 2.0))
    assert seconds > 5
    assert f"About {round(seconds)} s" in explorer.outputs["remarks"].value


def test_the_estimate_is_corrected_by_the_last_training(make, monkeypatch):
    """One that ended by itself, and was long enough to tell."""
    explorer, now = make(), [0.0]
    for module in (live, trained):
        monkeypatch.setattr(module, "estimate_seconds", lambda config, ratings, pace: 2 * pace.steps)
    monkeypatch.setattr(live.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(live, "evaluate", lambda model: now.__setitem__(0, now[0] + 1.5) or evaluate(model))
    explorer.pace = Pace(2.0, 1.0)
    explorer.progress.observe(lambda event: explorer.stop() if event["new"] == 1 else None, "value")
    train(explorer)
    assert explorer.pace == Pace(2.0, 1.0)
    explorer.progress.unobserve_all("value")
    train(explorer)  # four epochs, of which each takes 1.5 s, where 4 s were expected
    assert explorer.pace == Pace(3.0, 1.5)
    assert "About 6 s" in explorer.outputs["remarks"].value
    monkeypatch.setattr(live, "TIMED_FROM", 7.0)
    change(explorer, {"epochs": 1})
    train(explorer)
    assert explorer.pace == Pace(3.0, 1.5)


def test_the_time_that_is_left_is_told_within_the_first_epoch(make, monkeypatch):
    explorer, said, now = make(), [], [0.0]
    change(explorer, {"train_batch_size": 1, "epochs": 5})
    explorer.outputs["message"].observe(lambda event: said.append(told(explorer)), "value")

    def later():
        now[0] += 0.1
        return now[0]

    monkeypatch.setattr(live.time, "monotonic", later)
    train(explorer)
    first, _, second = said[0].partition(", ")
    assert first == "Training"
    assert re.fullmatch(r"about \d+ s left", second)
    assert sum(text.startswith("Training") for text in said) == 1


def test_the_time_that_is_left_is_that_of_the_epochs_so_far(make, monkeypatch):
    """Exact on a machine whose epochs all take as long; an epoch that is slower counts as one of all so far."""
    explorer, said, now = make(), [], [0.0]
    slow = iter([2.0, 2.0, 2.0, 10.0, 2.0, 2.0, 2.0, 2.0])
    change(explorer, {"epochs": 4})
    explorer.outputs["message"].observe(lambda event: said.append(told(explorer)), "value")
    monkeypatch.setattr(live.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(live, "TIMED_FROM", 1e9)  # within an epoch nothing is told
    scored = live.evaluate
    monkeypatch.setattr(live, "evaluate", lambda model: now.__setitem__(0, now[0] + next(slow, 0.0)) or scored(model))
    train(explorer)
    left = [int(re.search(r"about (\d+) s left", text)[1]) for text in said if text.startswith("Epoch")]
    assert left == [14, 12, 10, 16, 11, 7, 3, 0]  # after 2, 4, 6, 16, 18, 20, 22 and 24 s: the mean, times what is left


def test_a_refusal_goes_when_settings_change(make):
    explorer = make()
    explorer.controls["epochs"].value = 100
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live, "MAX_SECONDS", 0)
        train(explorer)
    assert "are refused" in refused(explorer)
    explorer.controls["epochs"].value = 1
    assert refused(explorer) is None


def test_a_result_is_explained_by_the_two_numbers_that_the_leak_sets_apart(make):
    explorer = make()
    change(explorer, {"epochs": 2})
    assert explorer.outputs["verdict"].value == ""
    train(explorer)
    leaky, leak_free = (evaluate(explorer.models[name]).rmse for name in ("released", "holdout"))
    said = words(parsed(explorer.outputs["verdict"].value))
    assert f"{leaky:.3f} leaky" in said
    assert f"{leak_free:.3f} leak-free" in said
    way = "lower" if leaky < leak_free else "higher"
    assert f"With the leak the RMSE is {abs(leaky - leak_free):.3f} stars {way}. Leaky, each row's mean" in said
    change(explorer, {"epochs": 1, "mean_normalization": False})
    train(explorer)
    assert "Without mean normalization nothing leaks through the means" in words(
        parsed(explorer.outputs["verdict"].value)
    )
