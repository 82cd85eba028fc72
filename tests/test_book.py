"""The published book in a real browser: Chromium without a window, over HTTP on this machine and from files."""

import functools
import http.server
import itertools
import json
import re
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import numpy as np
import pandas as pd
import pytest
import yaml

bs4 = pytest.importorskip("bs4", reason="needs beautifulsoup4: pip install --editable notebooks")
playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install --editable notebooks")
from make_pdf import MISSING, find_chromium, launch  # noqa: E402 (needs playwright)

ROOT = Path(__file__).parents[1]
CHAPTERS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
EXPLORER = "results/executed/explore"
# What Sphinx adds to the pages of the table of contents.
ADDED = ["search", "genindex", "py-modindex"]
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
LATE, SETTLED = 200, 400  # milliseconds: for what a page does after loading; for the theme to look what scrolls
HEAVIEST = 1_500_000  # bytes of a page with its pictures


def pages_of(toc):
    """The pages that a table of contents lists, whatever its levels."""
    if isinstance(toc, list):
        return [page for entry in toc for page in pages_of(entry)]
    if not isinstance(toc, dict):
        return []
    own = [toc[key] for key in ("root", "file") if key in toc]
    if "glob" in toc:
        own += [path.relative_to(ROOT).with_suffix("").as_posix() for path in sorted(ROOT.glob(toc["glob"]))]
    return own + [page for value in toc.values() for page in pages_of(value)]


PAGES = [*pages_of(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))), *ADDED]
every_page = pytest.mark.parametrize("page", PAGES)
over_http_and_from_files = pytest.mark.parametrize("how", ["http", "file"])


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of the published book, built as `make book` does."""
    fetched = subprocess.run([sys.executable, ROOT / "book" / "fetch_scripts.py"], capture_output=True, text=True)
    if fetched.returncode:
        pytest.skip(fetched.stderr.strip())
    out = tmp_path_factory.mktemp("book")
    (options,) = re.findall(r"^BUILD_BOOK := \S+jupyter-book (.*)$", (ROOT / "Makefile").read_text(), re.M)
    program = Path(sys.executable).with_name("jupyter-book")
    command = [program, *options.split(), "--path-output", out, "."]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out / "_build" / "html"


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def addresses(built):
    """The beginning of a page's address, over HTTP and as a file."""
    handler = functools.partial(QuietHandler, directory=built)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield {"http": f"http://127.0.0.1:{server.server_port}/", "file": f"{built.as_uri()}/"}
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser():
    if find_chromium() is None:
        pytest.skip(MISSING)
    with playwright.sync_playwright() as started:
        opened = launch(started)
        yield opened
        opened.close()


@pytest.fixture
def new_page(browser):
    """A function that opens an empty page of a browser that has never been anywhere."""
    contexts = []

    def open_page(**options):
        contexts.append(browser.new_context(viewport=DESKTOP, **options))
        return contexts[-1].new_page()

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def parsed(built):
    """Every page of the built book, read without a browser."""
    return {
        path.relative_to(built).with_suffix("").as_posix(): bs4.BeautifulSoup(path.read_bytes(), "html.parser")
        for path in sorted(built.rglob("*.html"))
        if "_static" not in path.relative_to(built).parts
    }


def go(page, address):
    """Open an address, with time for what a page does after it has loaded."""
    page.goto(address)
    page.wait_for_timeout(LATE)


def test_the_book_has_the_pages_that_are_tested(parsed):
    assert sorted(parsed) == sorted(PAGES)
    assert len(PAGES) == len(set(PAGES)) > len(CHAPTERS)


def watch(page, own):
    """A list that fills with what goes wrong in a page, and with what it asks of anybody but `own`."""
    faults = []
    page.on("console", lambda message: message.type == "error" and faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(f"error: {error}"))
    page.on("requestfailed", lambda request: faults.append(f"failed: {request.url}"))
    page.on("response", lambda answer: answer.status >= 400 and faults.append(f"{answer.status}: {answer.url}"))
    local = (own, "data:", "blob:")
    page.on("request", lambda asked: asked.url.startswith(local) or faults.append(f"foreign: {asked.url}"))
    return faults


