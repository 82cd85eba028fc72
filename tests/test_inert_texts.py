"""Titles, ids and names that hold markup, script or formulas are shown as they stand: in Chromium, and in tables."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from conftest import random_ratings

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install --editable notebooks")
from flexexplorer import pictures  # noqa: E402
from flexexplorer.live import _alert  # noqa: E402
from flexexplorer.trained import lists_of, shell_command  # noqa: E402
from make_pdf import MISSING, find_chromium, launch  # noqa: E402 (needs playwright)

from flexlib import recommend  # noqa: E402
from flexlib.config import FlexConfig, FlexError  # noqa: E402
from flexlib.train import fit  # noqa: E402

HOSTILE = [
    "<script>window.ran = 1</script>",
    "<img src=x onerror='window.ran = 1'>",
    "</td></table></pre><svg onload=window.ran=1>",
    '" onfocus="window.ran = 1" autofocus tabindex="1" x="',
    "' onmouseover='window.ran = 1' x='",
    "<iframe srcdoc='<script>parent.ran = 1</script>'></iframe>",
    "&lt;b&gt; &amp; &#60;i&#62;",
    "<!-- a comment",
    '=HYPERLINK("http://x.invalid", "x")',
]


@pytest.fixture(scope="module")
def page():
    if find_chromium() is None:
        pytest.skip(MISSING)
    with playwright.sync_playwright() as started, launch(started) as browser:
        page = browser.new_page()
        page.asked = []
        page.on("request", lambda request: page.asked.append(request.url))
        yield page


@pytest.fixture(scope="module")
def models():
    ratings = random_ratings(3, n_users=8, n_items=len(HOSTILE) - 1, share=0.4)
    ratings = dataclasses.replace(
        ratings,
        name=HOSTILE[0],
        titles=np.array(HOSTILE, object),
        item_ids=np.array([f"{text} id" for text in HOSTILE]),
        user_ids=np.array((HOSTILE * 2)[: ratings.n_users]) if ratings.n_users <= len(HOSTILE) else None,
    )
    config = FlexConfig(hidden_layers=(3,), epochs=1)
    return {protocol: fit(ratings, config, protocol, device="cpu") for protocol in ("released", "holdout")}


def shown(page, html):
    """What Chromium shows of some HTML, and that it ran, fetched and embedded nothing."""
    page.goto("about:blank")  # whose window is a new one
    del page.asked[:]
    page.set_content(f"<html><body>{html}</body></html>")
    page.keyboard.press("Tab")
    page.wait_for_timeout(50)
    ran = page.evaluate("window.ran === 1")
    embedded = page.locator("script, img, iframe, [onload], [onerror], [onfocus], [onmouseover]").count()
    return page.inner_text("body"), (ran, embedded, page.asked)


def squeezed(text):
    return " ".join(text.split())


@pytest.mark.parametrize("text", HOSTILE[:6])
def test_each_would_do_something_if_it_were_not_escaped(page, text):
    _, (ran, embedded, _) = shown(page, f"<div title='{text}'></div><div title=\"{text}\"></div>{text}")
    assert ran or embedded


@pytest.mark.parametrize("user", HOSTILE[:4])
def test_lists_and_commands_of_the_explorer(page, models, user):
    html = lists_of(models, user) + shell_command(models["holdout"])
    text, done = shown(page, html)
    assert done == (False, 0, [])
    for model in models.values():
        for title in recommend(model, user)["title"]:
            assert squeezed(title) in squeezed(text)
    assert squeezed(user) in squeezed(text)
    assert HOSTILE[0] in text


@pytest.mark.parametrize("words", HOSTILE)
def test_pictures_and_errors_of_the_explorer(page, models, words):
    with pytest.raises(FlexError) as caught:
        lists_of(models, f"{words} of nobody")
    html = _alert(str(caught.value)) + pictures.table([words], [[words]], words) + pictures.paragraph(words)
    html += pictures.colour_key([("red", words)]) + pictures.curves([], words)
    text, done = shown(page, html)
    assert done == (False, 0, [])
    assert squeezed(text).count(squeezed(words)) >= 6  # the one of the curves is for screen readers alone


def test_tables_of_the_chapters(page, models):
    """A chapter shows a list as a pandas table."""
    table = recommend(models["holdout"], HOSTILE[1])
    text, done = shown(page, table._repr_html_())
    assert done == (False, 0, [])
    assert all(squeezed(title)[:20] in squeezed(text) for title in table["title"])


def test_a_list_in_a_file_comes_back_as_it_was(models, tmp_path):
    """CSV is data: texts are quoted, not changed, so that ids keep their values."""
    table = recommend(models["holdout"], HOSTILE[1])
    table.to_csv(tmp_path / "list.csv", index=False)
    pd.testing.assert_series_equal(pd.read_csv(tmp_path / "list.csv")["title"], table["title"], check_dtype=False)
