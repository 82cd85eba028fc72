"""Controls linked to pictures, as a page without a kernel has them."""

import itertools
from pathlib import Path

import ipywidgets
import numpy as np
import pytest
from conftest import SMALL, records_of
from explorer_records import course_records, random_records
from flexexplorer import page, pictures, recorded
from flexstudy.plans import EXPLORED, GRIDS, explore, grid_cells
from markup import parsed, rows

from flexlib.config import FlexConfig


@pytest.fixture(autouse=True)
def no_widgets_left():
    yield
    ipywidgets.Widget.close_all()


@pytest.fixture
def links(monkeypatch):
    """The links that are made, which a page's script follows: pairs of (widget, trait)."""
    made, link = [], ipywidgets.jslink

    def record(source, target):
        made.append((source, target))
        return link(source, target)

    monkeypatch.setattr(page.widgets, "jslink", record)
    return made


def set_to(whole, links, places):
    """Set each control to the value at a place, and what is linked to it as a page's script would."""
    *controls, shown = whole.children
    for control, place in zip(controls, places, strict=True):
        control.index = place
    for (source, trait), (target, other) in links:
        setattr(target, other, getattr(source, trait))
    return visible(shown)


def visible(shown):
    while isinstance(shown, ipywidgets.Stack):
        shown = shown.children[shown.selected_index]
    return shown.value


OPTIONS = {
    "rate": [("0.1", 0.1), ("0.5", 0.5), ("1", 1)],
    "name": [("one", "a"), ("other", "b")],
    "switch": [("off", False), ("on", True)],
    "sizes": [("8", (8,)), ("8 4", (8, 4))],
}


def test_what_is_seen_is_the_picture_of_what_the_controls_are_set_to(links):
    whole = page.linked_pictures(OPTIONS, lambda *values: pictures.paragraph(repr(values)), [0.5, "b", False, (8, 4)])
    *controls, shown = whole.children
    assert [type(control) for control in controls] == [ipywidgets.SelectionSlider, *[ipywidgets.Dropdown] * 3]
    assert [control.description for control in controls] == list(OPTIONS)
    # At first, before any link has acted
    assert tuple(control.value for control in controls) == (0.5, "b", False, (8, 4))
    assert visible(shown) == pictures.paragraph(repr((0.5, "b", False, (8, 4))))
    assert len(links) == 1 + 3 + 3 * 2 + 3 * 2 * 2
    seen = set()
    for places in itertools.product(*(range(len(values)) for values in OPTIONS.values())):
        expected = tuple(values[place][1] for values, place in zip(OPTIONS.values(), places, strict=True))
        seen.add(set_to(whole, links, places))
        assert visible(shown) == pictures.paragraph(repr(expected))
        assert tuple(control.value for control in controls) == expected
    assert len(seen) == 3 * 2 * 2 * 2


@pytest.mark.parametrize(
    ("grid", "sliders"),
    [
        ("settings", 0),
        ("learning_rate", 1),
        ("hidden_layers", 0),
        ("dropout", 2),
        ("refeeding", 1),
    ],
)
def test_a_grids_controls_show_the_picture_of_every_cell(grid, sliders, links):
    cells = list(grid_cells(grid).values())
    records = records_of(explore(SMALL, 1, grids=[grid]), lambda k, protocol: 0.8 + k / 500)
    table, random = recorded.grid_table(records, grid), random_records() if grid == "settings" else None
    whole = page.grid_explorer(table, grid, random)
    *controls, shown = whole.children
    assert sum(isinstance(control, ipywidgets.SelectionSlider) for control in controls) == sliders
    assert sum(isinstance(control, ipywidgets.Dropdown) for control in controls) == len(GRIDS[grid]) - sliders
    base = FlexConfig.preset(EXPLORED)
    first = tuple(getattr(base, name) for name in GRIDS[grid])
    assert visible(shown) == recorded.cell_picture(table, first, random)
    places = list(itertools.product(*(range(len(values)) for values in GRIDS[grid].values())))
    for place in places[:: 1 + len(places) // 20]:
        cell = tuple(values[k] for values, k in zip(GRIDS[grid].values(), place, strict=True))
        assert set_to(whole, links, place) == recorded.cell_picture(table, cell, random)
        text = f"{0.8 + cells.index(base.replace(**dict(zip(GRIDS[grid], cell, strict=True)))) / 500:.3f}, n = 1"
        assert visible(shown).count(f": {text}<") == 2
    for name, control in zip(GRIDS[grid], controls, strict=True):
        short = next(row["abbreviation"] for row in base.describe() if row["parameter"] == name)
        assert control.description == f"{name.replace('_', ' ')} ({short})"


def test_the_presets_curves_histograms_and_lists(links):
    courses = recorded.read_courses(course_records())
    presets = ["table2:1", "table2:7", "deeprec", "cfn"]
    made = {
        page.curve_explorer: lambda preset: recorded.curve_picture(courses, preset),
        page.histogram_explorer: lambda preset, on: recorded.histogram_picture(courses, preset, on),
        page.list_explorer: lambda preset, user: recorded.list_picture(courses, preset, user),
    }
    others = {page.curve_explorer: [], page.histogram_explorer: [[False, True]], page.list_explorer: [["5", "9"]]}
    for make, picture in made.items():
        links.clear()
        whole = make(courses)
        values = [presets, *others[make]]
        assert visible(whole.children[-1]) == picture("table2:1", *(other[0] for other in others[make]))
        for places in itertools.product(*(range(len(options)) for options in values)):
            chosen = [options[place] for options, place in zip(values, places, strict=True)]
            assert set_to(whole, links, places) == picture(*chosen)


def test_courses_of_which_none_ended_well_are_told_so():
    records = course_records().assign(status="skipped", details="", rmse=np.nan)
    courses = recorded.read_courses(records)
    for make in (page.curve_explorer, page.histogram_explorer, page.list_explorer):
        assert "left out for the cost" in visible(make(courses).children[-1])


def test_a_list_without_controls_is_what_the_list_explorer_shows_at_first():
    courses = recorded.read_courses(course_records())
    (part,) = parsed(page.one_list(courses).data)
    assert (part.tag, part.get("class")) == ("div", "explorer-picture")
    assert visible(page.list_explorer(courses).children[-1]) in page.one_list(courses).data
    assert rows(part)[0] == ["1", "A film (4.32)", "A film (4.32)"]
    none = recorded.read_courses(course_records().assign(status="skipped", details="", rmse=np.nan))
    assert rows(parsed(page.one_list(none).data)) == [["1", *["left out for the cost"] * 2]]


def test_what_a_page_needs_is_there():
    html = page.page_setup().data
    assert html.count("<style>") == html.count("<script>") == 1
    assert ".explorer" in html
    assert "make explore" in page.note_in_place().data
    assert (Path(page.__file__).parents[1] / "explore.ipynb").exists()
    assert "notebooks/explore.ipynb" in page.note_in_place().data
