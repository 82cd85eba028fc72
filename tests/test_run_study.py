"""The wrapper around papermill: what it refuses, that a result is replaced by a whole one only, and that the same run
again gives the same bytes, pictures included."""

import base64
import io
import os
import re
import signal
import threading
import time

import nbformat
import numpy as np
import psutil
import pytest
import run_study as runner
import yaml
from conftest import SMALL
from flexstudy.chapter import ELSEWHERE, fill_file
from nbformat import v4
from PIL import Image
from run_study import main, run_chapter, run_study

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


def notebook(path, *cells, tagged=True):
    first = v4.new_code_cell("x = 1\nname = 'a'", metadata={"tags": ["parameters"]} if tagged else {})
    made = v4.new_notebook(cells=[first, *(v4.new_code_cell(cell) for cell in cells)])
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(made, path)
    return path


def test_a_chapter_runs_with_its_parameters_and_without_traces_of_the_clock(tmp_path):
    source = notebook(tmp_path / "a.ipynb", "print('x is', x)")
    out = run_chapter(source, tmp_path / "out" / "a.ipynb", {"x": 7})
    first = out.read_bytes()
    executed = nbformat.read(out, as_version=4)
    assert executed.cells[-1].outputs[0].text == "x is 7\n"
    assert executed.metadata["flexlib"]["parameters"] == {"x": 7}
    assert "papermill" not in executed.metadata
    assert [path.name for path in out.parent.iterdir()] == ["a.ipynb"]
    assert run_chapter(source, out, {"x": 7}).read_bytes() == first


def test_a_failure_keeps_the_result_and_names_the_cell(tmp_path, refused):
    source = notebook(tmp_path / "a.ipynb", "print(1 / x)")
    out = run_chapter(source, tmp_path / "out" / "a.ipynb", {})
    before = out.read_bytes()
    refused(lambda: run_chapter(source, out, {"x": 0}), "a.ipynb", "ZeroDivisionError", "a.failed.ipynb")
    assert out.read_bytes() == before
    assert (out.parent / "a.failed.ipynb").exists()


def test_what_papermill_would_only_warn_of_is_refused(tmp_path, refused):
    out = tmp_path / "out.ipynb"
    refused(lambda: run_chapter(notebook(tmp_path / "a.ipynb"), out, {"y": 1}), "no parameter 'y'", "x, name")
    untagged = notebook(tmp_path / "b.ipynb", tagged=False)
    refused(lambda: run_chapter(untagged, out, {}), "b.ipynb", "'parameters'")
    refused(lambda: run_chapter(tmp_path / "c.ipynb", out, {}), "c.ipynb", "no such notebook")
    assert not out.exists()


def test_a_study_runs_its_profile(tmp_path, monkeypatch, refused, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runner, "NOTEBOOKS", tmp_path / "notebooks")
    (tmp_path / "notebooks").mkdir()
    source = notebook(tmp_path / "notebooks" / "a.ipynb", "print(x, name)")
    text = source.read_text().replace("name = 'a'", "dataset = 'a'").replace("print(x, name)", "print(x, dataset)")
    source.write_text(text)
    (tmp_path / "notebooks" / "profiles.yml").write_text(yaml.safe_dump({"quick": {"a": {"x": 2}}}))
    refused(lambda: run_study("slow", "out"), "'slow'", "quick")
    refused(lambda: run_study("quick", "out", chapters=["b"]), "'b'", "there are a")
    (path,) = run_study("quick", "out", dataset="mine")
    assert str(path) == "out/executed/a.ipynb"
    assert nbformat.read(path, as_version=4).cells[-1].outputs[0].text == "2 mine\n"
    assert "[1/1] a (x=2, dataset=mine)" in capsys.readouterr().out
    assert main(["--profile", "slow"]) == 2
    assert capsys.readouterr().err == "run_study: unknown profile 'slow': known are quick\n"
    assert main(["--profile", "quick", "--out", "again"]) == 0
    assert capsys.readouterr().out.endswith("wrote again/executed/a.ipynb\n")


