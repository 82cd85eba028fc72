"""Run the study's notebooks with papermill: parameters checked, results replaced only by whole ones.

python notebooks/run_study.py --profile quick --out build/quick/results
"""

import base64
import contextlib
import io
import itertools
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import click
import nbformat
import papermill
import psutil
import yaml
from flexstudy.chapter import RERUNS, adapt, glued_in
from jupyter_core.utils import ensure_event_loop
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError
from PIL import Image

from flexlib.cli.app import run_app
from flexlib.cli.options import COUNT
from flexlib.config import FlexError
from flexlib.runs.journal import replaced
from flexlib.runs.provenance import software

NOTEBOOKS = Path(__file__).parent


def run_study(
    profile: str,
    out: Path | str,
    dataset: str | None = None,
    chapters: Sequence[str] | None = None,
    at_once: int = 1,
    record: bool = False,
) -> list[Path]:
    """Run every chapter with a profile's parameters.

    Parameters
    ----------
    profile
        A key of `profiles.yml`.
    out
        Folder of the results; chapters go to its folder `executed`.
    dataset
        In place of the profile's.
    chapters
        Names of those to run; by default all, those last that read what the others found.
    at_once
        How many chapters to run at the same time. Those that read what the others found wait for them.
    record
        Whether to keep how many runs each chapter made, and in what time, for the boxes of the chapters.

    Returns
    -------
    list
        Paths of the executed notebooks, in the order of the chapters.

    Raises
    ------
    FlexError
        For an unknown profile or chapter, and where a chapter fails: then those that run beside it are finished, and
        all that are finished are kept.
    KeyboardInterrupt
        When stopped, once the chapters' kernels are.
    """
    profiles = yaml.safe_load((NOTEBOOKS / "profiles.yml").read_text(encoding="utf-8"))
    if profile not in profiles:
        raise FlexError(f"unknown profile '{profile}': known are {', '.join(profiles)}")
    known = chapters_in_order()
    for name in [*(chapters or []), *profiles[profile]]:
        if name not in known:
            raise FlexError(f"there is no chapter '{name}': there are {', '.join(known)}")
    names = list(chapters or (profiles[profile] if record else known))
    done: dict[str, Path] = {}

    def run(name: str) -> str:
        parameters = dict(profiles[profile].get(name) or {})
        if dataset is not None and "dataset" in known[name]:
            parameters["dataset"] = dataset
            parameters.pop("records", None)  # which are of the profile's own data
        settings = ", ".join(f"{key}={value}" for key, value in parameters.items())
        place = f"[{names.index(name) + 1}/{len(names)}] {name}"
        print(f"{place} ({settings or 'its defaults'})\n", end="", flush=True)  # one text, as threads take turns
        used = _cpu_seconds()
        begun, path = time.monotonic(), Path(out) / "executed" / f"{name}.ipynb"
        with contextlib.closing(ensure_event_loop()):  # which papermill leaves open in a thread
            done[name] = run_chapter(NOTEBOOKS / f"{name}.ipynb", path, parameters, bar=at_once == 1)
        if record:
            record_rerun(name, done[name], round(_cpu_seconds() - used))
        return f"{place}: done in {time.monotonic() - begun:.0f} s"

    for _, together in itertools.groupby(names, key=lambda name: "executed" in known[name]):
        # Threads suffice, as each chapter is computed by a kernel, which is a process of its own.
        with ThreadPoolExecutor(at_once) as pool:
            try:
                at_work = {pool.submit(run, name) for name in itertools.islice(together, at_once)}
                while at_work:
                    finished, at_work = wait(at_work, return_when=FIRST_COMPLETED)
                    print(*(future.result() for future in finished), sep="\n", flush=True)
                    at_work |= {pool.submit(run, name) for name in itertools.islice(together, len(finished))}
            except KeyboardInterrupt:
                _kill_kernels()  # which a terminal's Ctrl-C does not reach
                raise
    return [done[name] for name in names]


def record_rerun(chapter: str, executed: Path, seconds: int) -> None:
    """Keep how many runs an executed chapter made, and in how many seconds of one core, beside those of the others."""
    recorded = yaml.safe_load(RERUNS.read_text(encoding="utf-8"))
    runs = int(glued_in(nbformat.read(executed, as_version=4)).get("runs_made", 0))
    recorded[chapter] = {"runs": runs, "seconds": seconds}
    head = "# Written by `run_study.py --profile rerun --record`: what the command of each chapter's box takes.\n"
    with replaced(RERUNS) as partial:
        partial.write_text(head + yaml.safe_dump(recorded), encoding="utf-8")


def _cpu_seconds() -> float:
    """Give the seconds of processor time of all kernels that have ended, and of what they started."""
    ended = os.times()
    return ended.children_user + ended.children_system


def _kill_kernels() -> None:
    """Kill the kernels that this process has started."""
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if any("ipykernel_launcher" in word for word in process.cmdline()):
                process.kill()


