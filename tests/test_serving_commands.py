"""Commands for using a model: files in and out, and one line for each mistake."""

import json
import os
import sys

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from conftest import make_ratings

from flexlib import evaluate, fit, fold_in, load_model, load_ratings, recommend, save_model, split_ratings
from flexlib.cli import main
from flexlib.config import PRESETS, FlexConfig
from flexlib.methods.registry import METHODS
from flexlib.methods.tuning import load_tuned, tuned_name
from flexlib.serving.methods import choose_winner, fit_method
from flexlib.serving.splits import read_split, write_split
from flexlib.serving.tables import read_pairs, write_table

SMALL = "synthetic:users=30,items=40,ratings=300,seed=1"
RATINGS = load_ratings(SMALL)
LITTLE = ["--dataset", SMALL, "--set", "epochs=1", "--set", "hidden_layers=[4]"]


def run(capsys, *arguments):
    status = main(list(arguments))
    printed = capsys.readouterr()
    return status, printed.out, printed.err


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The path of a model trained on all ratings."""
    path = tmp_path_factory.mktemp("model") / "my.safetensors"
    assert main(["train", *LITTLE, "--all", "--save", str(path)]) == 0
    return str(path)


def test_training_on_all_ratings_scores_nothing(capsys, saved):
    assert len(load_model(saved).split.train) == 300
    status, out, err = run(capsys, "train", *LITTLE, "--all")
    assert (status, out) == (2, "")
    assert "--save" in err


def test_train_prints_the_biases_of_its_own_split(capsys):
    """Over the ratings that the protocol scores, and from training ratings also where the protocol has the leak."""
    leaky = ["--protocol", "released", "--protocol-set", "scored=hidden"]
    facts = json.loads(run(capsys, "train", *LITTLE, *leaky, "--seed", "4", "--json")[1])
    config = FlexConfig(epochs=1, hidden_layers=[4])
    scored = evaluate(fit(RATINGS, config, "released scored=hidden", seed=4)).predictions["scored"].to_numpy()
    split = split_ratings(RATINGS, 0.3, 4)
    gap = (METHODS["biases"].predict(RATINGS, split) - RATINGS.values[split.test])[scored]
    assert facts["rmse_of_biases"] == pytest.approx(np.sqrt(np.mean(gap**2)))
    assert facts["n_scored"] == scored.sum() < len(split.test)


def test_ratings_that_are_all_equal_are_warned_of(capsys, tmp_path):
    path = tmp_path / "equal.csv"
    path.write_text("user,item,rating\n" + "".join(f"{u},{i},4\n" for u in range(5) for i in range(5)))
    arguments = ["--dataset", str(path), "--scale", "1", "5", "1", "--set", "epochs=1"]
    status, _, err = run(capsys, "train", *arguments)
    assert status == 0
    assert "warning: all 25 ratings are 4" in err
    assert "warning" not in run(capsys, "train", *LITTLE)[2]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_pairs_are_predicted_from_a_file_into_a_file(capsys, tmp_path, saved, ending):
    pairs = pd.DataFrame({"movieId": [4, 7, 99], "userId": [3, 3, 5], "note": ["", "x", "y"]})
    given, out = tmp_path / f"pairs.{ending}", tmp_path / f"out.{ending}"
    pairs.to_csv(given, index=False) if ending == "csv" else pairs.to_parquet(given)
    assert run(capsys, "predict", "--model", saved, "--pairs", str(given), "--out", str(out))[:2] == (
        0,
        f"wrote {out}\n",
    )
    made = pd.read_csv(out) if ending == "csv" else pd.read_parquet(out)
    assert made.columns.tolist() == ["user", "item", "predicted"]
    assert made[["user", "item"]].to_numpy().tolist() == [[3, 4], [3, 7], [5, 99]]
    np.testing.assert_allclose(made["predicted"], load_model(saved).predict([3, 3, 5], [4, 7, 99]), rtol=1e-6)
    status, printed, _ = run(capsys, "predict", "--model", saved, "--user", "3", "--item", "4")
    assert status == 0
    assert float(printed.split()[-1]) == pytest.approx(made["predicted"][0], abs=0.01)


def test_lists_of_all_users_go_to_a_file_and_those_of_some_are_printed(capsys, tmp_path, saved):
    out = tmp_path / "lists.parquet"
    assert run(capsys, "recommend", "--model", saved, "--all", "-k", "3", "--out", str(out))[0] == 0
    made = pd.read_parquet(out)
    assert made.groupby("user").size().tolist() == [3] * 30
    expected = recommend(load_model(saved), k=3)
    assert made["item"].tolist() == expected["item"].tolist()
    status, printed, _ = run(capsys, "recommend", "--model", saved, "--user", "3", "--user", "7", "-k", "2")
    assert status == 0
    assert len(printed.splitlines()) == 5
    one = tmp_path / "one.csv"
    assert run(capsys, "recommend", "--model", saved, "--user", "3", "-k", "2", "--out", str(one))[0] == 0
    assert pd.read_csv(one)["user"].tolist() == [3, 3]


def test_new_ratings_are_folded_in_from_a_file(capsys, tmp_path, saved):
    given, out = tmp_path / "new.csv", tmp_path / "lists.csv"
    given.write_text("user,item,stars\nAda,4,5\nAda,7,1.0\n3,9,2.5\n")
    arguments = ["--model", saved, "--new-ratings", str(given)]
    assert run(capsys, "recommend", *arguments, "--user", "Ada", "-k", "40", "--out", str(out))[0] == 0
    folded = fold_in(load_model(saved), ["Ada", "Ada", "3"], ["4", "7", "9"], [5.0, 1.0, 2.5])
    expected = recommend(folded, "Ada", k=40)
    assert pd.read_csv(out)["item"].tolist() == expected["item"].tolist()
    assert not {4, 7} & set(expected["item"])
    given.write_text("user,item,stars\nAda,4,5\n\nAda,7,good\n")
    status, _, err = run(capsys, "predict", *arguments, "--user", "Ada", "--item", "4")
    assert (status, err.count("\n")) == (2, 1)
    assert "new.csv, line 4: rating 'good'" in err


FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "a=1", 'Movie, "quoted"', "<script>"]


def test_texts_that_are_formulas_are_inert_in_csv_and_as_they_are_in_parquet(tmp_path):
    table = pd.DataFrame({"user": FORMULAS, "=title": FORMULAS, "predicted": [-1.5] * len(FORMULAS)})
    write_table(table, tmp_path / "t.csv")
    made = pd.read_csv(tmp_path / "t.csv", dtype=str)
    expected = [f"'{text}" for text in FORMULAS[:5]] + FORMULAS[5:]
    assert made["user"].tolist() == made["'=title"].tolist() == expected
    assert made["predicted"].tolist() == ["-1.5"] * len(FORMULAS)
    write_table(table, tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "t.parquet"), table)


def test_a_split_goes_out_and_comes_in(capsys, tmp_path):
    path = tmp_path / "split.parquet"
    status, out, _ = run(capsys, "split", "--dataset", SMALL, "--seed", "5", "--out", str(path))
    assert (status, out) == (0, f"wrote {path}: 210 training and 90 test ratings\n")
    own, again = split_ratings(RATINGS, 0.3, 5), read_split(RATINGS, path)
    assert (again.train.tolist(), again.test.tolist()) == (own.train.tolist(), own.test.tolist())
    # From a file as others may write it: texts, another order, other names.
    table = pd.read_parquet(path).sample(frac=1, random_state=0).rename(columns={"user": "user_id", "item": "item_id"})
    other = tmp_path / "split.csv"
    table.assign(more=1).to_csv(other, index=False)
    assert read_split(RATINGS, other).test.tolist() == own.test.tolist()
    by_seed = json.loads(run(capsys, "train", *LITTLE, "--seed", "5", "--json")[1])
    by_file = json.loads(run(capsys, "train", *LITTLE, "--seed", "5", "--split", str(other), "--json")[1])
    assert by_file["rmse"] == by_seed["rmse"]


def test_files_that_are_no_split_of_these_ratings_are_refused(tmp_path, refused):
    ratings = make_ratings([(0, 0, 1.0), (0, 1, 2.0), (1, 1, 5.0)])
    whole = pd.DataFrame({"user": [100, 100, 101], "item": [200, 201, 201], "part": ["train", "test", "train"]})
    for table, pieces in (
        (whole.iloc[:2], ["2 pairs", "3 ratings"]),
        (whole.assign(item=[200, 201, 200]), ["row 3", "item 200", "no such rating"]),
        (whole.assign(user=[100, 100, 999]), ["row 3", "user 999"]),
        (whole.assign(part=["train", "valid", "test"]), ["row 2", "valid", "neither train nor test"]),
        (whole.assign(user=100, item=[200, 201, 201]), ["row 3", "twice"]),
        (whole.assign(part="test"), ["no rating is in the part train"]),
        (whole.drop(columns="part"), ["no column of parts"]),
        (whole.drop(columns="item"), ["no column of items", "movieId"]),
        (whole.astype({"user": float}), ["float64"]),
    ):
        path = tmp_path / "split.parquet"
        table.to_parquet(path)
        refused(lambda path=path: read_split(ratings, path), *pieces)
    csv = tmp_path / "split.csv"
    whole.assign(part=["train", "x", "test"]).to_csv(csv, index=False)
    refused(lambda: read_split(ratings, csv), "split.csv, line 3")
    refused(lambda: read_split(ratings, tmp_path / "none.csv"), "no such file")
    path.write_bytes(b"PAR1")
    refused(lambda: read_split(ratings, path), "split.parquet", "cannot be read")
    path = tmp_path / "out.csv"
    write_split(ratings, split_ratings(ratings, 0), path)
    assert read_pairs(path, ["part"])["part"].tolist() == ["train"] * 3


def test_evaluate_prints_or_writes_its_measures(capsys, tmp_path):
    out = tmp_path / "scores.csv"
    status, printed, err = run(capsys, "evaluate", *LITTLE, "--folds", "3", "-k", "4")
    assert status == 0
    assert err.splitlines() == ["split 1/3", "split 2/3", "split 3/3"]
    rows = [line.split()[-5:] for line in printed.splitlines()[1:]]
    assert [row[0] for row in rows[:5]] == ["RMSE", "MAE", "nDCG@4", "recall@4", "coverage@4"]
    assert all(float(low) <= float(value) <= float(high) for _, value, low, high, _ in rows)
    arguments = ["--dataset", SMALL, "--method", "biases", "--no-lists", "--out", str(out)]
    split = tmp_path / "split.csv"
    write_split(RATINGS, split_ratings(RATINGS, 0.3, 2), split)
    assert run(capsys, "evaluate", *arguments, "--split", str(split))[0] == 0
    by_file = pd.read_csv(out)
    assert run(capsys, "evaluate", *arguments, "--splits", "1", "--seed", "2")[0] == 0
    pd.testing.assert_frame_equal(pd.read_csv(out), by_file)
    assert set(by_file["measure"]) == {"RMSE", "MAE"}


def rmse_by_hand(model, split):
    """Of the test ratings."""
    predicted = model.predict_pairs(RATINGS.users[split.test], RATINGS.items[split.test])
    return np.sqrt(np.mean((np.clip(predicted, 0.5, 5) - RATINGS.values[split.test].astype(float)) ** 2))


@pytest.mark.parametrize(
    ("method", "settings", "whole"),
    [
        ("als", {"factors": 3, "centre": "mean", "regularization": 0.3}, {}),
        ("biases", {"item_shrinkage": 2.5}, {}),
        ("slope_one", {}, {}),
        ("flexencoder", {"epochs": 2, "hidden_layers": [4]}, {}),
        ("autorec_user", {"epochs": 2, "hidden_layers": [4]}, PRESETS["autorec-user"]),
        ("flexencoder_set1", {"epochs": 2}, PRESETS["table2:1"]),
    ],
)
def test_evaluate_takes_a_methods_settings(capsys, tmp_path, method, settings, whole):
    out, split = tmp_path / "scores.csv", split_ratings(RATINGS, 0.3, 2)
    given = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    arguments = ["--dataset", SMALL, "--method", method, *given, "--no-lists", "--splits", "1", "--seed", "2"]
    assert run(capsys, "evaluate", *arguments, "--test-split-rate", "0.3", "--out", str(out))[0] == 0
    scored = pd.read_csv(out).query("users == 'all'").set_index("measure")["value"]
    model = fit_method(RATINGS, method, whole | settings, 2, split)
    assert scored["RMSE"] == pytest.approx(rmse_by_hand(model, split), abs=1e-6)
    others = fit_method(RATINGS, method, None, 2, split)
    if settings:
        assert rmse_by_hand(others, split) != pytest.approx(scored["RMSE"], abs=1e-4)
    if whole:
        assert others.config == FlexConfig.from_dict(whole)


def test_a_method_that_diverged_has_no_score(capsys):
    arguments = ["--dataset", SMALL, "--method", "improved_svd", "--set", "lr_all=1000", "--splits", "1", "--no-lists"]
    with np.errstate(all="ignore"):
        status, out, err = run(capsys, "evaluate", *arguments)
    assert (status, err) == (0, "split 1/1\n")
    assert out.splitlines()[1].split()[2:6] == ["RMSE", "NaN", "NaN", "NaN"]


@pytest.fixture
def no_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # an import of it fails
    monkeypatch.delitem(sys.modules, "flexlib.serving.figures", raising=False)


COMPARE = ["compare", "--dataset", SMALL, "--splits", "1", "--tries", "1", "--method", "item_mean", "--out"]


def test_without_matplotlib_there_is_the_table_alone(capsys, tmp_path, no_matplotlib):
    status, out, err = run(capsys, *COMPARE, str(tmp_path))
    assert status == 0
    assert out.splitlines()[-1] == f"wrote {tmp_path / tuned_name(SMALL, 0.3, 1)}-compared.csv"
    assert err.splitlines()[-1] == "no figure: it needs matplotlib: pip install 'flexlib[figures]'"
    assert list(tmp_path.glob("*-compared.*")) == [tmp_path / f"{tuned_name(SMALL, 0.3, 1)}-compared.csv"]


def test_compared_methods_score_what_they_were_tuned_to(capsys, tmp_path):
    """With one split, the RMSE is that of tune's own record; a call that goes on ends with the same."""
    arguments = ["compare", "--dataset", SMALL, "--splits", "1", "--tries", "2", "-k", "3", "--out", str(tmp_path)]
    arguments += ["--method", "item_mean", "--method", "biases"]
    status, out, _ = run(capsys, *arguments)
    assert status == 0
    path = tmp_path / f"{tuned_name(SMALL, 0.3, 2)}-compared.csv"
    figure = path.with_suffix(".svg")
    assert out.splitlines()[-2:] == [f"wrote {path}", f"wrote {figure}"]
    drawn = figure.read_text()
    made = pd.read_csv(path)
    assert made["method"].unique().tolist() == ["item_mean", "biases"]
    records = load_tuned(tmp_path / f"{tuned_name(SMALL, 0.3, 2)}.parquet").set_index("method")
    for measure, column in (("RMSE", "rmse"), ("MAE", "mae")):
        rows = made[(made["users"] == "all") & (made["measure"] == measure)].set_index("method")["value"]
        assert rows.to_dict() == pytest.approx(records[column].to_dict())
    first = [line.split()[0] for line in out.splitlines()[2:4]]
    assert first == records.sort_values("rmse").index.tolist()
    best = records["rmse"].idxmin()
    assert f"{METHODS[best].name} has the lowest RMSE, {records['rmse'].min():.3f} stars, on" in drawn
    assert "nDCG@3" in drawn
    assert run(capsys, *arguments)[1] == out
    assert figure.read_text() == drawn


