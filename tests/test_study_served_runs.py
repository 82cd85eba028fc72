"""The runs behind the chapter on who is served: which jobs there are, what is kept of them, and what is refused."""

import json

import pandas as pd
import pytest
from conftest import SMALL
from flexstudy import served_runs
from flexstudy.__main__ import main
from flexstudy.served import find_served
from flexstudy.served_cases import SERVED_COLUMNS, served_name
from flexstudy.served_runs import run_served, served_jobs

from flexlib.datasets.loading import load_ratings
from flexlib.methods.tuning import COLUMNS as TUNED_COLUMNS
from flexlib.methods.tuning import Tuning
from flexlib.runs.engine import Died


def made_by(jobs):
    """The records that these jobs return."""
    return [row for job in jobs.values() for row in job.function(*job.arguments)]


def tuned_records(path, change=None, methods=("biases", "item_mean"), splits=1):
    n = len(load_ratings(SMALL))
    rows = [
        {
            "method": method,
            "split": f"seed {seed}",
            "networks": 1,
            "tries": 1,
            "n_test": round(0.3 * n),
            "n_unseen": 0,
            "settings": json.dumps({"item_shrinkage": 5.0 + seed} if method == "biases" else {}),
            "dataset": SMALL,
            "checksum": "",
            **dict.fromkeys(("validation_rmse", "rmse", "mae", "rmse_known"), 1.0),
        }
        | (change or {})
        for method in methods
        for seed in range(splits)
    ]
    facts = {name: "" if kind == "str" else 0 for name, kind in TUNED_COLUMNS.items() if name not in rows[0]}
    pd.DataFrame(rows).assign(**facts).astype(TUNED_COLUMNS).to_parquet(path)
    return path


def test_what_is_there_is_not_made_again_and_what_is_made_is_what_a_job_makes(tmp_path, capsys):
    tuned, ratings = tuned_records(tmp_path / "tuned-x.parquet"), load_ratings(SMALL)
    jobs = served_jobs(ratings, tuned, 1)
    assert list(jobs) == [
        (group, method, 0) for group in ("sparsity", "new users", "new items") for method in ("biases", "item_mean")
    ]
    every = pd.DataFrame(made_by(jobs)).astype(SERVED_COLUMNS)[list(SERVED_COLUMNS)]
    assert set(every["tuned"]) == {"tuned-x"}
    assert json.loads(every[every["method"] == "biases"]["settings"].iloc[0]) == {"item_shrinkage": 5.0}
    kept = every[(every["group"] != "new items") | (every["method"] != "biases")].assign(seconds=99.0)
    path = tmp_path / "served-synthetic-users-60-items-90-ratings-1500-seed-1.parquet"
    kept.to_parquet(path)
    arguments = ["served", "--dataset", SMALL, "--tuned", str(tuned), "--splits", "1", "--out", str(tmp_path)]
    assert main(arguments) == 0
    assert f"wrote {path}" in capsys.readouterr().out
    found = find_served(Tuning(SMALL, (), 0.3), str(tmp_path))
    place = ["group", "method", "seed", "task", "shown"]
    both = every.merge(found, on=place, validate="one_to_one", suffixes=("", "_found"))
    assert len(both) == len(found) == len(every)
    assert both["rmse"].tolist() == pytest.approx(both["rmse_found"].tolist(), abs=1e-12)
    again = (found["seconds"] != 99).groupby([found["group"], found["method"]]).all()
    assert again[again].index.tolist() == [("new items", "biases")]
    before = path.read_bytes()
    assert main(arguments) == 0  # nothing left
    assert path.read_bytes() == before


def test_a_method_without_a_split_is_left_out_of_it(tmp_path):
    path = tuned_records(tmp_path / "t.parquet", splits=2)
    table = pd.read_parquet(path)
    more = table[table["method"] == "biases"].assign(networks=5)  # networks averaged are another matter
    pd.concat([table[(table["method"] != "biases") | (table["split"] != "seed 1")], more]).to_parquet(path)
    jobs = served_jobs(load_ratings(SMALL), path, 2)
    assert {place[1:] for place in jobs} == {("biases", 0), ("item_mean", 0), ("item_mean", 1)}


def test_calls_with_other_methods_and_splits_add_up(tmp_path, capsys):
    """Cheap methods with three draws, one with the first alone, in whichever order."""
    tuned = str(tuned_records(tmp_path / "tuned-x.parquet", methods=("biases", "item_mean"), splits=3))

    def call(*arguments):
        assert main(["served", "--dataset", SMALL, "--tuned", tuned, "--out", str(tmp_path), *arguments]) == 0
        found = find_served(Tuning(SMALL, (), 0.3), str(tmp_path))
        assert not found.duplicated(["group", "method", "seed", "task", "shown"]).any()
        return found

    def seeds(found):
        return {method: sorted(set(own["seed"])) for method, own in found.groupby("method")}

    first = call("--splits", "1", "--method", "item_mean")
    assert seeds(first) == {"item_mean": [0]}
    both = call("--splits", "3", "--methods", "biases")
    assert seeds(both) == {"biases": [0, 1, 2], "item_mean": [0]}
    again = call("--splits", "2", "--method", "item_mean", "--method", "biases")
    assert seeds(again) == {"biases": [0, 1, 2], "item_mean": [0, 1]}
    # What an earlier call made is there as it was made, and is what a call for everything makes.
    for earlier in (first, both):
        place = earlier[["group", "method", "seed"]].drop_duplicates()
        pd.testing.assert_frame_equal(again.merge(place), earlier)
    (tmp_path / f"{served_name(SMALL)}.parquet").unlink()
    every = call("--splits", "3").drop(columns="seconds")
    pd.testing.assert_frame_equal(
        every.merge(again[["group", "method", "seed"]].drop_duplicates()), again[every.columns]
    )
    assert "wrote" in capsys.readouterr().out


