"""A full disk, a folder that takes no files or goes away, two commands on one folder: one line, and nothing lost."""

import contextlib
import resource
import shutil

import pytest
from conftest import SMALL, random_ratings
from flexstudy.__main__ import main as study

from flexlib.cli import main
from flexlib.config import FlexConfig, FlexError
from flexlib.runs import run
from flexlib.runs.journal import Journal
from flexlib.runs.plan import Plan
from flexlib.runs.records import load_records
from flexlib.storage.checkpoints import Checkpoint
from flexlib.train import fit

SWEEP = ["sweep", "--dataset", SMALL, "--max-seconds-per-run", "1e-9", "--runs"]  # of which none is made
TUNED = "tuned-synthetic-users-60-items-90-ratings-1500-seed-1-0.3-1tries"


@contextlib.contextmanager
def room_for(size):
    """Let no file grow beyond so many bytes, as on a disk that has no more."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def one_line(status, capsys, *pieces):
    err = capsys.readouterr().err
    lines = [line for line in err.splitlines() if line.startswith(("flexlib: ", "flexstudy: "))]
    assert (status, len(lines), err.splitlines()[-1:]) == (2, 1, lines)
    assert all(piece in lines[0] for piece in pieces), lines


def test_records_that_find_no_room_leave_the_table_as_it_was(tmp_path, capsys):
    assert main([*SWEEP, "2", "--out", str(tmp_path)]) == 0
    (path,) = tmp_path.iterdir()
    before = path.read_bytes()
    with room_for(2_000):
        status = main([*SWEEP, "3", "--out", str(tmp_path)])
    one_line(status, capsys, str(path), "cannot be written")
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == before
    assert main([*SWEEP, "3", "--out", str(tmp_path)]) == 0
    assert len(load_records(path)) == 6


def test_records_that_were_made_wait_in_the_journal_for_room(tmp_path, monkeypatch, refused):
    plan = Plan.sweep(SMALL, ("holdout",), 2, 1)
    records = run.run_plan(plan).astype(object).to_dict("records")

    def work(jobs, on_result, **_):
        for job, record in zip(jobs, records, strict=True):
            on_result(job, {str(name): None if value != value else value for name, value in record.items()})

    monkeypatch.setattr(run, "work", work)
    with room_for(7_000):  # two lines of a journal, but no table
        refused(lambda: run.run_plan(plan, tmp_path), f"{plan.name}.parquet", "cannot be written")
    assert [path.suffix for path in tmp_path.iterdir()] == [".journal"]
    monkeypatch.setattr(run, "work", lambda jobs, *_, **__: pytest.fail("made again") if jobs else None)
    assert run.run_plan(plan, tmp_path)["rmse"].tolist() == [record["rmse"] for record in records]
    assert [path.suffix for path in tmp_path.iterdir()] == [".parquet"]


def test_a_model_that_finds_no_room_leaves_the_one_before(tmp_path, capsys):
    path = tmp_path / "m.safetensors"
    train = ["train", "--dataset", SMALL, "--set", "epochs=1", "--set", "hidden_layers=[4]", "--save", str(path)]
    assert main(train) == 0
    before = path.read_bytes()
    with room_for(2_000):
        status = main(train)
    one_line(status, capsys, str(path), "cannot be written")
    assert [one.name for one in tmp_path.iterdir()] == ["m.safetensors"]
    assert path.read_bytes() == before


def test_a_state_that_finds_no_room_leaves_the_one_before(tmp_path, refused):
    checkpoint = Checkpoint(tmp_path / "state.safetensors")
    config, ratings = FlexConfig(hidden_layers=(4,), epochs=1), random_ratings(1)
    fit(ratings, config, checkpoint=checkpoint)
    before = checkpoint.path.read_bytes()
    with room_for(500):
        refused(lambda: fit(ratings, config.replace(epochs=3), checkpoint=checkpoint), "cannot be written")
    assert [one.name for one in tmp_path.iterdir()] == ["state.safetensors"]
    assert checkpoint.path.read_bytes() == before


def test_a_folder_that_goes_away_is_told(tmp_path, monkeypatch, refused):
    monkeypatch.setattr(run, "work", lambda *_, **__: shutil.rmtree(tmp_path / "out"))
    plan = Plan.sweep(SMALL, ("holdout",), 2, 1)
    refused(lambda: run.run_plan(plan, tmp_path / "out"), f"{plan.name}.parquet", "cannot be written")
    monkeypatch.undo()
    with pytest.raises(FlexError, match="cannot be written"):
        fit(random_ratings(1), FlexConfig(epochs=1), checkpoint=Checkpoint(tmp_path / "gone" / "state.safetensors"))


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        (main, [*SWEEP, "1"]),
        (main, ["tune", "--dataset", SMALL, "--method", "item_mean"]),
        (study, ["experiment", "table2", "--dataset", SMALL, "--max-seconds-per-run", "1e-9"]),
    ],
)
def test_a_folder_that_takes_no_files_is_told(capsys, program, arguments):
    """Of the kernel's own, where root may make none either."""
    one_line(program([*arguments, "--out", "/proc/flex"]), capsys, "/proc/flex")


@pytest.mark.parametrize(
    ("program", "arguments", "name"),
    [
        (main, [*SWEEP, "1"], "sweep-synthetic-users-60-items-90-ratings-1500-seed-1-paper-seed0"),
        (main, ["tune", "--dataset", SMALL, "--method", "item_mean", "--tries", "1", "--splits", "1"], TUNED),
        (
            study,
            ["experiment", "table2", "--dataset", SMALL, "--splits", "1", "--max-seconds-per-run", "1e-9"],
            "table2-synthetic-users-60-items-90-ratings-1500-seed-1",
        ),
    ],
)
def test_a_second_command_on_a_folder_says_so_and_touches_nothing(tmp_path, capsys, program, arguments, name):
    arguments = [*arguments, "--out", str(tmp_path)]
    with Journal(tmp_path / f"{name}.journal"):
        one_line(program(arguments), capsys, f"{name}.journal", "another command")
        assert [path.name for path in tmp_path.iterdir()] == [f"{name}.journal"]
    assert program(arguments) == 0
    assert f"{name}.parquet" in {path.name for path in tmp_path.iterdir()}
