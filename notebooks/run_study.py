"""Run the study's notebooks with papermill: parameters checked, results replaced only by whole ones.

python notebooks/run_study.py --profile quick --out build/quick/results
"""

import argparse
import base64
import io
import json
import re
import sys
from pathlib import Path

import nbformat
import papermill
import yaml
from papermill.exceptions import PapermillExecutionError
from PIL import Image

from flexlib.config import FlexError
from flexlib.runs.provenance import software

NOTEBOOKS = Path(__file__).parent


def run_study(profile, out, dataset=None, chapters=None):
    """Run every chapter of a profile (or those named) into `out`/executed; `dataset` replaces the profile's.

    Returns the executed notebooks' paths. Raises `FlexError` for an unknown profile or chapter, and where a chapter
    fails; the chapters before it are kept.
    """
    profiles = yaml.safe_load((NOTEBOOKS / "profiles.yml").read_text(encoding="utf-8"))
    if profile not in profiles:
        raise FlexError(f"unknown profile '{profile}': known are {', '.join(profiles)}")
    plan = profiles[profile]
    for name in chapters or []:
        if name not in plan:
            raise FlexError(f"profile '{profile}' has no chapter '{name}': it has {', '.join(plan)}")
    names = chapters or list(plan)
    done = []
    for number, name in enumerate(names, 1):
        parameters = dict(plan[name] or {})
        if dataset is not None and "dataset" in papermill.inspect_notebook(str(NOTEBOOKS / f"{name}.ipynb")):
            parameters["dataset"] = dataset
            parameters.pop("records", None)  # which are of the profile's own data
        settings = ", ".join(f"{key}={value}" for key, value in parameters.items())
        print(f"[{number}/{len(names)}] {name} ({settings or 'its defaults'})", flush=True)
        done.append(run_chapter(NOTEBOOKS / f"{name}.ipynb", Path(out) / "executed" / f"{name}.ipynb", parameters))
    return done


def run_chapter(notebook, out, parameters):
    """Execute one notebook with these parameters and put it at `out`, which stays as it was if anything fails.

    Raises `FlexError` for a notebook without a `parameters` cell, for a parameter it does not have, and for a
    cell that fails: then the notebook as far as it came is left beside `out`, as *.failed.ipynb.
    """
    notebook, out = Path(notebook), Path(out)
    if not notebook.is_file():
        raise FlexError(f"{notebook}: no such notebook")
    source = nbformat.read(notebook, as_version=4)
    if not any("parameters" in cell.metadata.get("tags", []) for cell in source.cells):
        raise FlexError(f"{notebook}: no cell is tagged 'parameters'")
    known = papermill.inspect_notebook(str(notebook))
    if "executed" in known:  # a chapter that reads what the others have found
        parameters = {"executed": str(out.parent)} | parameters
    for name in parameters:
        if name not in known:
            raise FlexError(f"{notebook}: no parameter '{name}'; it has {', '.join(known)}")
    out.parent.mkdir(parents=True, exist_ok=True)
    failed = out.with_suffix(".failed.ipynb")
    try:
        papermill.execute_notebook(
            str(notebook), str(failed), parameters=parameters, progress_bar=True,
            extra_arguments=["--IPKernelApp.log_level=40"],  # no note on how the kernel's sockets are secured
        )  # fmt: skip
    except PapermillExecutionError as error:
        raise FlexError(
            f"{notebook}, cell {error.cell_index + 1}: {error.ename}: {error.evalue}; see {failed} ({out} is as it was)"
        ) from None
    executed = nbformat.read(failed, as_version=4)
    executed = _normalise(executed, parameters)
    partial = out.with_suffix(".partial")
    nbformat.write(executed, partial)
    partial.replace(out)
    failed.unlink()
    return out


def _normalise(notebook, parameters):
    """Replace papermill's times and random ids, which differ at each run, by the provenance, which a reader needs."""
    notebook.metadata.pop("papermill", None)
    notebook.metadata["flexlib"] = {"parameters": parameters} | software()
    for number, cell in enumerate(notebook.cells):
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        cell["id"] = f"cell-{number}"
        if "outputs" in cell:  # progress bars are for the one who waits
            for data in (output.get("data", {}) for output in cell.outputs):
                if "image/png" in data:
                    data["image/png"] = _compressed(data["image/png"])
            cell.outputs = [o for o in cell.outputs if not re.fullmatch(r"\s*|.*\d+%\|.*", o.get("text", "-"), re.S)]
    return _renamed_widgets(notebook)


def _renamed_widgets(notebook):
    """The notebook with the random ids of its widgets replaced by places in the order of their use, and without the
    fields that are at their default of none."""
    for states in notebook.metadata.get("widgets", {}).values():
        models, places = states["state"], {}
        for model in models.values():
            model["state"] = {name: value for name, value in model["state"].items() if value is not None}

        def visit(used, models=models, places=places):
            for model in re.findall(r"[0-9a-f]{32}", json.dumps(used, sort_keys=True)):
                if model in models and model not in places:
                    places[model] = f"{len(places):032x}"
                    visit(models[model])

        def renamed(text, places=places, models=models):
            return re.sub(r"[0-9a-f]{32}", lambda at: places.get(at[0], "" if at[0] in models else at[0]), text)

        visit([cell.get("outputs") for cell in notebook.cells])
        # What no output shows: links, and leftovers, those that use others before those that are used.
        others = {model: renamed(json.dumps(models[model])) for model in set(models) - set(places)}
        for model in sorted(others, key=lambda model: ("IPY_MODEL_" not in others[model], others[model])):
            visit(model)
        notebook = nbformat.reads(renamed(nbformat.writes(notebook)), as_version=4)
    return notebook


def _compressed(png):
    """A picture (base64 of a PNG) in 256 colours where that is smaller; one that shows what is behind it stays."""
    small, picture = io.BytesIO(), Image.open(io.BytesIO(base64.b64decode(png)))
    if picture.convert("RGBA").getextrema()[3][0] < 255:
        return png
    picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return min(base64.b64encode(small.getvalue()).decode(), png, key=len)


def main(arguments=None):
    """The command line; returns the exit status (0 done, 2 bad input or a chapter that failed, 130 interrupted)."""
    parser = argparse.ArgumentParser(description="Run the study's notebooks.")
    parser.add_argument("--profile", default="quick", help="a profile of notebooks/profiles.yml (default: quick)")
    parser.add_argument("--dataset", help="instead of the profile's")
    parser.add_argument("--chapter", action="append", help="only this one (may be repeated)")
    parser.add_argument("--out", default="build/quick/results", help="folder of the results (default: %(default)s)")
    args = parser.parse_args(arguments)
    try:
        for path in run_study(args.profile, args.out, args.dataset, args.chapter):
            print(f"wrote {path}")
    except FlexError as error:
        print(f"run_study: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("run_study: interrupted; whole chapters are kept", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