@every_page
@over_http_and_from_files
def test_a_page_loads_without_a_fault_and_asks_no_other_host(page, how, new_page, addresses):
    opened = new_page()
    faults = watch(opened, addresses[how])
    go(opened, f"{addresses[how]}{page}.html")
    assert opened.locator("main h1").last.is_visible()
    assert faults == []


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("<script>console.error('x')</script>", "x"),
        ("<script>throw 'x'</script>", "error: x"),
        ("<img src='none.png'>", "none.png"),
        ("<img src='http://127.0.0.2:9/x.png'>", "foreign: http://127.0.0.2:9/x.png"),
    ],
)
@over_http_and_from_files
def test_faults_are_seen(body, fault, how, new_page, addresses, built):
    name = "test_faults_are_seen.html"
    (built / name).write_text(f"<link rel='icon' href='data:,'>{body}")
    try:
        opened = new_page()
        faults = watch(opened, addresses[how])
        go(opened, addresses[how] + name)
    finally:
        (built / name).unlink()
    assert any(fault in seen for seen in faults), faults


def text_of(soup):
    return (soup.find("article") or soup).get_text(" ")


@over_http_and_from_files
def test_search_finds_a_word(how, new_page, addresses, parsed):
    """Type a word that a single page has, and find that page."""
    words = {page: set(re.findall(r"\b[a-z]{8,}\b", text_of(soup))) for page, soup in parsed.items()}
    wanted = "results/executed/06_rounding"
    others = " ".join(text_of(soup) for page, soup in parsed.items() if page != wanted).lower()
    word = min(word for word in words[wanted] if word[:6] not in others)
    opened = new_page()
    faults = watch(opened, addresses[how])
    go(opened, f"{addresses[how]}index.html")
    opened.keyboard.press("Control+k")
    opened.keyboard.type(word)
    opened.keyboard.press("Enter")
    found = opened.locator("#search-results li a")
    found.first.wait_for(timeout=90_000)
    opened.wait_for_load_state("networkidle")
    assert urldefrag(found.first.evaluate("link => link.href")).url.split("?")[0] == f"{addresses[how]}{wanted}.html"
    assert faults == []


def links_of(soup):
    """Every address that a page's HTML gives: links, pictures, scripts, styles, downloads."""
    for element in soup.find_all(True):
        for name in ("href", "src", "poster", "data"):
            if element.get(name):
                yield element[name]
        for candidate in element.get("srcset", "").split(","):
            if candidate.strip():
                yield candidate.split()[0]


def broken_links(parsed, folder):
    """(page, link) of every link within the book that leads nowhere."""
    anchors = {
        page: {element[name] for element in soup.find_all(True) for name in ("id", "name") if element.get(name)}
        for page, soup in parsed.items()
    }
    broken = []
    for page, soup in parsed.items():
        for link in set(links_of(soup)):
            if urlsplit(link).scheme or link.startswith("//"):
                continue
            address, anchor = urldefrag(urljoin(f"/{page}.html", link))
            path = unquote(urlsplit(address).path).lstrip("/") or "index.html"
            target = path.removesuffix(".html")
            if not (folder / path).is_file() or (
                anchor and target in anchors and unquote(anchor) not in anchors[target]
            ):
                broken.append((page, link))
    return broken


def test_links_and_anchors_of_all_pages_resolve(parsed, built):
    assert broken_links(parsed, built) == []
    assert sum(len(set(links_of(soup))) for soup in parsed.values()) > 100


@pytest.mark.parametrize(
    "link", ["none.html", "book/methods.html#none", "#none", "_static/none.js", "records/none.csv"]
)
def test_a_broken_link_is_seen(link, parsed, built):
    added = bs4.BeautifulSoup(f"<p><a href='{link}'>x</a></p>", "html.parser")
    assert ("index", link) in broken_links({**parsed, "index": added}, built)


def own_pictures(soup):
    """The pictures and other media of a page, by their addresses."""
    media = soup.find_all(["img", "source", "video", "audio", "object", "embed"])
    return {element.get("src") or element.get("data") for element in media} - {None}


@every_page
def test_a_page_is_light(page, parsed, built):
    pictures = [built / Path(page).parent / unquote(source) for source in own_pictures(parsed[page])]
    weight = sum(path.stat().st_size for path in [built / f"{page}.html", *pictures])
    assert weight <= HEAVIEST, f"{weight:,} bytes"


