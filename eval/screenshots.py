"""Photograph the page and the report of an evaluation, from an index of the sample articles, each state as a PNG.

python -m eval.screenshots FOLDER
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
_ROOT = Path(__file__).parent.parent
_ARTICLES = _ROOT / "eval" / "data" / "articles"
_STARTED_WITHIN = 120.0  # seconds
_ANSWERED_WITHIN = 60_000  # milliseconds


def main() -> None:
    """Index the samples, serve them, photograph."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where the pictures go")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=_ANSWERED_WITHIN)
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        index = Path(scratch) / "index"
        _rag("add", _ARTICLES, "--index", index)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        with serving(index) as address:
            _photograph(browser, address, folder)
        run = Path(scratch) / "run"
        _rag("eval", "--gold", _ARTICLES.parent / "gold.jsonl", "--index", index, "--out", run)
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.goto((run / "report.html").as_uri())
        page.locator("#drawings").screenshot(path=folder / "report.png")
        browser.close()


def _rag(*arguments: str | Path) -> None:
    subprocess.run([sys.executable, "-m", "rag", *map(str, arguments)], cwd=_ROOT, check=True, capture_output=True)


@contextmanager
def serving(index: Path, **environment: str) -> Iterator[str]:
    """Run ``rag serve`` over an index, with more environment variables if any, and give the page's address.

    Raises:
        RuntimeError: it does not start; the text is what it said.
    """
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "log"
        with log.open("wb") as output:
            server = subprocess.Popen(
                [sys.executable, "-m", "rag", "serve", "--index", str(index), "--port", "0"],
                cwd=_ROOT,
                env={**os.environ, **environment},
                stdout=output,
                stderr=output,
            )
        try:
            yield _address(server, log)
        finally:
            server.terminate()
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _address(server: subprocess.Popen[bytes], log: Path) -> str:
    """Wait until a server says where it listens."""
    deadline = time.monotonic() + _STARTED_WITHIN
    while time.monotonic() < deadline and server.poll() is None:
        said = re.search(r"Open (http://\S+)", log.read_text("utf-8", "replace"))
        if said:
            return said[1]
        time.sleep(0.1)
    raise RuntimeError(f"the server did not start (status {server.poll()}):\n{log.read_text('utf-8', 'replace')}")


def _photograph(browser: Browser, address: str, folder: Path) -> None:
    def opened(
        language: str = "en-US", theme: Literal["light", "dark"] = "light", width: int = 1400, height: int = 900
    ) -> Page:
        page = browser.new_page(locale=language, color_scheme=theme, viewport={"width": width, "height": height})
        page.goto(address)
        expect(page.locator("#chat .example")).not_to_have_count(0)  # they are looked for when the server starts
        return page

    def shot(page: Page, name: str) -> None:
        page.mouse.move(0, 0)
        page.wait_for_timeout(500)  # what fades in is in
        page.screenshot(path=folder / f"{name}.png")

    page = opened()
    shot(page, "empty")
    _ask(page, "How many street lights will Cork replace?")
    _open_citation(page)
    shot(page, "answer")
    _ask(page, "and in Linz?")
    shot(page, "follow-up")
    page = opened()
    _ask(page, "Who won the chess world championship in 1985?")
    shot(page, "abstention")
    page.locator("#articles-tab-button").click()
    expect(page.locator("#articles").get_by_role("gridcell")).not_to_have_count(0)
    page.locator("#articles").get_by_role("gridcell").first.click()
    expect(page.locator("#chosen")).to_be_visible()
    shot(page, "articles")
    page = opened(theme="dark")
    _ask(page, "How many street lights will Cork replace?")
    _open_citation(page)
    shot(page, "dark")
    page = opened(width=390, height=844)
    _ask(page, "How many street lights will Cork replace?")
    shot(page, "phone")
    _open_citation(page)
    shot(page, "phone-article")
    page = opened(language="ru-RU")
    shot(page, "russian-empty")
    _ask(page, "Сколько стоит теплосеть Lower Don в Шеффилде?")
    _open_citation(page)
    shot(page, "russian")


def _ask(page: Page, question: str) -> None:
    answers = page.locator("#chat .answer .footer")
    before = answers.count()
    page.locator("#question textarea").fill(question)
    page.locator("#question textarea").press("Enter")
    expect(answers).to_have_count(before + 1)


def _open_citation(page: Page) -> None:
    page.locator("#chat .answer").last.locator("a.cite").first.click()
    expect(page.frame_locator("#article-frame").locator("mark#quote")).to_be_visible()


if __name__ == "__main__":
    main()
