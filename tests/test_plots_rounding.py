"""The figures of rounding: that they draw what they are given, and say what it is."""

import pandas as pd
import pytest
from drawings import NAN, legend, ticks
from flexstudy.lists import (
    AT_RANDOM,
    TO_THE_MORE_RATED,
    UNROUNDED_AT_RANDOM,
    UNROUNDED_TO_THE_MORE_RATED,
)
from flexstudy.plans import NOT_ROUNDED, ROUNDED
from flexstudy.rounding import RMSE_STEPS, plot_coverage, plot_rmse_changes

pytestmark = pytest.mark.usefixtures("drawn")
CHANGES = {"clipped": -0.001, "grid": 0.012, "random": 0.011, "refeeding": 0.007}


def changes(**changed):
    numbers = {f"rmse_{kind}_change": change for kind, change in CHANGES.items()}
    numbers |= {f"rmse_{kind}_low": change - 0.002 for kind, change in CHANGES.items()}
    numbers |= {f"rmse_{kind}_high": change + 0.003 for kind, change in CHANGES.items()}
    return numbers | {"rmse_expected": 0.0115} | changed


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_changes_of_the_rmse_have_their_values_and_intervals():
    (ax,) = plot_rmse_changes(changes(), "here").axes
    assert ticks(ax.yaxis) == list(RMSE_STEPS.values())
    assert ax.yaxis_inverted()
    assert texts(ax) == ["-0.0010", "+0.0120", "+0.0110", "+0.0070"]
    assert ax.get_title(loc="left") == "Prediction rounding raises the RMSE by 0.011 stars\nhere"
    bars = [held.lines[2][0].get_segments()[0] for held in ax.containers]
    assert [[end[0] for end in bar] for bar in bars] == [
        pytest.approx([change - 0.002, change + 0.003]) for change in CHANGES.values()
    ]
    (stroke,) = (line for line in ax.get_lines() if line.get_marker() == "|" and line.get_label() in legend(ax))
    assert stroke.get_xydata().tolist() == [[0.0115, 1]]


def test_a_change_that_is_unknown_is_not_drawn():
    unknown = {f"rmse_refeeding_{part}": NAN for part in ("change", "low", "high")}
    (ax,) = plot_rmse_changes(changes(rmse_random_change=-0.001, rmse_random_low=-0.002, **unknown), "here").axes
    assert len(texts(ax)) == 3
    assert ax.get_title(loc="left").startswith("Prediction rounding lowers the RMSE by 0.001 stars")


def coverage_table():
    kinds = [UNROUNDED_AT_RANDOM, AT_RANDOM, UNROUNDED_TO_THE_MORE_RATED, TO_THE_MORE_RATED]
    rows = [
        {"setting": name, "rows": rows, "role": role, "kind": kind, "measure": "coverage", "value": base + place / 100}
        for name, rows, role, base in (
            ("a", "user-based", "no re-feeding", 0.01),
            ("b", "item-based", NOT_ROUNDED, 0.02),
            ("b", "item-based", ROUNDED, 0.9),
            ("c", "item-based", "no re-feeding", 0.04),
        )
        for place, kind in enumerate(kinds)
    ]
    return pd.DataFrame(rows)


def test_coverage_is_drawn_by_kind_of_list_and_pivot_without_rounded_re_feeding():
    (ax,) = plot_coverage(coverage_table(), "here").axes
    labels = [" ".join(text.split()) for text in ticks(ax.yaxis)]
    assert labels == [UNROUNDED_AT_RANDOM, AT_RANDOM, UNROUNDED_TO_THE_MORE_RATED, TO_THE_MORE_RATED]
    assert legend(ax) == ["user-based", "item-based"]
    dots = [line.get_xdata().tolist() for line in ax.get_lines() if line.get_marker() in "os"]
    assert dots == [pytest.approx(own) for k in range(4) for own in ([1.0 + k], [2.0 + k, 4.0 + k])]
    assert texts(ax) == ["1.0 %", "3.0 %", "2.0 %", "4.0 %", "3.0 %", "5.0 %", "4.0 %", "6.0 %", "mean"]
    assert "cover 3.3 % of the catalogue with ties at random,\n5.3 % with" in ax.get_title(loc="left")
    assert ax.get_xscale() == "log"


def test_coverage_of_one_pivot_alone():
    (ax,) = plot_coverage(coverage_table().query("rows == 'item-based'"), "here").axes
    assert legend(ax) == ["item-based"]