@every_page
def test_pictures_have_an_alternative_text(page, parsed):
    without = [picture.get("src") for picture in parsed[page].find_all("img") if not picture.get("alt", "").strip()]
    assert without == []


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_says_how_to_run_it_again(chapter, parsed):
    boxes = parsed[f"results/executed/{chapter}"].select(".admonition.tip")
    (box,) = (box for box in boxes if "Rerun" in box.select_one(".admonition-title").get_text())
    command, *_ = (code.get_text() for code in box.select("pre"))
    assert f"papermill notebooks/{chapter}.ipynb" in command
    assert re.search(r"-p \w+ \S+", command)


AUDIT = """async only => {
    const options = {runOnly: only, resultTypes: ["violations"]}
    const found = await axe.run(document, options)
    return found.violations.flatMap(rule => rule.nodes.map(
        node => [rule.impact, rule.id, node.target.join(" "), node.html.slice(0, 200)].join(" | ")))
}"""


def audit(page, rules=None):
    """What axe finds in a page as it is, and the serious part of it; rules: the only ones to try."""
    found = page.evaluate(AUDIT, {"type": "rule", "values": rules} if rules else {"type": "tag", "values": TAGS})
    return found, [fault for fault in found if fault.startswith(("serious", "critical"))]


def fold(page, is_open):
    """Show or hide the code of all cells."""
    page.evaluate(
        """is => {
            document.querySelectorAll('details').forEach(details => { details.open = is })
            document.documentElement.classList.toggle('code-hidden', !is)
        }""",
        is_open,
    )


def prepare_audit(page):
    """Load axe and show everything; without transitions, as a colour on its way to another may be too pale."""
    page.add_style_tag(content="* { transition: none !important; animation: none !important }")
    fold(page, True)
    page.evaluate((ROOT / "build" / "scripts" / "axe.min.js").read_text(encoding="utf-8"))


@every_page
def test_a_page_is_accessible(page, new_page, addresses):
    """Neither in light nor in dark mode, neither on a desktop nor on a phone, does axe find a serious fault; and on a
    phone nothing makes the page itself scroll sidewards."""
    opened, serious = new_page(color_scheme="light"), []
    opened.goto(f"{addresses['http']}{page}.html")
    prepare_audit(opened)
    for size, scheme in itertools.product((DESKTOP, PHONE), ("light", "dark")):
        opened.set_viewport_size(size)
        opened.emulate_media(color_scheme=scheme)
        opened.wait_for_function("scheme => document.documentElement.dataset.theme === scheme", arg=scheme)
        fold(opened, (size, scheme) != (PHONE, "dark"))  # the code's colours have been looked at by then
        if scheme == "light":
            opened.wait_for_timeout(SETTLED)
        found, faults = audit(opened, ["color-contrast"] if scheme == "dark" else None)
        print(size["width"], scheme, *found, sep="\n  ")
        serious += [(size["width"], scheme, fault) for fault in faults]
        assert opened.evaluate("() => document.scrollingElement.scrollWidth - innerWidth") <= 1
    assert serious == []


@pytest.mark.parametrize(
    ("html", "fault"),
    [
        ("<img src='data:,'>", "image-alt"),
        ("<p style='color: #999; background: #fff'>Pale words</p>", "color-contrast"),
        ("<select><option>1</option></select>", "select-name"),
        ("<div role='slider' tabindex='0' aria-valuenow='1'></div>", "aria-input-field-name"),
    ],
)
def test_an_inaccessible_page_is_seen(html, fault, new_page, addresses):
    opened = new_page()
    go(opened, f"{addresses['http']}genindex.html")
    opened.locator("article").evaluate("(article, html) => article.insertAdjacentHTML('beforeend', html)", html)
    prepare_audit(opened)
    assert fault in [seen.split(" | ")[1] for seen in audit(opened)[1]]