@pytest.mark.parametrize(
    ("arguments", "piece"),
    [
        (["compare", "--dataset", SMALL, "--out", "out", "-k", "0"], "-k 0"),
        (["compare", "--dataset", SMALL, "--out", "out", "--method", "magic"], "'magic'"),
        (["compare", "--dataset", SMALL, "--out", "out", "--test-split-rate", "1"], "leaves none"),
        (["predict", "--model", "x", "--user", "1"], "--item"),
        (["predict", "--model", "x"], "--pairs"),
        (["predict", "--model", "x", "--user", "1", "--item", "2", "--pairs", "p.csv"], "--pairs"),
        (["predict", "--model", "x", "--pairs", "none.csv"], "none.csv: no such file"),
        (["predict", "--model", "none.parquet", "--user", "1", "--item", "2"], "none.parquet: no such file"),
        (["recommend", "--model", "x"], "--all"),
        (["recommend", "--model", "x", "--all", "--user", "1"], "--all"),
        (["recommend", "--model", "x", "--all"], "--out"),
        (["recommend", "--model", "x", "--all", "--out", "x.xlsx"], "x.xlsx"),
        (["recommend", "--model", "x", "--all", "--out", "nowhere/x.csv"], "nowhere"),
        (["split", "--dataset", SMALL, "--out", "x.txt"], "x.txt"),
        (["split", "--dataset", SMALL, "--out", "x.csv", "--test-split-rate", "1"], "--test-split-rate"),
        (["split", "--dataset", SMALL, "--out", "x.csv", "--fold", "u1"], "'u1'"),
        (["evaluate", "--folds", "3", "--splits", "2"], "--folds"),
        (["evaluate", "--folds", "1"], "--folds"),
        (["evaluate", "-k", "0"], "-k 0"),
        (["evaluate", "--dataset", SMALL, "--method", "magic"], "'magic'"),
        (["evaluate", "--dataset", SMALL, "--splits", "2", "--test-split-rate", "1.5"], "1.5"),
        (["evaluate", "--set", "epohcs=1"], "'epohcs'"),
        (
            ["evaluate", "--method", "als", "--set", "epochs=1"],
            "'epochs': known: factors, regularization, sweeps, centre",
        ),
        (["evaluate", "--method", "slope_one", "--set", "epochs=1"], "known: none"),
        (["evaluate", "--method", "flexencoder", "--set", "factors=1"], "'factors'"),
        (["evaluate", "--dataset", SMALL, "--folds", "1000"], "1000 folds"),
        (["train", "--dataset", SMALL, "--split", "none.parquet"], "none.parquet"),
        (["train", "--dataset", SMALL, "--all", "--split", "a.csv", "--save", "x.safetensors"], "--all"),
        (["tune", "--dataset", SMALL, "--out", "out", "--save", "nowhere/x"], "nowhere"),
    ],
)
def test_mistakes_get_one_line_and_status_2_and_leave_nothing(capsys, tmp_path, monkeypatch, arguments, piece):
    monkeypatch.chdir(tmp_path)
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert piece in err.splitlines()[-1]
    assert [line for line in err.splitlines() if not line.startswith("split ")] == err.splitlines()[-1:]
    assert list(tmp_path.iterdir()) == []