def made_study(tmp_path, monkeypatch, plan, **sources):
    """A study of chapters whose parameters are these lines, each printing their values."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runner, "NOTEBOOKS", tmp_path / "notebooks")
    (tmp_path / "notebooks").mkdir()
    for name, text in sources.items():
        names = ", ".join(line.partition(" = ")[0] for line in text.splitlines())
        source = notebook(tmp_path / "notebooks" / f"{name}.ipynb", f"print({names})")
        made = nbformat.read(source, as_version=4)
        made.cells[0].source = text
        nbformat.write(made, source)
    (tmp_path / "notebooks" / "profiles.yml").write_text(yaml.safe_dump({"quick": plan}))


def printed(path):
    return nbformat.read(path, as_version=4).cells[-1].outputs[0].text.strip()


def test_a_chapter_on_the_others_reads_them_where_they_are_written(tmp_path, monkeypatch):
    plan = {"a": {"dataset": "theirs", "records": "there"}, "b": {}}
    sources = {"a": "dataset = 'small'\nrecords = ''", "b": "executed = 'results/executed'"}
    made_study(tmp_path, monkeypatch, plan, **sources)
    first, second = run_study("quick", "out")
    assert printed(first) == "theirs there"
    assert printed(second) == "out/executed"
    assert nbformat.read(second, as_version=4).metadata["flexlib"]["parameters"] == {"executed": "out/executed"}
    # Other data are for the chapters that have some; the profile's records are not of them.
    first, second = run_study("quick", "other", dataset="mine")
    assert printed(first) == "mine"
    assert printed(second) == "other/executed"


def test_a_chapter_that_no_profile_lists_runs_with_its_defaults_and_readers_of_others_come_last(tmp_path, monkeypatch):
    sources = {"a": "executed = 'results/executed'", "b": "x = 1", "c": "x = 2"}
    made_study(tmp_path, monkeypatch, {"c": {"x": 3}}, **sources)
    paths = run_study("quick", "out")
    assert [path.stem for path in paths] == ["b", "c", "a"]
    assert [printed(path) for path in paths] == ["1", "3", "out/executed"]


def test_a_profile_may_say_where_the_others_are(tmp_path, monkeypatch):
    made_study(tmp_path, monkeypatch, {"b": {"executed": "elsewhere"}}, b="executed = 'results/executed'")
    (path,) = run_study("quick", "out")
    assert printed(path) == "elsewhere"


def waiting_chapters(tmp_path, monkeypatch, **sources):
    """A study of chapters that are these lines, with a function that waits for a file."""
    made_study(tmp_path, monkeypatch, {}, **dict.fromkeys(sources, "x = 1"))
    wait = (
        "import pathlib, time\ndef wait(name):\n    while not pathlib.Path(name).exists():\n        time.sleep(0.02)\n"
    )
    for name, text in sources.items():
        path = tmp_path / "notebooks" / f"{name}.ipynb"
        made = nbformat.read(path, as_version=4)
        if "executed" in text:
            made.cells[0].source += "\nexecuted = ''"
        made.cells[1].source = wait + text
        nbformat.write(made, path)


def test_chapters_run_at_once_and_readers_of_others_wait_for_all(tmp_path, monkeypatch, capsys):
    """The first two wait for each other, and would wait for ever if one came after the other."""
    waiting_chapters(
        tmp_path,
        monkeypatch,
        a="pathlib.Path('a').touch(); wait('b')",
        b="pathlib.Path('b').touch(); wait('a')",
        c="time.sleep(1)",
        d="print(sorted(path.name for path in pathlib.Path(executed).glob('*')))",
    )
    paths = run_study("quick", "out", at_once=2)
    assert [path.stem for path in paths] == ["a", "b", "c", "d"]
    assert printed(paths[3]) == "['a.ipynb', 'b.ipynb', 'c.ipynb', 'd.failed.ipynb']"
    lines = capsys.readouterr().out.splitlines()
    assert {line.split(" in ")[0] for line in lines} >= {"[3/4] c (its defaults)", "[3/4] c: done", "[4/4] d: done"}
    assert (tmp_path / "out" / "executed" / "d.ipynb").exists()


def test_a_chapter_that_fails_lets_those_beside_it_end_and_no_other_begin(tmp_path, monkeypatch, capsys):
    fails = "import os; pathlib.Path('a.part').write_text(str(os.getpid())); os.rename('a.part', 'a'); wait('b'); 1 / 0"
    outlives = (
        "import psutil; pathlib.Path('b').touch(); wait('a')\n"
        "while psutil.pid_exists(int(pathlib.Path('a').read_text())):\n    time.sleep(0.02)\ntime.sleep(3)"
    )
    waiting_chapters(tmp_path, monkeypatch, a=fails, b=outlives, c="", d="executed")
    assert main(["--profile", "quick", "--out", "out", "--at-once", "2"]) == 2
    assert sorted(path.name for path in (tmp_path / "out" / "executed").iterdir()) == ["a.failed.ipynb", "b.ipynb"]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("run_study: ")
    assert "a.ipynb, cell 2: ZeroDivisionError" in line


def test_an_interruption_ends_all_kernels_and_keeps_whole_chapters(tmp_path, monkeypatch, capsys):
    tell = "import os; pathlib.Path('{}').write_text(str(os.getpid())); time.sleep(600)"
    waiting_chapters(tmp_path, monkeypatch, a="", b=tell.format("b"), c=tell.format("c"), d="")
    pids = []

    def interrupt():
        while not all((tmp_path / name).exists() and (tmp_path / name).read_text() for name in "bc"):
            time.sleep(0.02)
        pids.extend(int((tmp_path / name).read_text()) for name in "bc")
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    assert main(["--profile", "quick", "--out", "out", "--at-once", "2"]) == 130
    thread.join()
    assert capsys.readouterr().err == "\nrun_study: interrupted; finished runs are kept\n"  # after the terminal's ^C
    assert len(pids) == 2
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert [path.name for path in (tmp_path / "out" / "executed").glob("*") if "failed" not in path.name] == ["a.ipynb"]


NO_RUNS = {
    "04_accuracy": {"seen_presets": "table2:1", "thin_users": 60, "thin_items": 300, "thin_ratings": "2000 600"},
    "06_rounding": {"runs": 4},
}


@pytest.mark.parametrize("name", NO_RUNS)
def test_on_other_data_and_without_a_run_a_chapter_says_so(name, real_data, tmp_path):
    """Every run is above the limit, so that what they would tell is not known."""
    real_data("ml-100k")
    given = NO_RUNS[name] | {"dataset": "ml-100k", "n_seeds": 1, "max_seconds": 0.0}
    path = run_chapter(runner.NOTEBOOKS / f"{name}.ipynb", tmp_path / f"{name}.ipynb", given, bar=False)
    fill_file(path)
    text = "\n\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown")
    assert "ml-100k" in text
    assert ELSEWHERE in text
    assert len(re.findall(r"Too few runs: raise `max_seconds`", text)) > 3
    assert not re.search(r"\bnan\b|\{glue|\{numref", text)


def test_ratings_on_which_the_papers_setting_is_too_costly_are_studied_without_it(tmp_path, monkeypatch):
    monkeypatch.delenv("FLEXLIB_SCHEDULER")  # which is of this process alone
    given = {"dataset": SMALL, "n_seeds": 2, "tries": 1, "max_seconds": 0.0}
    given |= {"methods": "biases flexencoder_set1 flexencoder"}
    path = run_chapter(runner.NOTEBOOKS / "13_your_data.ipynb", tmp_path / "13_your_data.ipynb", given, bar=False)
    fill_file(path)
    text = "\n\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown")
    assert text.count("Too few runs: raise `max_seconds`") == 2  # of the answer, and of the figure
    assert not re.search(r"\bnan\b|\{glue|\{numref", text)


def test_what_a_rerun_takes_is_kept_beside_that_of_others(tmp_path, monkeypatch):
    kept = tmp_path / "reruns.yaml"
    kept.write_text("b: {runs: 1, seconds: 2}\n")
    monkeypatch.setattr(runner, "RERUNS", kept)
    output = v4.new_output("display_data", {"text/plain": "12"}, metadata={"scrapbook": {"name": "runs_made"}})
    nbformat.write(v4.new_notebook(cells=[v4.new_code_cell("x", outputs=[output])]), tmp_path / "a.ipynb")
    runner.record_rerun("a", tmp_path / "a.ipynb", 34)
    assert yaml.safe_load(kept.read_text()) == {"a": {"runs": 12, "seconds": 34}, "b": {"runs": 1, "seconds": 2}}


def test_no_chapter_at_once_is_refused(capsys):
    assert main(["--at-once", "0"]) == 2
    assert "'--at-once': 0 is not in the range" in capsys.readouterr().err


def png(pixels, **options):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", **options)
    return base64.b64encode(stream.getvalue()).decode()


def pixels_of(text):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB")).astype(int)


def a_plot():
    """Smooth lines and areas of a few colours on white, opaque, as the chapters' figures are."""
    y, x = np.mgrid[0:300, 0:400]
    wave = np.clip(3 - np.abs(y - 150 - 90 * np.sin(x / 40)), 0, 1)[..., None]
    plot = 255 - wave * (255 - np.array([0, 114, 178]))
    plot[220:, 300:] = [213, 94, 0]
    return np.dstack([plot, np.full((300, 400), 255)]).astype(np.uint8)


