"""The drawings of the chapters: that they draw what they are given, say what it is, and are drawn without a warning."""

import math

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from flexexplorer.recorded import plot_courses, plot_grid, plot_histograms
from flexstudy.accuracy import plot_baselines, plot_steps, plot_thinned
from flexstudy.best import plot_ablation, plot_search
from flexstudy.claims import VERDICTS, plot_verdicts
from flexstudy.correlation import (
    plot_claims,
    plot_correlations_with_rmse,
    plot_dependence,
    plot_importance,
    plot_two_matrices,
)
from flexstudy.generalization import plot_ranks
from flexstudy.methods import plot_methods
from flexstudy.plans import STEPS
from flexstudy.rounding import LIST_COLOURS, plot_list_changes
from flexstudy.style import COLOURS, use_style, words_of
from flexstudy.top10 import plot_own_ten, plot_sets, plot_traits
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

mpl.use("agg")
NAN = math.nan


@pytest.fixture(autouse=True)
def drawn():
    """The chapters' style, and every figure rendered once, which is when much of what is wrong is warned of."""
    with mpl.rc_context():
        use_style()
        yield
        for number in mpl.pyplot.get_fignums():
            mpl.pyplot.figure(number).canvas.draw()
        mpl.pyplot.close("all")


def marks(ax):
    """What is drawn with error bars: the word to x, y, the ends of the bars, and the colour."""
    found = {}
    for held in ax.containers:
        if isinstance(held, mpl.container.ErrorbarContainer):
            line, _, bars = held.lines
            spans = [segment.tolist() for bar in bars for segment in bar.get_segments()]
            x, y = line.get_data() if line else ([], [])
            found[held.get_label()] = (list(x), list(y), spans, to_hex(bars[0].get_color()[0]) if bars else None)
    return found


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def lines(ax, label):
    return [line for line in ax.get_lines() if line.get_label() == label]


RELEASED, HOLDOUT = "released code (leaks)", "held-out ratings (leak-free)"
SUMMARY = pd.DataFrame(
    [(0, "released", 3, 0.8, 0.7, 0.9), (0, "described", 1, 0.85, NAN, NAN), (0, "holdout", 3, 0.95, 0.9, 1.0),
     (1, "released", 0, NAN, NAN, NAN), (1, "described", 3, 0.9, 0.8, 1.0), (1, "holdout", 3, 1.0, 0.9, 1.1)],
    columns=["setting", "protocol", "n", "mean", "low", "high"],
)  # fmt: skip


def test_sets_are_drawn_with_their_intervals_beside_the_papers_numbers():
    figure = plot_sets(SUMMARY, np.array([0.83, NAN]), "A title\nof two lines")
    (ax,) = figure.axes
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("RMSE (stars)", "parameter set")
    assert ax.get_title(loc="left") == "A title\nof two lines"
    found = marks(ax)
    x, y, spans, colour = found[HOLDOUT]
    assert x == [0.95, 1.0]
    assert y == pytest.approx([1.22, 2.22])
    assert [[end[0] for end in span] for span in spans] == [pytest.approx([0.9, 1.0]), pytest.approx([0.9, 1.1])]
    assert colour == COLOURS["holdout"].lower()
    # A set that never ended well has no mark, and one split no interval.
    assert found[RELEASED][0] == [0.8]
    assert [end[0] for end in found["paper's text (leaks means)"][2][0]] == [0.85, 0.85]
    (cross,) = lines(ax, "printed in the paper")
    np.testing.assert_equal(cross.get_xydata(), [[0.83, 1], [NAN, 2]])
    assert set(legend(ax)) == {RELEASED, "paper's text (leaks means)", HOLDOUT, "printed in the paper"}
    assert ax.get_yticks().tolist() == [1, 2]
    assert ax.yaxis_inverted()


def test_sets_without_published_numbers_have_lines_of_reference():
    only = SUMMARY[SUMMARY["protocol"] == "holdout"]
    ax = plot_sets(only, np.array([NAN, NAN]), "t", reference={"a mean": (0.97, "released")}).axes[0]
    assert set(legend(ax)) == {HOLDOUT, "a mean"}
    (line,) = lines(ax, "a mean")
    assert list(line.get_xdata()) == [0.97, 0.97]
    assert line.get_color() == COLOURS["released"]
    assert marks(ax)[HOLDOUT][1] == [1, 2]
    lost = SUMMARY.assign(n=0, mean=NAN, low=NAN, high=NAN)
    assert "elsewhere" in legend(plot_sets(lost, np.array([0.8, 0.9]), "t", "elsewhere").axes[0])


def own_ten_table(groups=("released", "holdout")):
    rows = []
    for group in groups:
        for place in (1, 2, 3):
            rmse = 0.8 + place / 100 + (group == "holdout") / 10
            known = {"chosen_under": group, "place": place, "chosen_by": rmse, "other_half": rmse + 0.01, "n": 2}
            rows.append(known | {"mean": rmse + 0.02, "low": rmse, "high": rmse + 0.04})
    rows[-1] |= {"n": 0, "mean": NAN, "low": NAN, "high": NAN}
    return pd.DataFrame(rows)