PANEL, RUNS = ".settings-explorer", ".runs-explorer"
BASE = {
    "activation": "tanh",
    "optimizer": "adagrad",
    "pivot_indexes": "[1, 0]",
    "mean_normalization": True,
    "learning_rate": 0.01,
    "hidden_layers": "[64, 4]",
    "drop_probability": 0.6,
    "noise_probability": 0.8,
    "dense_refeeding": 0,
    "dense_refeeding_rounding": False,
    "prediction_rounding": False,
}  # set 1 of the paper's Table 2
SPELLED = {"[1, 0]": "items as rows [1, 0]", "[0, 1]": "users as rows [0, 1]", True: "on", False: "off"}


@pytest.fixture
def panel(request, new_page, addresses):
    """The explorer's panel of one setting; served as the test asks."""
    opened = new_page()
    go(opened, f"{addresses[getattr(request, 'param', 'http')]}{EXPLORER}.html")
    return opened.locator(PANEL)


either_way = pytest.mark.parametrize("panel", ["http", "file"], indirect=True)


def choose(panel, name, value):
    label = re.compile(f"^{name.replace('_', ' ')} \\(")
    select = panel.get_by_label(label)
    places = [text.removesuffix(" *") for text in select.locator("option").all_text_contents()]
    select.select_option(index=places.index(str(SPELLED.get(value, value))))


@either_way
def test_a_setting_is_chosen_by_several_parameters_and_has_the_numbers_of_its_runs(panel):
    records = pd.read_parquet(ROOT / "results" / "records" / "explore-ml-latest-small-2016.parquet")
    changes = [
        {},
        {"activation": "elu", "optimizer": "sgd", "pivot_indexes": "[0, 1]", "mean_normalization": False},
        {"activation": "tanh", "optimizer": "rmsprop", "pivot_indexes": "[1, 0]", "mean_normalization": True}
        | {"learning_rate": 0.001},
    ]
    for change in changes:
        for name, value in change.items():
            choose(panel, name, value)
        own = records
        for name, value in (BASE | change).items():
            own = own[own[name] == value]
        shown, means = panel.get_by_role("status").all_inner_texts(), []
        for protocol, word in (("released", "leaky"), ("holdout", "leak-free")):
            runs = own.loc[own["protocol"] == protocol, "rmse"]
            assert len(runs) == 3
            means.append(runs.mean())
            assert any(f"{word}: {runs.mean():.3f} (" in text for text in shown)
        way = "lowers" if means[1] > means[0] else "raises"
        assert any(f"The leak {way} the RMSE by " in text for text in shown)


def test_what_was_not_run_together_is_marked_and_told(panel):
    choose(panel, "hidden_layers", "1024")
    drop = panel.get_by_label(re.compile("^drop probability"))
    assert drop.locator("option").all_text_contents() == ["0.0 *", "0.2 *", "0.4 *", "0.6", "0.8 *"]
    choose(panel, "drop_probability", 0.2)
    assert panel.get_by_text("Not run together, and so changed too: hidden layers (HLs).").is_visible()
    assert drop.locator("option:checked").text_content() == "0.2"
    layers = panel.get_by_label(re.compile("^hidden layers"))
    assert layers.locator("option:checked").text_content() == "64 4"


def test_every_control_of_the_panel_changes_it(panel):
    panel.locator("details summary").press("Enter")
    for select in panel.locator("select").all():
        before, first = (panel.inner_html(), panel.page.url), select.evaluate("select => select.selectedIndex")
        select.select_option(index=1 if first == 0 else 0)
        assert (panel.inner_html(), panel.page.url) != before
        select.select_option(index=first)
    panel.get_by_label("Start from").select_option("autorec-item")
    assert panel.get_by_text("What it has otherwise than table2:1:").is_visible()
    assert not panel.get_by_label(re.compile("^activation")).is_visible()
    rounded = panel.get_by_text(re.compile("^RMSE unrounded"))
    assert rounded.is_visible()
    panel.get_by_label("round the predictions").press("Space")
    assert not rounded.is_visible()


@either_way
def test_the_panel_is_worked_by_keyboard_and_the_address_brings_it_back(panel, new_page):
    page = panel.page
    panel.get_by_label(re.compile("^hidden layers")).focus()
    page.keyboard.press("ArrowUp")
    again = new_page()
    go(again, page.url)
    assert "hidden_layers" in unquote(page.url)
    assert again.locator(f"{PANEL} svg").first.get_attribute("aria-label") == panel.locator("svg").first.get_attribute(
        "aria-label"
    )