def test_a_compressed_picture_looks_the_same_and_is_smaller():
    plot = a_plot()
    before = png(plot)
    after = runner._compressed(before)
    assert len(after) < len(before)
    assert pixels_of(after).shape == plot[..., :3].shape
    gap = np.abs(pixels_of(after) - plot[..., :3].astype(int))
    assert gap.max() <= 16
    assert gap.mean() < 0.5
    assert (pixels_of(after)[0, 0] == 255).all()
    assert runner._compressed(after) == after  # so that the same again is the same bytes


def test_a_transparent_picture_stays_transparent_and_looks_the_same():
    plot = a_plot()
    plot[..., 3] = 255 - plot[..., :3].min(axis=2)  # white is clear, and lines are not
    before = png(plot)
    after = runner._compressed(before)
    assert len(after) < len(before)

    def on(ground, picture):
        seen = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGBA")
        return np.asarray(Image.alpha_composite(Image.new("RGBA", seen.size, ground), seen)).astype(int)

    for ground in ("white", "black"):
        gap = np.abs(on(ground, after) - on(ground, before))
        assert gap.max() <= 64
        assert gap.mean() < 1.5


def test_a_picture_that_would_only_grow_stays_as_it_is():
    few = np.zeros((40, 40), np.uint8)
    before = png(few, optimize=True)
    assert runner._compressed(before) == before
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    for pixels in (few, noise):
        before = png(pixels)
        after = runner._compressed(before)
        assert len(after) <= len(before)
        assert pixels_of(after).shape[:2] == pixels.shape[:2]


def test_pictures_of_a_chapter_are_compressed_and_progress_bars_left_out(monkeypatch):
    plot = png(a_plot())
    outputs = [
        v4.new_output("display_data", {"image/png": plot, "text/plain": "a figure"}),
        v4.new_output("stream", text="runs:  50%|#####     | 1/2", name="stderr"),
        v4.new_output("stream", text="a result\n"),
    ]
    cell = v4.new_code_cell("x", outputs=outputs, metadata={"papermill": {"duration": 1}, "execution": {"a": "b"}})
    made = runner._normalise(v4.new_notebook(cells=[cell], metadata={"papermill": {"start": 0}}), {"x": 1})
    (figure, text) = made.cells[0].outputs
    assert figure.data["image/png"] == runner._compressed(plot)
    assert text.text == "a result\n"
    assert (made.cells[0].metadata, made.cells[0]["id"]) == ({}, "cell-0")
    assert set(made.metadata) == {"flexlib"}