def test_our_own_ten_have_three_marks_each():
    table = own_ten_table()
    figure = plot_own_ten(table, "here")
    above, below = figure.axes
    assert figure._suptitle.get_text().endswith("here")
    assert [ax.get_ylabel() for ax in figure.axes] == ["place", "place"]
    assert below.get_xlabel() == "RMSE (stars)"
    for ax, (name, word) in zip(figure.axes, (("released", RELEASED), ("holdout", HOLDOUT)), strict=True):
        own = table[table["chosen_under"] == name]
        assert word in ax.get_title(loc="left")
        for label, column in (("the half that chose them", "chosen_by"), ("the other half", "other_half")):
            (line,) = lines(ax, label)
            assert line.get_xydata().tolist() == own[[column, "place"]].to_numpy().tolist()
        assert lines(ax, "the other half")[0].get_color() == COLOURS[name]
        x, _, spans, colour = marks(ax)["new splits, n = 2"]
        np.testing.assert_equal(x, own["mean"].tolist())
        assert [end[0] for end in spans[0]] == pytest.approx(own[["low", "high"]].iloc[0].tolist())
        assert colour == COLOURS[name].lower()
        assert set(legend(ax)) == {"the half that chose them", "the other half", "new splits, n = 2"}
        assert ax.yaxis_inverted()
    assert len(plot_own_ten(own_ten_table(["holdout"]), "here").axes) == 1
    assert above.get_yticks().tolist() == [1, 2, 3]


def test_traits_are_bars_of_ten_with_marks_of_what_chance_gives():
    groups = {"the paper's ten": "paper", "our ten, released": "released", "our ten, holdout": "holdout"}
    table = pd.DataFrame([
        {"trait": trait, "group": group, "count": count + place, "n": 10 if place < 2 else 5, "base": 0.1 * (place + 1)}
        for place, group in enumerate(groups) for trait, count in (("one (A)", 1), ("two (B)", 2))
    ])  # fmt: skip
    (ax,) = plot_traits(table, "here").axes
    assert ax.get_xlabel() == "of ten"
    assert ticks(ax.yaxis) == ["one\n(A)", "two\n(B)"]
    bars = {held.get_label(): held.patches for held in ax.containers}
    # Of five, three and four are as six and eight of ten.
    assert {word: [bar.get_width() for bar in own] for word, own in bars.items()} == {
        "the paper's ten": [1, 2], "our ten, released": [2, 3], "our ten, holdout": [6, 8],
    }  # fmt: skip
    for word, name in groups.items():
        assert to_hex(bars[word][0].get_facecolor()) == COLOURS[name].lower()
    chance = [line for line in ax.get_lines() if line.get_marker() == "|"]
    assert [line.get_xdata().tolist() for line in chance] == [pytest.approx([k, k]) for k in (1, 2, 3)]
    for line, held in zip(chance, ax.containers, strict=True):
        assert line.get_ydata() == pytest.approx([bar.get_y() + bar.get_height() / 2 for bar in held.patches])
    assert sorted(legend(ax)) == sorted([*groups, "expected by chance"])


def steps_table(name="table2:1"):
    rows, start = [], 0.8
    for place, step in enumerate(STEPS):
        change = 0.1 if place == 0 else 0.01 * (-1) ** place
        rows.append({"set": name, "step": step, "n": 3, "start": start, "rmse": start + change, "change": change,
                     "low": change - 0.005, "high": change + 0.005})  # fmt: skip
        start += change
    return pd.DataFrame(rows)


def test_steps_are_a_waterfall_from_released_to_leak_free():
    steps = pd.concat([steps_table(), steps_table("table2:7"), steps_table("table2:9")])
    figure = plot_steps(steps, ["table2:1", "table2:7"], STEPS, "here")
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["table2:1, n = 3 splits", "table2:7, n = 3 splits"]
    assert figure.axes[-1].get_xlabel() == "RMSE (stars)"
    own = steps_table()
    for ax in figure.axes:
        bars = [bar for held in ax.containers if isinstance(held, mpl.container.BarContainer) for bar in held]
        bars = sorted(bars, key=lambda bar: bar.get_y())
        assert (bars[0].get_x(), bars[0].get_width()) == (0, 0.8)
        assert bars[-1].get_width() == pytest.approx(own["rmse"].iloc[-1])
        assert [bar.get_width() for bar in bars[1:-1]] == pytest.approx(own["change"].tolist())
        assert [bar.get_x() for bar in bars[1:-1]] == pytest.approx(own["start"].tolist())
        worse = [to_hex(bar.get_facecolor()) == COLOURS["means"].lower() for bar in bars[1:-1]]
        assert worse == (own["change"] > 0).tolist()
        (spans,) = [spans for _, _, spans, _ in marks(ax).values()]
        assert [end[0] for end in spans[0]] == pytest.approx([0.895, 0.905])
        words = [" ".join(text.split()) for text in ticks(ax.yaxis)]
        assert words == [RELEASED, *STEPS.values(), HOLDOUT]
        texts = [text.get_text() for text in ax.texts]
        assert texts == ["0.800", *(f"{change:+.3f}" for change in own["change"]), f"{own['rmse'].iloc[-1]:.3f}"]
        low, high = ax.get_xlim()
        assert low < 0.8 < 0.91 < high
    assert len(plot_steps(steps, ["table2:9"], STEPS, "here").axes) == 1