def test_a_table_that_cannot_be_written_leaves_the_one_before(tmp_path, refused, monkeypatch):
    path = tmp_path / "t.csv"
    path.write_text("before")

    def full(*_, **__):
        raise OSError("No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    refused(lambda: write_table(pd.DataFrame({"a": [1]}), path), "t.csv", "No space left")
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["t.csv"]


@pytest.mark.parametrize("method", ["biases", "flexencoder"])
def test_a_tuned_winner_predicts_and_recommends(capsys, tmp_path, method):
    arguments = [
        "tune",
        "--dataset",
        SMALL,
        "--splits",
        "1",
        "--tries",
        "1",
        "--method",
        method,
        "--out",
        str(tmp_path),
    ]
    status, out, _ = run(capsys, *arguments, "--save", str(tmp_path / "winner"))
    ending = "parquet" if method == "biases" else "safetensors"
    path = tmp_path / f"winner.{ending}"
    assert status == 0
    assert out.splitlines()[-1] == f"wrote {path}: {method}, trained on all 300 ratings"
    lists = run(capsys, "recommend", "--model", str(path), "--user", "3", "-k", "4")[1]
    assert len(lists.splitlines()) == 5
    assert "title" in lists
    assert run(capsys, "predict", "--model", str(path), "--user", "3", "--item", "5")[0] == 0
    model = load_model(path)
    assert len(model.split.train) == 300
    assert model.ratings.user_ids.tolist() == RATINGS.user_ids.tolist()


def test_the_winner_is_chosen_on_validation_ratings():
    records = pd.DataFrame(
        [
            ("als", 1, 0.9, 0.1, '{"factors": 2}'),
            ("als", 1, 0.7, 0.1, '{"factors": 3}'),
            ("biases", 1, 0.75, 0.9, '{"item_shrinkage": 5.0}'),
            ("biases", 1, 0.74, 0.9, '{"item_shrinkage": 6.0}'),
            ("rbm", 1, np.nan, 0.1, ""),
            ("flexencoder", 5, 0.1, 0.1, "{}"),
        ],
        columns=["method", "networks", "validation_rmse", "rmse", "settings"],
    )
    assert choose_winner(records) == ("biases", {"item_shrinkage": 6.0})


def test_a_saved_method_comes_back_as_it_was_and_damaged_files_are_refused(tmp_path, refused):
    model = fit_method(RATINGS, "als", {"factors": 3}, seed=4)
    path = tmp_path / "als.parquet"
    save_model(model, path)
    again = load_model(path)
    assert (again.method, again.settings, again.seed) == ("als", {"factors": 3}, 4)
    users, items = RATINGS.user_ids[:20], RATINGS.item_ids[5:25]
    np.testing.assert_array_equal(again.predict(users, items), model.predict(users, items))
    assert recommend(again, [3, 5]).equals(recommend(model, [3, 5]))
    refused(lambda: save_model(model, tmp_path / "als.safetensors"), "als.safetensors", ".parquet")
    table = pq.read_table(path)
    header = json.loads(table.schema.metadata[b"flexlib"])
    for change, piece in (
        ({"format": "flexlib method 9"}, "flexlib method 1"),
        ({"seed": -1}, "greater"),
        ({"method": "magic"}, "als.parquet: unknown method 'magic'"),
        ({"settings": {"factor": 3}}, "als.parquet: unknown als key 'factor'"),
        ({"more": 1}, "not permitted"),
        ({"scale": [1.0]}, "scale"),
    ):
        pq.write_table(table.replace_schema_metadata({"flexlib": json.dumps(header | change)}), path)
        refused(lambda: load_model(path), piece)
    pq.write_table(table.replace_schema_metadata(None), path)
    refused(lambda: load_model(path), "als.parquet", "not a method")
    path.write_bytes(b"PAR1")
    refused(lambda: load_model(path), "als.parquet", "not a method")