def chapters_in_order() -> dict[str, Any]:
    """List the chapters with their parameters: those last that read what the others found (`executed`)."""
    found = {path.stem: papermill.inspect_notebook(str(path)) for path in sorted(NOTEBOOKS.glob("*.ipynb"))}
    return dict(sorted(found.items(), key=lambda item: "executed" in item[1]))


def run_chapter(notebook: Path | str, out: Path | str, parameters: Mapping[str, Any], bar: bool = True) -> Path:
    """Execute one notebook and put it at `out`, which stays as it was if anything fails.

    Parameters
    ----------
    notebook, out
        Paths of the source and of the result.
    parameters
        Values for its parameters.
    bar
        Whether to show a progress bar of its cells.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    FlexError
        For a notebook without a `parameters` cell, for a parameter it does not have, and for a cell that fails: then
        the notebook as far as it came is left beside `out`, as *.failed.ipynb.
    """
    notebook, out = Path(notebook), Path(out)
    if not notebook.is_file():
        raise FlexError(f"{notebook}: no such notebook")
    source = nbformat.read(notebook, as_version=4)
    if not any("parameters" in cell.metadata.get("tags", []) for cell in source.cells):
        raise FlexError(f"{notebook}: no cell is tagged 'parameters'")
    known = papermill.inspect_notebook(str(notebook))
    if "executed" in known:  # a chapter that reads what the others have found
        parameters = {"executed": str(out.parent)} | dict(parameters)
    for name in parameters:
        if name not in known:
            raise FlexError(f"{notebook}: no parameter '{name}'; it has {', '.join(known)}")
    out.parent.mkdir(parents=True, exist_ok=True)
    failed = out.with_suffix(".failed.ipynb")
    try:
        papermill.execute_notebook(
            str(notebook),
            str(failed),
            parameters=parameters,
            progress_bar=bar,
            extra_arguments=["--IPKernelApp.log_level=40"],  # no note on how the kernel's sockets are secured
        )
    except PapermillExecutionError as error:
        raise FlexError(
            f"{notebook}, cell {error.cell_index + 1}: {error.ename}: {error.evalue}; see {failed} ({out} is as it was)"
        ) from None
    executed = nbformat.read(failed, as_version=4)
    executed = _normalise(adapt(executed, notebook.stem), parameters)
    partial = out.with_suffix(".partial")
    nbformat.write(executed, partial)
    partial.replace(out)
    failed.unlink()
    return out


def _normalise(notebook: NotebookNode, parameters: Mapping[str, Any]) -> NotebookNode:
    """Replace papermill's times and random ids, which differ at each run, by the provenance, which a reader needs."""
    notebook.metadata.pop("papermill", None)
    notebook.metadata["flexlib"] = {"parameters": dict(parameters)} | software()
    for number, cell in enumerate(notebook.cells):
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        cell["id"] = f"cell-{number}"
        if "outputs" in cell:  # progress bars are for the one who waits
            for data in (output.get("data", {}) for output in cell.outputs):
                if "image/png" in data:
                    data["image/png"] = _compressed(data["image/png"])
            cell.outputs = [o for o in cell.outputs if not re.fullmatch(r"\s*|.*\d+%\|.*", o.get("text", "-"), re.S)]
    return notebook


def _compressed(png: str) -> str:
    """Reduce a picture (base64 of a PNG) to 256 colours where that is smaller."""
    small, picture = io.BytesIO(), Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA")
    is_opaque = picture.getextrema()[3][0] == 255
    method = Image.Quantize.MEDIANCUT if is_opaque else Image.Quantize.FASTOCTREE  # which alone takes transparency
    picture = picture.convert("RGB") if is_opaque else picture
    picture.quantize(256, method=method, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return min(base64.b64encode(small.getvalue()).decode(), png, key=len)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--profile", default="quick", help="a profile of notebooks/profiles.yml")
@click.option("--dataset", help="instead of the profile's")
@click.option("--chapter", "chapters", multiple=True, help="only this one (may be repeated)")
@click.option("--at-once", type=COUNT, default=1, help="chapters run at the same time")
@click.option("--record", is_flag=True, help="keep runs and seconds for the chapters' boxes")
@click.option("--out", default="build/quick/results", help="folder of the results")
def command(profile: str, dataset: str | None, chapters: tuple[str, ...], at_once: int, record: bool, out: str) -> None:
    """Run the study's notebooks; whole chapters are kept, whatever becomes of the others."""
    if at_once > 1:
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the kernels, which would compete for the same cores
    for path in run_study(profile, out, dataset, chapters, at_once, record):
        print(f"wrote {path}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns
    -------
    int
        Exit status: 0 done, 2 bad input or a chapter that failed, 130 interrupted.
    """
    return run_app(command, "run_study", arguments)


if __name__ == "__main__":
    sys.exit(main())