def test_a_network_and_none_are_drawn_with_and_without_the_leak():
    table = pd.DataFrame([
        {"predictor": name, "fitted_on": on, "n": 3, "mean": rmse, "low": rmse - 0.01, "high": rmse + 0.01}
        for on, shift in (("training ratings", 0.1), ("all ratings", 0))
        for name, rmse in (("FlexEncoder", 0.8 + shift), ("user and item biases", 0.85 + shift))
    ])  # fmt: skip
    (ax,) = plot_baselines(table, "here").axes
    assert ax.get_xlabel() == "RMSE (stars)"
    assert ticks(ax.yaxis) == ["FlexEncoder", "user\nand item biases"]
    found = marks(ax)
    for word, shift, name in (
        ("means over all ratings (leaks)", 0, "released"), ("means over training ratings", 0.1, "holdout")
    ):  # fmt: skip
        x, _, spans, colour = found[word]
        assert x == pytest.approx([0.8 + shift, 0.85 + shift])
        assert [end[0] for end in spans[1]] == pytest.approx([0.84 + shift, 0.86 + shift])
        assert colour == COLOURS[name].lower()
    assert set(legend(ax)) == set(found)
    assert [text.get_text() for text in ax.texts] == ["0.800", "0.850", "0.900", "0.950"]
    one = plot_baselines(table.assign(n=1, low=NAN, high=NAN), "here").axes[0]
    assert [text.xy[0] for text in one.texts] == pytest.approx([0.8, 0.85, 0.9, 0.95])
    assert "n = 1" in one.get_title(loc="left")


PREDICTORS = ("released", "closed", "holdout", "oracle", "item mean, all ratings", "item mean, training ratings")


def thin_table(half=0.02):
    table = pd.DataFrame([
        {"ratings": size, "floor": floor, "predictor": name, "n": 2, "mean": 0.6 + place / 10 + size / 1e5}
        for size, floor in ((2000, 0.75), (500, 0.7)) for place, name in enumerate(PREDICTORS)
    ])  # fmt: skip
    return table.assign(low=table["mean"] - half, high=table["mean"] + half)


def test_thinned_data_have_a_line_a_predictor_and_the_floor():
    (ax,) = plot_thinned(thin_table(), "table2:1").axes
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("ratings in the data (log)", "RMSE (stars)")
    assert ax.get_xscale() == "log"
    assert ticks(ax.xaxis) == ["2,000", "500"]
    words = legend(ax)
    assert len(words) == 7
    assert words[0] == f"table2:1, {RELEASED}"
    for place, name in ((0, "released"), (1, "closed"), (2, "holdout")):
        (line,) = [line for line in ax.get_lines() if to_hex(line.get_color()) == COLOURS[name].lower()
                   and line.get_linestyle() == "-"]  # fmt: skip
        assert line.get_xydata().ravel().tolist() == pytest.approx([2000, 0.62 + place / 10, 500, 0.605 + place / 10])
    (floor,) = lines(ax, "noise floor")
    assert floor.get_xydata().tolist() == [[2000, 0.75], [500, 0.7]]
    low, high = ax.get_ylim()
    assert low < 0.605 < 1.12 < high
    assert len(plot_thinned(thin_table(NAN), "table2:1").axes) == 1


def test_thinned_data_are_drawn_from_a_little_below_the_lowest_rmse():
    """A difference is in the table too, and no RMSE."""
    less = {"ratings": 500, "floor": 0.7, "predictor": "released less oracle", "n": 2, "mean": -0.1, "low": -0.2}
    table = pd.concat([thin_table(), pd.DataFrame([less | {"high": 0.0}])], ignore_index=True)
    with_it, without = (plot_thinned(drawn, "table2:1").axes[0].get_ylim() for drawn in (table, thin_table()))
    assert with_it == without


def matrices():
    names = ["A", "B", "RMSE"]
    upper = pd.DataFrame([[1, 0.5, -0.6], [0.5, 1, 0.004], [-0.6, 0.004, 1]], names, names)
    return upper, (upper * -0.5).loc[names[::-1], names[::-1]]  # in another order


def test_two_matrices_share_a_square_each_on_its_side():
    upper, lower = matrices()
    figure = plot_two_matrices(upper, lower, ("first", "second"), "Both", [("A", "RMSE")])
    ax, bar = figure.axes
    shown = ax.images[0].get_array()
    expected = [[NAN, 0.5, -0.6], [-0.25, NAN, 0.004], [0.3, -0.002, NAN]]
    np.testing.assert_allclose(np.ma.filled(shown, NAN), expected)
    texts = {(text.get_position()[1], text.get_position()[0]): text.get_text() for text in ax.texts}
    assert texts == {(0, 1): ".50", (0, 2): "-.60", (1, 0): "-.25", (1, 2): ".00", (2, 0): ".30", (2, 1): ".00"}
    assert ticks(ax.xaxis) == ticks(ax.yaxis) == ["A", "B", "RMSE"]
    assert "above the diagonal: first\nbelow: second" in ax.get_title(loc="left")
    outlined = [patch.get_xy() for patch in ax.patches if isinstance(patch, Rectangle)]
    assert sorted(outlined) == [(-0.5, 1.5), (1.5, -0.5)]
    assert bar.get_xlabel() == "Pearson correlation"
    unknown = upper.copy()
    unknown.loc["B"] = unknown.loc[:, "B"] = NAN
    assert len(plot_two_matrices(unknown, lower, ("a", "b"), "t").axes[0].texts) == 4


def test_correlations_with_rmse_have_a_mark_a_source():
    table = pd.DataFrame({"paper": [0.1, -0.2], "log": [0.3, -0.7], "log low": [0.2, -0.8], "log high": [0.4, -0.6]},
                         index=["LR", "MeN"])  # fmt: skip
    looks = {"paper": ("#000000", "x", "printed"), "log": ("#777777", "v", "logged")}
    (ax,) = plot_correlations_with_rmse(table, looks, "A title").axes
    found = marks(ax)
    assert found["printed"][:3] == ([0.1, -0.2], pytest.approx([-0.085, 0.915]), [])
    x, y, spans, colour = found["logged"]
    assert (x, y, colour) == ([0.3, -0.7], pytest.approx([0.085, 1.085]), "#777777")
    assert [end[0] for end in spans[1]] == pytest.approx([-0.8, -0.6])
    assert ax.get_xlabel() == "correlation with RMSE"
    assert ticks(ax.yaxis) == ["LR", "MeN"]
    assert legend(ax) == ["printed", "logged"]


