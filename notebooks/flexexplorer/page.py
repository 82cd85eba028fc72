"""What a page shows of recorded runs without a kernel: controls, and the picture of what they are set to.

A widget here holds a picture for every position of its controls and shows one of them, which a built page can do by
itself.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import pandas as pd
from flexstudy.plans import EXPLORED, GRIDS
from IPython.display import HTML

from flexexplorer import pictures
from flexexplorer.recorded import (
    Courses,
    cell_picture,
    curve_picture,
    histogram_picture,
    list_picture,
    spell_value,
    users_of,
)
from flexlib.config import FlexConfig

LABELS = {name: f"{name.replace('_', ' ')} ({known.abbreviation})" for name, known in FlexConfig.parameters().items()}

Options = Sequence[tuple[str, Any]]  # pairs of a text and the value that it stands for


def wide() -> dict[str, Any]:
    """Give the options of a control that has room for its label, and is no wider than a phone."""
    return {"style": {"description_width": "15rem"}, "layout": widgets.Layout(width="min(100%, 32rem)")}


def page_setup() -> HTML:
    """Make the style of what follows, and the script that names sliders for screen readers: to be displayed once."""
    style, script = (Path(__file__).with_name(f"widgets.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    return HTML(f"<style>{style}</style><script>{script}</script>")


def note_in_place() -> HTML:
    """Say, where the live explorer would be, how to see it."""
    return HTML(
        pictures.paragraph(
            "The controls are here when notebooks/explore.ipynb is opened in Jupyter, and with make explore."
        )
    )


def linked_pictures(options: Mapping[str, Options], picture: Callable[..., str], chosen: Sequence[Any]) -> widgets.VBox:
    """Make controls, and the picture of what they are set to.

    Parameters
    ----------
    options
        Label of each control to what it offers. It is a slider where all values are numbers, else a drop-down.
    picture
        Called with a value of each control, for every combination; returns HTML.
    chosen
        Value of each control at first.

    Returns
    -------
    VBox
        The controls, then the pictures in nested stacks, the last control's innermost.
    """
    controls = [
        _make_control(label, values, first) for (label, values), first in zip(options.items(), chosen, strict=True)
    ]
    layout, style = widgets.Layout(width="100%", height="auto"), widgets.HTML().style

    def stack(*values: Any) -> widgets.Widget:
        if len(values) == len(controls):
            return widgets.HTML(picture(*values), layout=layout, style=style)
        control = controls[len(values)]
        children = [stack(*values, value) for _, value in control.options]
        shown = widgets.Stack(children, selected_index=control.index, layout=layout)
        widgets.jslink((control, "index"), (shown, "selected_index"))
        return shown

    shown = stack()
    for name in ("explorer-picture", "explorer-live"):
        shown.add_class(name)
    whole = widgets.VBox([*controls, shown], layout=layout)
    whole.add_class("explorer")
    return whole


def _make_control(label: str, values: Options, first: Any) -> widgets.Widget:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for _, value in values)
    kind = widgets.SelectionSlider if numbers else widgets.Dropdown
    return kind(options=values, value=first, description=label, tooltip=label, **wide())


def grid_explorer(table: pd.DataFrame, grid: str, random: pd.DataFrame | None = None) -> widgets.VBox:
    """Make controls for a grid's parameters, over the pictures of its cells.

    Parameters
    ----------
    table
        Of `flexexplorer.recorded.grid_table`.
    grid
        A key of `flexstudy.plans.GRIDS`.
    random
        As in `flexexplorer.recorded.cell_picture`.
    """
    levels, base = GRIDS[grid], FlexConfig.preset(EXPLORED)
    options = {LABELS[name]: [(spell_value(name, value), value) for value in values] for name, values in levels.items()}
    chosen = [getattr(base, name) for name in levels]
    return linked_pictures(options, lambda *cell: cell_picture(table, cell, random), chosen)


def curve_explorer(courses: Courses) -> widgets.VBox:
    """Make a control for the preset, over its learning curves."""
    options = {"preset": _preset_options(courses)}
    return linked_pictures(options, lambda preset: curve_picture(courses, preset), [_first_preset(courses)])


def histogram_explorer(courses: Courses) -> widgets.VBox:
    """Make controls for the preset and for prediction rounding, over histograms of predicted ratings."""
    options = {"preset": _preset_options(courses), LABELS["prediction_rounding"]: [("off", False), ("on", True)]}
    chosen = [_first_preset(courses), False]
    return linked_pictures(options, lambda *values: histogram_picture(courses, *values), chosen)


def list_explorer(courses: Courses) -> widgets.VBox:
    """Make controls for the preset and the user, over what is recommended."""
    users = [(f"user {user}", user) for user in users_of(courses)] or [("none", "")]
    options = {"preset": _preset_options(courses), "user": users}
    chosen = [_first_preset(courses), users[0][1]]
    return linked_pictures(options, lambda *values: list_picture(courses, *values), chosen)


def one_list(courses: Courses) -> HTML:
    """Show what the list explorer shows at first, as a table that needs no script."""
    user = next(iter(users_of(courses)), "")
    return HTML(f"<div class='explorer-picture'>{list_picture(courses, _first_preset(courses), user)}</div>")


def _preset_options(courses: Courses) -> Options:
    return [(name, name) for name in dict.fromkeys(preset for preset, _ in courses)]


def _first_preset(courses: Courses) -> str:
    return EXPLORED if (EXPLORED, "holdout") in courses else next(iter(courses))[0]