def test_controls_of_the_panel_have_names_and_are_large_enough_for_a_finger(panel):
    panel.locator("details summary").press("Enter")
    lines = re.findall(r"- (combobox|checkbox)(.*)", panel.aria_snapshot())
    assert len(lines) == len(BASE) + 3
    assert all(re.match(r' "[^"]{3,}"', rest) for _, rest in lines), lines
    boxes = [control.bounding_box() for control in panel.locator("select, input, summary").all()]
    assert all(min(box["width"], box["height"]) >= 24 for box in boxes)


def test_every_recorded_setting_is_shown_with_its_curve_its_predictions_and_its_lists(panel):
    data = panel.page.evaluate("() => fetch(location.href).then(answer => answer.text())")
    held = next(
        script.string
        for script in bs4.BeautifulSoup(data, "html.parser").select(f"{PANEL} script")
        if script.get("type") == "application/json"
    )
    settings = json.loads(held)["settings"]
    courses = pd.read_parquet(ROOT / "results" / "records" / "courses-ml-latest-small-2016.parquet")
    ended = courses[courses["status"] == "ok"].groupby("setting")["protocol"].agg(set)
    whole = {name for name, own in settings.items() if all("test" in run for run in own["runs"])}
    assert len(settings) > 200
    assert whole == {name for name, protocols in ended.items() if protocols == {"released", "holdout"}}


def test_without_scripts_the_explorer_says_what_it_would_show(new_page, addresses):
    opened = new_page(java_script_enabled=False)
    go(opened, f"{addresses['http']}{EXPLORER}.html")
    for part in (PANEL, RUNS):
        assert opened.locator(part).get_by_text("This part needs JavaScript").is_visible()
    assert opened.locator("#fig-explore-tuning img").is_visible()


@over_http_and_from_files
def test_the_toys_of_the_leak_compute_means_and_take_the_keyboard(how, new_page, addresses):
    page = new_page()
    go(page, f"{addresses[how]}book/leak.html")
    said = page.locator(".leak-toy [role=status]")

    def tells(*words):
        return [part for part in words if part not in said.text_content()] == []

    assert tells("Ben gave Orchard 5 stars", "Predicted: 5.00, the mean of its one rating", "Error: 0.00")
    page.locator(".leak-toy input[value=leak-free]").press("Space")
    others = np.mean([4, 3, 5, 4, 2, 4])
    assert tells(f"Predicted: {others:.2f}, the mean of all other ratings", f"Error: {5 - others:.2f}")
    page.get_by_role("button", name="Hide Cleo's rating of Harbour").press("Enter")
    assert tells(f"Predicted: {np.mean([4, 3, 4]):.2f}, the mean of its 3 ratings. Error: 1.33")
    page.locator(".leak-toy input[value=leaky]").press("Space")
    assert tells(f"Predicted: {np.mean([4, 3, 5, 4]):.2f}, the mean of its 4 ratings, the hidden one among them")
    slider = page.locator(".leak-slider input")
    for n in (2, 3):
        slider.press("ArrowRight")
        predicted = np.mean([5] + [3] * (n - 1))
        expected = f"With {n} ratings, the hidden one among them, the mean over all predicts {predicted:.2f}"
        assert expected in page.locator(".leak-slider [role=status]").text_content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_drawings_have_the_colour_of_the_text(scheme, new_page, addresses):
    page = new_page(color_scheme=scheme)
    go(page, f"{addresses['http']}book/leak.html")
    text = page.locator("article h2").first.evaluate("heading => getComputedStyle(heading.parentElement).color")
    marks = page.locator("svg.drawing circle.mark").evaluate_all("all => all.map(one => getComputedStyle(one).stroke)")
    assert set(marks) == {text}


def test_without_scripts_the_toys_say_what_they_would_show(new_page, addresses):
    page = new_page(java_script_enabled=False)
    page.goto(f"{addresses['http']}book/leak.html")
    assert "the mean of all others is off by more than a star" in page.locator(".leak-toy").text_content()
    assert page.locator(".leak-slider p").is_visible()