def mains_table(shares, noise):
    known = {"factor": list(shares), "share": list(shares.values()), "noise": noise}
    return pd.DataFrame(known).assign(low=lambda t: t["share"] - 0.01, high=lambda t: t["share"] + 0.02)


def test_importance_keeps_the_order_of_the_first_protocol():
    released = mains_table({"MeN": 0.4, "Opt": 0.1, "LR": 0.02}, 0.05)
    holdout = mains_table({"MeN": 0.3, "LR": 0.2, "Opt": 0.01}, 0.06)
    holdout.loc[2, ["low", "high"]] = [0.015, 0.02]  # a bootstrap's interval may lie beside the value
    (ax,) = plot_importance({"released": released, "holdout": holdout}, "here", {"released": 9, "holdout": 8}).axes
    assert ticks(ax.yaxis) == ["MeN", "Opt", "LR"]
    found = marks(ax)
    first, second = f"{RELEASED}, n = 9 runs", f"{HOLDOUT}, n = 8 runs"
    assert found[first][0] == pytest.approx([40, 10, 2])
    assert found[second][0] == pytest.approx([30, 1, 20])
    assert [end[0] for end in found[first][2][0]] == pytest.approx([39, 42])
    assert [end[0] for end in found[second][2][1]] == pytest.approx([1, 2])
    for protocol, word, noise in (("released", RELEASED, 5), ("holdout", HOLDOUT, 6)):
        (line,) = lines(ax, f"{word}: reached by chance")
        assert list(line.get_xdata()) == pytest.approx([noise, noise])
        assert line.get_color() == COLOURS[protocol]
    assert len(legend(ax)) == 4
    assert "%" in ax.get_xlabel()


def dependence_table(values):
    rows = [{"factor": factor, "level": level, "value": value, "low": value - 0.1, "high": value + 0.1}
            for (factor, level), value in values.items()]  # fmt: skip
    return pd.DataFrame(rows).astype({"level": object})


def test_dependence_has_a_panel_a_factor_and_a_line_a_protocol():
    values = {("MeN", False): 0.7, ("MeN", True): 0.3, ("PI", "[0, 1]"): 0.4, ("PI", "[1, 0]"): 0.6,
              ("Ep", 1): 0.5, ("Ep", 2): 0.45, ("Ep", 10): 0.55}  # fmt: skip
    other = {key: value + 0.05 for key, value in values.items()}
    tables = {"released": dependence_table(values), "holdout": dependence_table(other)}
    figure = plot_dependence(tables, ["PI", "MeN", "Ep"], "here")
    shown = [ax for ax in figure.axes if ax.get_visible()]
    assert [ax.get_title(loc="left") for ax in shown] == ["PI", "MeN", "Ep"]
    assert [ticks(ax.xaxis) for ax in shown] == [["user", "item"], ["off", "on"], ["1", "2", "10"]]
    for ax, factor in zip(shown, ("PI", "MeN", "Ep"), strict=True):
        for word, table in ((RELEASED, values), (HOLDOUT, other)):
            x, y, spans, _ = marks(ax)[word]
            assert y == [value for (name, _), value in table.items() if name == factor]
            assert np.round(x).tolist() == list(range(len(y)))
            assert [end[1] for end in spans[0]] == pytest.approx([y[0] - 0.1, y[0] + 0.1])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [RELEASED, HOLDOUT]
    words = [text.get_text() for text in (figure._supylabel, figure._suptitle) if text]
    assert any("mean rank" in word for word in words)


def test_levels_stand_at_their_own_place_though_a_protocol_lacks_one():
    """No run with 0.01 was made as released, so that its levels are fewer."""
    tables = {"holdout": dependence_table({("LR", 0.01): 0.5, ("LR", 0.1): 0.6, ("LR", 1.0): 0.7}),
              "released": dependence_table({("LR", 0.1): 0.1, ("LR", 1.0): 0.2})}  # fmt: skip
    ax = plot_dependence(tables, ["LR"], "here").axes[0]
    assert ticks(ax.xaxis) == ["0.01", "0.1", "1.0"]
    assert np.round(marks(ax)[RELEASED][0]).tolist() == [1, 2]


def claims_table(effects):
    rows = [{"claim": 3 + k, "what": f"thing {k}, against others", "effect": effect, "low": effect - 0.1,
             "high": effect + 0.1, "p": p} for k, (effect, p) in enumerate(effects)]  # fmt: skip
    return pd.DataFrame(rows)


def test_claims_are_filled_where_they_differ_from_a_half():
    tables = {"released": claims_table([(0.8, 0.01), (0.55, 0.3), (NAN, NAN)]),
              "holdout": claims_table([(0.5, 0.9), (0.45, 1.0), (0.2, 0.049)])}  # fmt: skip
    (ax,) = plot_claims(tables, "here").axes
    for protocol, filled, empty in (("released", [0.8], [0.55]), ("holdout", [0.2], [0.5, 0.45])):
        own = [line for line in ax.get_lines() if line.get_color() == COLOURS[protocol] and line.get_marker() in "os"]
        by_style = {line.get_fillstyle(): [x for x in line.get_xdata() if math.isfinite(x)] for line in own}
        assert by_style == {"full": filled, "none": empty}
    spans = [spans for _, _, spans, _ in marks(ax).values()]
    ends = [[end[0] for end in span] for own in spans for span in own]
    assert any(pair == pytest.approx([0.7, 0.9]) for pair in ends)
    assert any(pair == pytest.approx([0.1, 0.3]) for pair in ends)
    assert [" ".join(text.split()) for text in ticks(ax.yaxis)] == [
        f"claim {3 + k}: thing {k}, against others" for k in range(3)
    ]
    assert legend(ax) == [RELEASED, HOLDOUT]
    assert "Holm" in ax.get_legend().get_title().get_text()
    assert ax.get_xlim() == (0, 1)
    assert "probability" in ax.get_xlabel()


