"""The live explorer in a real browser with a real kernel: the app that `make explore` serves, on synthetic data."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from flexstudy.plans import LEAKY_AND_LEAK_FREE
from flexstudy.style import SHORT_NAMES

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install --editable notebooks")
pytest.importorskip("voila", reason="needs voila: pip install --editable notebooks")
from make_pdf import MISSING, find_chromium, launch  # noqa: E402 (needs playwright)

ROOT = Path(__file__).parents[1]
PATIENCE = 90_000  # milliseconds; a busy machine starts a kernel slowly
TRAINED = re.compile(r"Trained in [\d.]+ s")


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """The address of the app, served by the Makefile's own command, where no data set is at hand."""
    if find_chromium() is None:
        pytest.skip(MISSING)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    rule = (ROOT / "Makefile").read_text().split("\nexplore:")[1].split("\n\n")[0].split("\n", 1)[1]
    values = {"BIN": Path(sys.executable).parent, "PORT": port, "THEME": "light", "VOILA": "--no-browser"}
    command = re.sub(r"\$\((\w+)\)", lambda found: str(values[found[1]]), rule)
    empty = tmp_path_factory.mktemp("empty")
    environment = os.environ | {"FLEXLIB_DATA": str(empty), "XDG_CACHE_HOME": str(empty), "OMP_NUM_THREADS": "1"}
    log = empty / "voila.log"
    with log.open("w") as said:
        server = subprocess.Popen(
            f"exec env {command.strip()}", shell=True, cwd=ROOT, env=environment, stdout=said, stderr=said
        )
    address = f"http://127.0.0.1:{port}/"
    try:
        wait_for(server, f"{address}voila/static/", log)
        yield address
    finally:
        server.terminate()
        server.wait(30)


def wait_for(server, address, log):
    for _ in range(300):
        assert server.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except urllib.error.HTTPError as answer:
            answer.close()
            return
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise AssertionError(f"no answer from {address}: {log.read_text()}")


@pytest.fixture(scope="module")
def page(app):
    """The app's page, once its controls are there; its errors and its requests to other hosts are collected."""
    with playwright.sync_playwright() as started, launch(started) as browser:
        page = browser.new_page(viewport={"width": 1100, "height": 1000})
        page.wrong = []
        page.on("console", lambda message: message.type == "error" and page.wrong.append(message.text))
        page.on("pageerror", lambda error: page.wrong.append(str(error)))
        page.on("request", lambda request: foreign(request.url, app) and page.wrong.append(request.url))
        page.goto(app, timeout=PATIENCE)
        button(page, "Train").wait_for(timeout=PATIENCE)
        yield page


def foreign(url, app):
    return not url.startswith((app, app.replace("http", "ws", 1), "data:", "blob:"))


def button(page, name):
    return page.get_by_role("button", name=name, exact=True)


def test_without_the_data_set_it_says_so_and_takes_synthetic_ones(page):
    page.get_by_text("ml-latest-small-2016 is not on this machine: these are synthetic data").wait_for()
    assert page.get_by_label("preset", exact=True).first.input_value()
    assert page.get_by_text("{glue:text}").count() == 0  # which only the book can show


def test_a_run_is_trained_and_shown(page):
    sizes = page.get_by_label("hidden layers (HLs)").first
    sizes.fill("16")
    sizes.press("Enter")
    slider = page.get_by_role("slider", name="epochs (Ep)")
    before = int(slider.get_attribute("aria-valuetext"))
    slider.press("ArrowLeft")
    page.wait_for_function(
        "([one, before]) => +one.getAttribute('aria-valuetext') == before - 1", arg=[slider.element_handle(), before]
    )
    button(page, "Train").click()
    page.get_by_text(TRAINED).wait_for(timeout=PATIENCE)
    table = page.get_by_role("table").filter(has_text="RMSE (stars)")
    rows = [row.split("\t") for row in table.inner_text().strip().splitlines()[-2:]]
    assert [row[0] for row in rows] == [SHORT_NAMES[protocol] for protocol in LEAKY_AND_LEAK_FREE]
    assert all(0.5 < float(row[1]) < 2 for row in rows)
    assert page.get_by_role("img", name="RMSE after each epoch, by protocol").count() == 1
    assert f"epochs={before - 1}" in page.get_by_text("flexlib train --dataset").inner_text()
    assert page.get_by_text("Recommended to user").count() == 1


def test_training_is_stopped_by_its_button(page):
    slider = page.get_by_role("slider", name="epochs (Ep)")
    slider.press("End")
    button(page, "Train").click()
    button(page, "Stop").click()
    page.get_by_text(re.compile(r"Stopped after \d+ of 200 epochs")).wait_for(timeout=PATIENCE)
    assert button(page, "Stop").is_disabled()


def test_bad_settings_are_refused_in_words(page):
    sizes = page.get_by_label("hidden layers (HLs)").first
    sizes.fill("64 <b>many</b>")
    sizes.press("Enter")
    button(page, "Train").click()
    refused = "hidden_layers (HLs): [64, '<b>many</b>'] is not a list of 1 to 100 whole numbers"
    told = page.get_by_role("alert").filter(has_text=refused)
    told.first.wait_for(timeout=PATIENCE)
    page.wait_for_timeout(500)
    assert told.count() == 2  # beside the controls as soon as they say so, and beside the button that was pressed


def test_a_recorded_setting_is_chosen_by_its_controls(page):
    panel = page.get_by_role("group", name="One setting")
    scores = panel.get_by_role("status").filter(has_text="The leak")
    before = scores.inner_text()
    panel.get_by_label("hidden layers (HLs)").select_option(label="16")
    assert scores.inner_text() != before
    assert panel.get_by_role("img", name=re.compile("RMSE after each epoch")).count() == 1


def test_nothing_went_wrong_and_no_other_host_was_asked(page):
    assert page.wrong == []
