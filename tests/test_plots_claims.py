"""The figure of verdicts: that it draws what it is given, and says what it is."""

import pandas as pd
import pytest
from drawings import inside, ticks
from flexstudy.claims import plot_verdicts
from flexstudy.rules import VERDICTS
from flexstudy.style import COLOURS
from matplotlib.colors import to_hex

pytestmark = pytest.mark.usefixtures("drawn")


def test_each_part_of_a_claim_has_one_mark_at_its_verdict():
    reproduced, leak, _, refuted, _ = VERDICTS
    table = pd.DataFrame(
        [
            ("1a", 1, "the lowest", leak),
            ("1b", 1, "of all", refuted),
            ("2", 2, "item-based", reproduced),
            ("3", 3, "many words " * 8, leak),
        ],
        columns=["claim", "number", "says", "verdict"],
    )
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
        reproduced: COLOURS["holdout"].lower(),
        leak: COLOURS["released"].lower(),
        refuted: COLOURS["paper"],
    }
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    # Lines between claims, and none between the parts of one
    assert [line.get_ydata()[0] for line in ax.get_lines()] == [1.5, 2.5]


def test_all_five_verdicts_have_a_place_and_a_colour_of_their_own():
    rows = [(f"{place}", place, "says", verdict) for place, verdict in enumerate(VERDICTS, 1)]
    table = pd.DataFrame(rows, columns=["claim", "number", "says", "verdict"])
    (ax,) = plot_verdicts(table).axes
    assert len({to_hex(held.get_facecolor()[0]) for held in ax.collections}) == 5
    assert [held.get_offsets().tolist() for held in ax.collections] == [[[place, place]] for place in range(5)]