def effects_of(change):
    rows = {"gini": (0.5, change), "novelty": (3.0, 10 * change)}
    table = pd.DataFrame([
        {"measure": measure, "n": 3, "before": before, "after": before + own, "change": own, "low": own - 0.1,
         "high": own + 0.1} for measure, (before, own) in rows.items()
    ])  # fmt: skip
    return table.set_index("measure")


WORDS = {"gini": "Gini index", "novelty": "novelty (bits)"}


def test_list_changes_go_from_before_to_after():
    figure = plot_list_changes({"at random": effects_of(-0.2), "popular": effects_of(0.1)}, WORDS, "A title")
    assert [ax.get_title(loc="left") for ax in figure.axes] == list(WORDS.values())
    for ax, before, size in zip(figure.axes, (0.5, 3.0), (1, 10), strict=True):
        joined = [line.get_xdata().tolist() for line in ax.get_lines() if line.get_linestyle() == "-"
                  and len(line.get_xdata()) == 2]  # fmt: skip
        assert joined == [pytest.approx([before, before - 0.2 * size]), pytest.approx([before, before + 0.1 * size])]
        ends = [[end[0] for end in span] for _, _, spans, _ in marks(ax).values() for span in spans]
        assert any(pair == pytest.approx([before + 0.1 * size - 0.1, before + 0.1 * size + 0.1]) for pair in ends)
        assert [line.get_xdata() for line in ax.get_lines() if line.get_fillstyle() == "none"] == [[before]] * 2
        assert ticks(ax.yaxis) == ["at random", "popular"]
        assert ax.yaxis_inverted()
    colours = [to_hex(line.get_color()) for line in figure.axes[0].get_lines() if line.get_linestyle() == "-"]
    assert {colour.upper() for colour in colours} <= {*LIST_COLOURS, "#000000"}
    one = effects_of(0.1).assign(n=1, low=NAN, high=NAN)
    assert len(plot_list_changes({"one setting": one}, WORDS, "t").axes) == 2


def test_a_measure_that_is_unknown_is_drawn_as_nothing():
    """Data without genres have no distance, which is then no row of the effects."""
    figure = plot_list_changes({"at random": effects_of(0.1).drop("novelty")}, WORDS, "t")
    assert figure.axes[0].get_title(loc="left") == "Gini index"


def test_ranks_are_drawn_against_each_other_by_pivot_and_centring():
    table = pd.DataFrame({
        "small": [0.9, 0.7, 0.8, 1.5], "big": [1.0, 0.9, 0.95, 0.8], "pivot_indexes": ["[0, 1]", "[1, 0]"] * 2,
        "mean_normalization": [True, True, True, False],
    })  # fmt: skip
    figure = plot_ranks({"released": table, "holdout": table[:2]},
                        {"released": (0.31, -0.2, 0.7), "holdout": (NAN, NAN, NAN)}, ("few", "many"))  # fmt: skip
    above, below = figure.axes
    assert (above.get_xlabel(), above.get_ylabel()) == ("rank of RMSE on few", "rank of RMSE on many")
    assert above.get_title(loc="left") == f"{RELEASED}, n = 4\nSpearman 0.31 (-0.20 to 0.70)"
    points = {line.get_label(): line.get_xydata().tolist() for line in above.get_lines()}
    assert points == {
        "user-based, with mean normalization": [[3, 4], [2, 3]], "user-based, without mean normalization": [],
        "item-based, with mean normalization": [[1, 2]], "item-based, without mean normalization": [[4, 1]],
    }  # fmt: skip
    assert {line.get_color() for line in above.get_lines()} == {COLOURS["released"]}
    assert {line.get_color() for line in below.get_lines()} == {COLOURS["holdout"]}
    assert set(legend(below)) == set(points)
    assert len(plot_ranks({"holdout": table}, {"holdout": (0.3, 0.1, 0.5)}, ("a", "b")).axes) == 1


def inside(ax, x, y):
    """Whether a mark at (x, y) is within the axes, away from the edge by a hundredth of the height and width."""
    at = ax.transAxes.inverted().transform(ax.transData.transform((x, y)))
    return bool((at > 0.01).all() and (at < 0.99).all())


METHODS = pd.DataFrame(
    [("svdpp", "SVD++", 0.88, 0.87, 0.89, 0.903), ("flexencoder", "FlexEncoder, extended space", 0.9, 0.89, 0.91, NAN),
     ("nmf", "NMF", 0.95, NAN, NAN, 0.944), ("flexencoder_set1", "FlexEncoder, set 1", 0.96, 0.94, 0.98, 0.833)],
    columns=["method", "name", "mean", "low", "high", "published"],
)  # fmt: skip
OTHERS, OURS = "other methods, held-out ratings (leak-free)", "FlexEncoder, held-out ratings (leak-free)"


