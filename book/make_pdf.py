"""Print the report, built as a single page, to a PDF with a Chromium that is installed.

python book/make_pdf.py build/pdf/_build/singlehtml/index.html build/flexencoder-reproduced.pdf
"""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Browser, Error, Playwright, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
MISSING = (
    "needs Chromium, and there is none: install it (Debian and Ubuntu: apt-get install chromium; "
    "macOS: brew install --cask chromium), or give the path of one as CHROMIUM"
)
STYLE = Path(__file__).with_name("print.css")
SCALE, MARGIN = 0.8, 16  # of the page's own sizes; millimetres, also above, and 18 below
WIDTH = int((210 - 2 * MARGIN) / 25.4 * 96 / SCALE)  # CSS pixels between the margins of A4
HEIGHT = int((297 - MARGIN - 18) / 25.4 * 96 / SCALE)
# Nothing scrolls on paper, so wide tables are made smaller; and only what is taller than a page is broken.
FIT = """height => {
  document.querySelectorAll("article table").forEach(table => {
    const room = table.parentElement.clientWidth
    if (room && table.scrollWidth > room) table.style.zoom = room / table.scrollWidth
  })
  document.querySelectorAll("article :is(figure, table, .pst-scrollable-table-container)").forEach(block => {
    block.style.breakInside = block.getBoundingClientRect().height > height ? "auto" : "avoid"
  })
}"""
FOOTER = """<div style="width: 100%; font: 8pt sans-serif; color: #555555; text-align: center">
<span class="pageNumber"></span> / <span class="totalPages"></span></div>"""


def find_chromium() -> str | None:
    """Find the browser that CHROMIUM names, or else one on the PATH; None where there is none."""
    named = os.environ.get("CHROMIUM")
    return shutil.which(named) if named else next(filter(None, map(shutil.which, BROWSERS)), None)


def launch(playwright: Playwright) -> Browser:
    """Start Chromium without a window; `FileNotFoundError`, in one line, where there is none."""
    path = find_chromium()
    if path is None:
        raise FileNotFoundError(MISSING)
    # Its sandbox refuses to work for root, as in a container; the pages are our own.
    options = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    return playwright.chromium.launch(executable_path=path, args=options)


def make_pdf(page: Path | str, out: Path | str) -> Path:
    """Print an HTML file to `out`, which stays as it was if anything fails; returns its path."""
    page, out = Path(page).resolve(), Path(out)
    partial = out.with_suffix(".partial")
    with sync_playwright() as playwright:
        browser = launch(playwright)
        try:
            opened = browser.new_page()
            opened.goto(page.as_uri())
            opened.evaluate("() => window.MathJax && window.MathJax.startup.promise")
            opened.evaluate("() => document.querySelectorAll('img').forEach(image => { image.loading = 'eager' })")
            opened.evaluate(
                "() => document.querySelectorAll('details.sd-dropdown').forEach(one => { one.open = true })"
            )
            opened.wait_for_function("() => [...document.images].every(image => image.complete)")
            opened.add_style_tag(content=STYLE.read_text(encoding="utf-8"))
            opened.emulate_media(media="print")
            opened.set_viewport_size({"width": WIDTH, "height": 1000})
            opened.evaluate(FIT, HEIGHT)
            opened.pdf(
                path=partial,
                format="A4",
                scale=SCALE,
                display_header_footer=True,
                header_template="<span></span>",
                footer_template=FOOTER,
                print_background=True,
                outline=True,
                tagged=True,
                margin={"top": f"{MARGIN}mm", "bottom": "18mm", "left": f"{MARGIN}mm", "right": f"{MARGIN}mm"},
            )
        finally:
            browser.close()
    partial.replace(out)
    return out


def main(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit status."""
    if len(arguments) != 2:
        print("usage: make_pdf.py PAGE.html OUT.pdf", file=sys.stderr)
        return 2
    try:
        print(f"The report as a PDF: {make_pdf(*arguments).resolve()}")
    except (OSError, Error) as error:
        print(f"make_pdf: {str(error).splitlines()[0]}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
