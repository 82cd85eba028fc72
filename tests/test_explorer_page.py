"""What the explorer's page brings along: its style, its scripts, and data that stand in it."""

import json
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from explorer_records import HOSTILE
from flexexplorer import page

FOLDER = Path(page.__file__).parent


@pytest.mark.parametrize("text", HOSTILE)
def test_data_in_the_page_cannot_end_their_script(text):
    data = {"texts": [text, 0.25], "none": None}
    soup = BeautifulSoup(page.scripted("runs", data, text).data, "html.parser")
    (place,) = soup.select(".runs-explorer")
    assert json.loads(place.script.string) == data
    assert place.p.text == text
    scripts = [script.string for script in soup.find_all("script") if script.find_parent("div") is None]
    assert scripts == [(FOLDER / name).read_text(encoding="utf-8") for name in ("draw.js", "runs.js")]


def test_what_no_number_is_is_refused_where_a_script_could_not_read_it():
    with pytest.raises(ValueError, match="JSON"):
        page.scripted("runs", {"rmse": float("nan")}, "x")


def test_what_a_page_needs_is_there():
    html = page.page_setup().data
    assert html.count("<style>") == html.count("<script>") == 1
    assert ".explorer" in html
    assert '".explorer-live"' in html
    assert '"aria-live", "polite"' in html