def test_methods_are_drawn_lowest_first_beside_what_table_3_quotes():
    (ax,) = plot_methods(METHODS, "Two\nlines").axes
    assert ax.get_title(loc="left") == "Two\nlines"
    assert ax.get_xlabel() == "RMSE (stars)"
    assert [text.replace("\n", " ") for text in ticks(ax.yaxis)] == METHODS["name"].tolist()
    assert ax.get_yticks().tolist() == [0, 1, 2, 3]
    assert ax.yaxis_inverted()
    found = marks(ax)
    x, y, spans, _ = found[OTHERS]
    assert (x, y) == ([0.88, 0.95], [0, 2])
    # One split has no interval.
    assert [[end[0] for end in span] for span in spans] == [pytest.approx([0.87, 0.89]), [0.95, 0.95]]
    x, y, spans, colour = found[OURS]
    assert (x, y, colour) == ([0.9, 0.96], [1, 3], COLOURS["holdout"].lower())
    assert [[end[0] for end in span] for span in spans] == [pytest.approx([0.89, 0.91]), pytest.approx([0.94, 0.98])]
    (crosses,) = lines(ax, "Table 3 of the paper")
    np.testing.assert_equal(crosses.get_xydata(), [[0.903, 0], [NAN, 1], [0.944, 2], [0.833, 3]])
    assert set(legend(ax)) == {OTHERS, OURS, "Table 3 of the paper"}
    for x, y in [(0.833, 3), (0.87, 0), (0.98, 3), (0.903, 0)]:
        assert inside(ax, x, y)


def test_methods_may_be_without_a_network_or_lost():
    (ax,) = plot_methods(METHODS[METHODS["method"] == "nmf"].reset_index(drop=True), "t").axes
    assert marks(ax)[OTHERS][0] == [0.95]
    lost = METHODS.assign(mean=[0.88, 0.9, 0.95, NAN])
    assert len(ticks(plot_methods(lost, "t").axes[0].yaxis)) == 4


def history(*values, split="seed 0"):
    rows = {"split": split, "number": range(1, len(values) + 1), "validation_rmse": values}
    return pd.DataFrame(rows).assign(best=np.fmin.accumulate(values))


def test_a_search_is_a_dot_a_try_and_a_step_a_split():
    both = pd.concat([history(0.9, 0.91, 0.88), history(NAN, 0.89, 0.905, split="seed 1")])
    alone = history(0.8, 0.79)
    figure = plot_search({"few": both, "many": alone}, {"few": {"biases": 0.925}})
    above, below = figure.axes
    for ax, title, splits in ((above, "few", 2), (below, "many", 1)):
        assert ax.get_title(loc="left") == title
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("try", "validation\nRMSE (stars)")
        dots = [line for line in ax.get_lines() if line.get_marker() == "."]
        steps = [line for line in ax.get_lines() if line.get_drawstyle() == "steps-post"]
        assert len(dots) == len(steps) == splits
        # A split's dots have its colour.
        assert [line.get_color() for line in dots] == [line.get_color() for line in steps]
        for line in [*dots, *steps]:
            assert all(inside(ax, 1, y) or math.isnan(y) for y in line.get_ydata())
    own = [line for line in above.get_lines() if line.get_marker() == "."]
    np.testing.assert_equal([line.get_ydata() for line in own], [[0.9, 0.91, 0.88], [NAN, 0.89, 0.905]])
    lowest = [line for line in above.get_lines() if line.get_drawstyle() == "steps-post"]
    np.testing.assert_equal([line.get_ydata() for line in lowest], [[0.9, 0.9, 0.88], [NAN, 0.89, 0.89]])
    assert [line.get_xdata().tolist() for line in lowest] == [[1, 2, 3]] * 2
    assert legend(above) == ["seed 0", "seed 1"]
    assert below.get_legend() is None
    (dashed,) = [line for line in above.get_lines() if line.get_linestyle() == "--"]
    assert list(dashed.get_ydata()) == [0.925, 0.925]
    assert [text.get_text() for text in above.texts] == ["biases"]
    assert not below.texts
    assert inside(above, 2, 0.925)


@pytest.mark.parametrize("reference", [0.85, 1.2])
def test_a_reference_far_from_a_search_is_not_written_beside_its_frame(reference):
    """There its line cannot be seen, and room is made for its word."""
    (ax,) = plot_search({"few": history(0.9, 0.91, 0.88)}, {"few": {"biases": reference}}).axes
    ax.figure.canvas.draw()
    frame = ax.get_window_extent()
    for text in ax.texts:
        assert frame.y0 <= ax.transData.transform((1, text.xy[1]))[1] <= frame.y1


def test_a_try_that_went_badly_does_not_widen_the_frame():
    (ax,) = plot_search({"few": history(0.9, 3.0, 0.88)}, {}).axes
    assert ax.get_ylim() == pytest.approx((0.875, 0.955))


ABLATION = pd.DataFrame(
    [("the other pivot", 4, 0.05, 0.04, 0.06), ("no noise", 1, 0.01, NAN, NAN),
     ("one re-feeding", 4, -0.002, -0.03, 0.0)],
    columns=["change", "n", "changed_by", "low", "high"],
)  # fmt: skip


def test_changes_of_the_best_settings_are_drawn_the_worst_first():
    (ax,) = plot_ablation(ABLATION, "A title").axes
    assert ax.get_title(loc="left") == "A title"
    assert ax.get_xlabel() == "change in RMSE (stars); right: worse"
    assert ticks(ax.yaxis) == ["the other pivot (4)", "no noise (1)", "one re-feeding (4)"]
    assert ax.yaxis_inverted()
    ((x, y, spans, colour),) = marks(ax).values()
    assert (x, y, colour) == ([0.05, 0.01, -0.002], [0, 1, 2], COLOURS["holdout"].lower())
    expected = [[0.04, 0.06], [0.01, 0.01], [-0.03, 0.0]]
    assert [[end[0] for end in span] for span in spans] == [pytest.approx(ends) for ends in expected]
    assert any(list(line.get_xdata()) == [0, 0] for line in ax.get_lines())
    for x, y in [(0.06, 0), (0.01, 1), (-0.03, 2)]:
        assert inside(ax, x, y)


