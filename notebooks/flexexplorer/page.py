"""What the explorer's parts share: names of parameters, the style, and places where scripts draw what was recorded.

A page without a kernel can show what its own data hold, so these stand in it.
"""

import json
from pathlib import Path
from typing import Any

import ipywidgets as widgets
from IPython.display import HTML

from flexexplorer import pictures
from flexlib.config import FlexConfig

LABELS = {name: f"{name.replace('_', ' ')} ({known.abbreviation})" for name, known in FlexConfig.parameters().items()}


def wide() -> dict[str, Any]:
    """Give the options of a control that has room for its label, and is no wider than a phone."""
    return {"style": {"description_width": "15rem"}, "layout": widgets.Layout(width="min(100%, 32rem)")}


def page_setup() -> HTML:
    """Make the style of what follows, and the script that names sliders for screen readers: to be displayed once."""
    return HTML(f"<style>{_text_of('widgets.css')}</style><script>{_text_of('widgets.js')}</script>")


def scripted(name: str, data: dict[str, Any], fallback: str) -> HTML:
    """Make a place in which a script draws.

    Parameters
    ----------
    name
        The place has the class `NAME-explorer`, and the script is `NAME.js`, which uses what `draw.js` has.
    data
        Plain values for JSON, which stand in the place.
    fallback
        What a reader without scripts is told.
    """
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    place = f"{pictures.paragraph(fallback)}<script type='application/json'>{text}</script>"
    scripts = "".join(f"<script>{_text_of(script)}</script>" for script in ("draw.js", f"{name}.js"))
    return HTML(f"<div class='{name}-explorer'>{place}</div>{scripts}")


def _text_of(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def note_in_place() -> HTML:
    """Say, where the live explorer would be, how to see it."""
    return HTML(
        pictures.paragraph(
            "The controls are here when notebooks/explore.ipynb is opened in Jupyter, and with make explore."
        )
    )