def test_other_settings_are_made_anew_where_that_is_asked_for_and_nothing_else_is(tmp_path, monkeypatch, refused):
    path = tmp_path / f"{served_name(SMALL)}.parquet"
    old = run_served(SMALL, tuned_records(tmp_path / "old.parquet", splits=2), 2, tmp_path)
    changed = {"settings": json.dumps({"item_shrinkage": 9.0})}
    new = tuned_records(tmp_path / "new.parquet", changed, methods=("biases",), splits=2)
    refused(lambda: run_served(SMALL, new, 1, tmp_path), "biases", "other settings", "--replace")
    pd.testing.assert_frame_equal(pd.read_parquet(path).astype(SERVED_COLUMNS), old)
    # A job that dies leaves what there was.
    with monkeypatch.context() as patch:
        patch.setattr(served_runs, "work", lambda jobs, on_result, **_: on_result(jobs[0], Died("killed")))
        refused(lambda: run_served(SMALL, new, 1, tmp_path, replace=True), "1 jobs are missing", "killed")
    pd.testing.assert_frame_equal(pd.read_parquet(path).astype(SERVED_COLUMNS), old)
    found = run_served(SMALL, new, 1, tmp_path, replace=True)
    is_new = found["tuned"] == "new"
    assert set(found[is_new][["method", "seed"]].itertuples(index=False, name=None)) == {("biases", 0)}
    assert set(found[is_new]["settings"]) == {changed["settings"]}
    is_old = (old["method"] == "item_mean") | (old["seed"] == 1)
    pd.testing.assert_frame_equal(found[~is_new].reset_index(drop=True), old[is_old].reset_index(drop=True))
    assert len(found) == len(old)


def test_only_methods_that_are_known_and_tuned_can_be_chosen(tmp_path, refused, capsys):
    ratings, tuned = load_ratings(SMALL), tuned_records(tmp_path / "t.parquet", splits=2)
    assert set(served_jobs(ratings, tuned, 2, ["biases"])) == {
        (group, "biases", seed) for group in ("sparsity", "new users", "new items") for seed in (0, 1)
    }
    refused(lambda: served_jobs(ratings, tuned, 1, ["biases", "als"]), "unknown method 'als'", "item_mean")
    refused(lambda: served_jobs(ratings, tuned, 1, ["biases", "svdpp"]), "t.parquet", "methods svdpp")
    refused(lambda: served_jobs(ratings, tuned, 3, ["biases"]), "t.parquet", "'seed 2'")
    arguments = ["served", "--dataset", SMALL, "--tuned", str(tuned), "--out", str(tmp_path), "--method", "als"]
    assert main(arguments) == 2
    assert "unknown method 'als'" in capsys.readouterr().err


def test_bad_input_gives_one_line(tmp_path, refused, capsys):
    ratings, good = load_ratings(SMALL), tuned_records(tmp_path / "good.parquet")
    refused(lambda: served_jobs(ratings, tmp_path / "none.parquet", 1), "none.parquet", "no such file")
    other = tuned_records(tmp_path / "other.parquet", {"dataset": "ml-1m"})
    refused(lambda: served_jobs(ratings, other, 1), "other.parquet", "dataset 'ml-1m'", SMALL)
    newer = tuned_records(tmp_path / "newer.parquet", {"checksum": "abc"})
    refused(lambda: served_jobs(ratings, newer, 1), "newer.parquet", "checksum 'abc'")
    strange = tuned_records(tmp_path / "strange.parquet", methods=("als",))
    refused(lambda: served_jobs(ratings, strange, 1), "strange.parquet", "none of the methods", "flexencoder")
    refused(lambda: served_jobs(ratings, good, 2), "good.parquet", "'seed 1'")
    pd.read_parquet(good).drop(columns="settings").to_parquet(tmp_path / "less.parquet")
    refused(lambda: served_jobs(ratings, tmp_path / "less.parquet", 1), "less.parquet", "no column 'settings'")
    rows = made_by(served_jobs(ratings, good, 1))
    name = f"{served_name(SMALL)}.parquet"
    pd.DataFrame(rows).assign(settings='{"item_shrinkage": 1.0}').to_parquet(tmp_path / name)
    refused(lambda: run_served(SMALL, good, 1, tmp_path), name, "biases", "other settings", "good.parquet", "--out")
    pd.DataFrame(rows).assign(checksum="abc").to_parquet(tmp_path / name)
    refused(lambda: run_served(SMALL, good, 1, tmp_path), name, "another", "--out")
    refused(lambda: find_served(Tuning(SMALL, ()), str(tmp_path / "no")), "served-synthetic", "no such file")
    assert main(["served", "--dataset", SMALL, "--tuned", str(other), "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