def test_each_part_of_a_claim_has_one_mark_at_its_verdict():
    reproduced, leak, _, refuted, _ = VERDICTS
    table = pd.DataFrame(
        [("1a", 1, "the lowest", leak), ("1b", 1, "of all", refuted), ("2", 2, "item-based", reproduced),
         ("3", 3, "many words " * 8, leak)],
        columns=["claim", "number", "says", "verdict"],
    )  # fmt: skip
    (ax,) = plot_verdicts(table).axes
    assert ax.get_title(loc="left") == "The paper's claims and what became of them"
    used = [reproduced, leak, refuted]  # in their order, and only those that are there
    assert [text.replace("\n", " ") for text in ticks(ax.xaxis)] == used
    words = [text.replace("\n", " ").split(maxsplit=1) for text in ticks(ax.yaxis)]
    assert [claim for claim, _ in words] == table["claim"].tolist()
    assert [says.strip() for _, says in words] == [says.strip() for says in table["says"]]
    marked, colours = {}, {}
    for held, verdict in zip(ax.collections, used, strict=True):
        for x, y in held.get_offsets().tolist():
            marked[y] = used[round(x)]
            assert inside(ax, x, y)
        assert {used[round(x)] for x, _ in held.get_offsets().tolist()} == {verdict}
        colours[verdict] = to_hex(held.get_facecolor()[0])
    assert marked == dict(enumerate(table["verdict"]))
    assert colours == {
        reproduced: COLOURS["holdout"].lower(), leak: COLOURS["released"].lower(), refuted: COLOURS["paper"],
    }  # fmt: skip
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    # Lines between claims, and none between the parts of one
    assert [line.get_ydata()[0] for line in ax.get_lines()] == [1.5, 2.5]


def test_all_five_verdicts_have_a_place_and_a_colour_of_their_own():
    rows = [(f"{place}", place, "says", verdict) for place, verdict in enumerate(VERDICTS, 1)]
    table = pd.DataFrame(rows, columns=["claim", "number", "says", "verdict"])
    (ax,) = plot_verdicts(table).axes
    assert len({to_hex(held.get_facecolor()[0]) for held in ax.collections}) == 5
    assert [held.get_offsets().tolist() for held in ax.collections] == [[[place, place]] for place in range(5)]


def grid_of(cells, *names):
    """A table of a grid by cell: n, mean, low and high; held-out ratings are 0.1 stars higher."""
    rows = []
    for cell, (n, *ends) in cells.items():
        for protocol, more in (("released", 0), ("holdout", 0.1)):
            row = dict(zip(names, cell, strict=True)) | {"cell": cell, "protocol": protocol, "values": [], "n": n}
            rows.append(row | {"notes": ""} | dict(zip(("mean", "low", "high"), np.add(ends, more), strict=True)))
    return pd.DataFrame(rows)


def spelled(name, value):
    return f"{name[0]}:{value}"


def panels_by_title(figure):
    return {tuple(ax.get_title(loc="left").split("\n")): ax for ax in figure.axes}


def test_a_grid_is_drawn_by_its_first_two_parameters_with_a_panel_for_the_others():
    values = {"a": ("x", "y", "z"), "b": (1, 2), "with_c": (True, False), "d": ((0, 1), (1, 0))}
    cells = {(a, b, c, d): (3, 0.8 + place / 100, 0.79 + place / 100, 0.81 + place / 100)
             for place, (a, b, c, d) in enumerate(
                 (a, b, c, d) for a in values["a"] for b in values["b"] for c in values["with_c"] for d in values["d"]
             )}  # fmt: skip
    figure = plot_grid(grid_of(cells, *values), "A title\nhere", spelled)
    assert figure._suptitle.get_text() == "A title\nhere; 3 splits each"  # for no mean is far above the lowest
    highest = max(mean for _, mean, *_ in cells.values()) + 0.1
    assert highest < figure.axes[0].get_ylim()[1] < highest + 0.05
    panels = panels_by_title(figure)
    assert len(panels) == len(figure.axes) == 2 * 4
    for c in values["with_c"]:
        for d in values["d"]:
            for protocol, word, more in (("released", RELEASED, 0), ("holdout", HOLDOUT, 0.1)):
                ax = panels[words_of(protocol), f"with c w:{c}", f"d d:{d}"]
                assert word == words_of(protocol)
                found = marks(ax)
                assert set(found) == {"b:1", "b:2"}
                for b in values["b"]:
                    x, y, spans, _ = found[f"b:{b}"]
                    means = [cells[a, b, c, d][1] + more for a in values["a"]]
                    assert y == pytest.approx(means)
                    assert [round(place) for place in x] == [0, 1, 2]
                    ends = [sorted(end[1] for end in span) for span in spans]
                    assert ends == [pytest.approx([mean - 0.01, mean + 0.01]) for mean in means]
                assert len({(line[0], line[1]) for line in zip(found["b:1"][0], found["b:2"][0], strict=True)}) == 3
    assert ticks(figure.axes[-1].xaxis) == ["a:x", "a:y", "a:z"]
    assert [ax.get_xlabel() for ax in figure.axes[-2:]] == ["a", "a"]
    (held,) = figure.legends
    assert [text.get_text() for text in held.get_texts()] == ["b:1", "b:2"]
    assert len({found[3] for found in marks(figure.axes[0]).values()}) == 2