def test_a_chapters_code_is_folded_under_one_link(new_page, addresses):
    page = new_page()
    go(page, f"{addresses['http']}results/executed/05_correlation.html")
    code = page.locator("details.above-input pre").first
    assert not code.is_visible()
    assert page.locator("details.above-input summary").first.is_visible() is False
    link = page.get_by_role("button", name="Show the code")
    link.press("Enter")
    assert code.is_visible()
    page.get_by_role("button", name="Hide the code").click()
    assert not code.is_visible()


def random_pairs():
    """Leaky and leak-free RMSE of the random runs that ended well both ways, and what sets them apart."""
    sweep = pd.read_parquet(ROOT / "results" / "records" / "sweep-ml-latest-small-2016-paper-seed0.parquet")
    scores = sweep[sweep["status"] == "ok"].pivot(index="run", columns="protocol", values="rmse").dropna()
    return scores.join(sweep.drop_duplicates("run").set_index("run")[["mean_normalization", "pivot_indexes"]])


@over_http_and_from_files
def test_runs_are_picked_out_and_the_address_brings_them_back(how, new_page, addresses):
    page, pairs = new_page(), random_pairs()
    go(page, f"{addresses[how]}{EXPLORER}.html")
    told = page.locator(f"{RUNS} .drawn-side [role=status]")
    assert f"All {len(pairs)} runs, median leaky {pairs['released'].median():.3f}" in told.text_content()
    page.get_by_label("Parameter", exact=True).select_option(label="mean normalization (MeN)")
    page.get_by_label("Its value").select_option(label="on")
    page.get_by_role("button", name="Next run").press("Enter")
    own = pairs[pairs["mean_normalization"]]
    gap = (own["holdout"] - own["released"]).median()
    said = f"{len(own)} runs, median leaky {own['released'].median():.3f}, leak-free {own['holdout'].median():.3f}"
    assert said in told.text_content()
    assert f"lowers the RMSE by {gap:.3f} stars" in told.text_content()
    chosen = page.locator(f"{RUNS} .drawn-side strong").text_content()
    run = pairs.loc[int(chosen.rsplit(" ", 1)[1])]
    where = f"leaky {run['released']:.3f}, leak-free {run['holdout']:.3f}"
    assert where in page.locator(f"{RUNS} .drawn-side").text_content()
    again = new_page()
    go(again, page.url)
    assert again.locator(f"{RUNS} .drawn-side [role=status]").text_content() == told.text_content()
    assert again.locator(f"{RUNS} .drawn-side strong").text_content() == chosen
    assert again.locator(f"{RUNS} circle.is-picked").count() > 10


def test_a_guess_is_answered_by_what_was_measured(new_page, addresses):
    page, pairs = new_page(), random_pairs()
    go(page, f"{addresses['http']}{EXPLORER}.html")
    game = page.get_by_role("group", name="Guess the leak-free score")
    for _ in range(3):
        run = pairs.loc[int(re.search(r"random setting (\d+) scores", game.text_content())[1])]
        game.get_by_role("slider").press("ArrowRight")
        guess = float(re.search(r"Your guess: ([\d.]+)", game.text_content())[1])
        game.get_by_role("button", name="Reveal").press("Enter")
        said = game.locator(".runs-answer").text_content()
        assert said.startswith(f"{run['holdout']:.3f} leak-free: the leak ")
        assert float(re.search(r"off by ([\d.]+)\.$", said)[1]) == pytest.approx(abs(guess - run["holdout"]), abs=1e-3)
        game.get_by_role("button", name="Another setting").press("Enter")


def test_guided_steps_tell_the_numbers_of_the_runs(new_page, addresses):
    page, pairs = new_page(), random_pairs()
    go(page, f"{addresses['http']}{EXPLORER}.html")
    near = pairs[pairs["released"] <= 1.2]
    page.get_by_role("button", name="Who gains most?").click()
    told = page.locator(f"{RUNS} .runs-told").text_content()
    for pivot, words in (("[1, 0]", "items as rows [1, 0]"), ("[0, 1]", "users as rows [0, 1]")):
        own = near[near["pivot_indexes"] == pivot]
        gap = (own["holdout"] - own["released"]).median()
        assert f"With {words} the leak lowers the RMSE by {gap:.3f} stars ({len(own)} runs)" in told
