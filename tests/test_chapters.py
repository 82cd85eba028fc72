"""The wrapper around papermill: what it refuses, and that a result is replaced by a whole one only."""

import nbformat
import pytest
import run_study as runner
import yaml
from nbformat import v4
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
    refused(lambda: run_study("quick", "out", chapters=["b"]), "'b'", "it has a")
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


def test_a_profile_may_say_where_the_others_are(tmp_path, monkeypatch):
    made_study(tmp_path, monkeypatch, {"b": {"executed": "elsewhere"}}, b="executed = 'results/executed'")
    (path,) = run_study("quick", "out")
    assert printed(path) == "elsewhere"