def test_a_grid_of_one_parameter_or_with_gaps():
    cells = {("one",): (3, 0.8, 0.7, 0.9), ("two",): (1, 0.9, NAN, NAN), ("three",): (0, NAN, NAN, NAN),
             ("four",): (3, 2.0, 1.0, 3.0), ("five",): (2, 1.25, -9.0, 11.5)}  # fmt: skip
    figure = plot_grid(grid_of(cells, "layers"), "A title", spelled)
    left, right = figure.axes
    assert not figure.legends
    for ax, more in ((left, 0), (right, 0.1)):
        ((x, y, spans, _),) = marks(ax).values()
        assert x == [0, 1, 2, 3, 4]
        # Nothing for what has no mean; at the edge, without its bar, what is far above the lowest
        assert y == pytest.approx([0.8 + more, 0.9 + more, NAN, 1.3, min(1.25 + more, 1.3)], nan_ok=True)
        ends = [sorted(end[1] for end in span) for span in spans]
        assert ends[0] == pytest.approx([0.7 + more, 0.9 + more])
        assert np.isnan([*ends[1], *ends[3]]).all()
        low, high = ax.get_ylim()
        assert low < 0.8
        assert 1.3 < high < 1.4
    assert figure._suptitle.get_text() == "A title; at most 3 splits each; above 1.30 drawn there"
    empty = grid_of({("one",): (0, NAN, NAN, NAN)}, "layers")
    assert len(plot_grid(empty, "t", spelled).axes) == 2


def course(*test, **counts):
    edges = [0.375 + 0.25 * k for k in range(4)]
    return {"test": list(test), "training": [0.5] * len(test), "edges": edges, "histogram": counts}


COURSES = {
    ("table2:1", "released"): course(0.9, 0.8, actual=[1, 2, 3], unrounded=[3, 2, 1], rounded=[0, 6, 0]),
    ("table2:1", "described"): "left out for the cost",
    ("table2:1", "holdout"): course(1.0, 0.95, actual=[1, 2, 4], unrounded=[4, 2, 1], rounded=[0, 7, 0]),
    ("cfn", "released"): course(*[0.7] * 30, actual=[1, 1, 1], unrounded=[1, 1, 1], rounded=[1, 1, 1]),
    ("cfn", "described"): course(1.1, actual=[1, 1, 1], unrounded=[1, 1, 1], rounded=[1, 1, 1]),
    ("cfn", "holdout"): "diverged",
    **{(f"p{k}", protocol): "diverged" for k in range(3) for protocol in ("released", "described", "holdout")},
}


def test_courses_are_a_panel_a_preset_and_a_line_a_protocol():
    figure = plot_courses(COURSES, ("released", "described", "holdout"), "here")
    figure.canvas.draw()  # which settles the axes' limits
    assert figure._suptitle.get_text().endswith("\nhere")
    panels = {ax.get_title(loc="left"): ax for ax in figure.axes if ax.get_visible()}
    assert list(panels) == ["table2:1", "cfn", "p0", "p1", "p2"]
    for preset, ax in panels.items():
        drawn = {line.get_label(): line for line in ax.get_lines()}
        expected = {words_of(protocol): (COURSES[preset, protocol]["test"], COLOURS[protocol])
                    for protocol in ("released", "described", "holdout")
                    if not isinstance(COURSES[preset, protocol], str)}  # fmt: skip
        assert {word: (list(line.get_ydata()), line.get_color()) for word, line in drawn.items()} == expected
        # Why there is no line at all
        assert [text.get_text().replace("\n", " ") for text in ax.texts] == (["diverged"] if not expected else [])
        for line in drawn.values():
            assert list(line.get_xdata()) == list(range(1, len(line.get_ydata()) + 1))
            assert all(inside(ax, x, y) for x, y in line.get_xydata())
    assert panels["cfn"].get_lines()[0].get_marker() == ""  # dots would hide a line of so many epochs
    (held,) = figure.legends
    assert sorted(text.get_text() for text in held.get_texts()) == sorted(
        words_of(protocol) for protocol in ("released", "described", "holdout")
    )


@pytest.mark.parametrize("protocol", ["released", "holdout"])
def test_histograms_of_predictions_are_a_panel_a_preset(protocol):
    figure = plot_histograms(COURSES, protocol, "here")
    assert words_of(protocol) in figure._suptitle.get_text()
    assert "here" in figure._suptitle.get_text()
    panels = {ax.get_title(loc="left"): ax for ax in figure.axes if ax.get_visible()}
    assert list(panels) == ["table2:1", "cfn", "p0", "p1", "p2"]
    for preset, ax in panels.items():
        own = COURSES[preset, protocol]
        if isinstance(own, str):
            assert not ax.patches
            assert [text.get_text().replace("\n", " ") for text in ax.texts] == [own]
            continue
        drawn = [patch.get_data() for patch in ax.patches]
        assert [list(data.values) for data in drawn] == [
            own["histogram"][name] for name in ("unrounded", "rounded", "actual")
        ]
        assert all(list(data.edges) == own["edges"] for data in drawn)
        assert [patch.get_fill() for patch in ax.patches] == [True, False, False]
        colours = [to_hex(p.get_facecolor() if p.get_fill() else p.get_edgecolor()) for p in ax.patches]
        assert colours == [COLOURS[protocol].lower()] * 2 + ["#000000"]
