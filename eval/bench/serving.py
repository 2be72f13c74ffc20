"""What people and programs get from ``rag serve``: how long they wait, who is sent away, what it costs in memory.

    python -m eval.bench.serving [--people 50] [--seconds 60] [--every 10]

starts the real server on loopback over a new index of the sample articles, and another one for each part:

people    each asks at ``/v1/ask``, every so many seconds and at once if the last answer took longer, from a moment of
          their own on. First as people do, some of them the same; then all different, so that none is answered from
          memory; then four times as many people and a short line: who is refused comes back when told to.
          A wait is from the first sending of a question to its answer, refusals included.
search    requests a second at ``/v1/search``, and at an endpoint that does nothing, which is what FastAPI and this
          script's own client leave; both run on the cores that the server needs.
page      in a browser (Playwright and a Chromium), each time with a new profile: until the question box can be used;
          then from sending a question to the first sign of life, and to the answer, beside a bare `Assistant.ask` of
          the same question right after it.
"""

import argparse
import asyncio
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, cycle, product
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import numpy as np
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from eval.bench.measure import at_least, at_most, percentile, timed
from eval.gold import SAMPLES, read_gold
from index.article_index import ArticleIndex
from index.build import add_articles
from rag import Assistant, Settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_HERE = Path(__file__).resolve().parents[2]
_FILES = ("gold_dev.jsonl", "gold.jsonl")
_PATIENCE = 120  # seconds after which a request counts as hanging
_STARTING = 120  # seconds that a server may take to start
_IDLE = 0.1  # of a core: a server that uses less has nothing left to do
_CROWDED, _SHORT_LINE = 4, 32  # times as many people; how many may wait then
_SAMPLED = 10  # seconds between two looks at the server's memory
_CONNECTIONS, _SEARCHING = 8, 10  # at once; seconds
_REPEATED = 50  # questions that are searched for again and again
_PAGES, _ASKED = 5, 20  # pages opened; questions asked in one
_BOX = "#question textarea"
_WAIT, _REPEATED_RATE, _DIFFERENT_RATE = 8, 100, 20  # to reach: seconds, requests a second
_USABLE, _PROGRESS, _ANSWER = 2.5, 0.2, 1.5  # seconds
_GROWTH = 10  # MB a minute: less than this is called flat


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=50, help="who ask at the same time (default: 50)")
    parser.add_argument("--seconds", type=float, default=60, help="for which they do so (default: 60)")
    parser.add_argument("--every", type=float, default=10, help="seconds between one's questions (default: 10)")
    options = parser.parse_args()
    gold = (question for name in _FILES for question in read_gold(SAMPLES.parent / name))
    questions = list(dict.fromkeys(question.question for question in gold if not question.history))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "index"
        index = ArticleIndex.open(folder, create=True, say=print)
        add_articles(index, [SAMPLES])
        index.close()
        _measure_people(folder, questions, options.people, options.seconds, options.every)
        _measure_search(folder, questions)
        _measure_page(folder, questions)


# Servers


@contextmanager
def _served(folder: Path, **settings: str) -> Iterator[str]:
    """Run ``rag serve`` over an index; give its address once it has tried out its example questions."""
    environment = {f"RAG_{name.upper()}": value for name, value in settings.items()}
    with _running(["-m", "rag", "serve", "--index", str(folder), "--port", "0"], environment) as url:
        busy = _figures(url)["process_cpu_seconds_total"]
        while True:
            time.sleep(1)
            before, busy = busy, _figures(url)["process_cpu_seconds_total"]
            if busy - before < _IDLE:
                break
        yield url


@contextmanager
def _running(command: Sequence[str], environment: dict[str, str]) -> Iterator[str]:
    """Run a Python process that serves HTTP on loopback; give the address that it prints."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("RAG_") or name == "RAG_CACHE"}
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        process = subprocess.Popen(
            [sys.executable, *command], stdout=output, stderr=output, cwd=_HERE, env={**own, **environment}
        )
        try:
            yield _address(process, lambda: os.pread(output.fileno(), 100_000, 0).decode())
        finally:
            process.terminate()
            process.wait(_PATIENCE)


def _address(process: subprocess.Popen[bytes], printed: Callable[[], str]) -> str:
    deadline = time.monotonic() + _STARTING
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(r"http://127\.0\.0\.1:\d+", printed())
        if found and _is_up(found[0]):
            return found[0]
        time.sleep(0.1)
    raise SystemExit(f"a server did not start (exit status {process.poll()}):\n{printed()}")


def _is_up(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=_PATIENCE).status_code < 500
    except httpx.TransportError:
        return False


def _figures(url: str) -> dict[str, float]:
    """Give the server's own figures, summed over their labels."""
    return _summed(httpx.get(f"{url}/metrics", trust_env=False, timeout=_PATIENCE).text)


def _summed(exposition: str) -> dict[str, float]:
    sums: defaultdict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            sums[sample.name] += sample.value
    return sums


def empty_app() -> FastAPI:
    """Give an app that does nothing: what is left of a request is the frameworks' and the client's."""
    app = FastAPI()

    @app.post("/")
    async def nothing() -> dict[str, str]:
        return {}

    return app


# People


@dataclass
class _Crowd:
    """What people at one server saw: seconds that they waited, how often they were refused, what went wrong."""

    waits: list[float] = field(default_factory=list)
    refused: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    megabytes: list[float] = field(default_factory=list)  # the server's, every `_SAMPLED` seconds
    seconds: float = 0.0  # until the last one had an answer
    made: int = 0  # answers that did not come from memory


def _measure_people(folder: Path, questions: list[str], people: int, seconds: float, every: float) -> None:
    print(f"people: a question every {every:g} s each, for {seconds:g} s; waits in seconds")
    columns = ("answers", "a second", "known", "refused", "errors", "p50", "p95", "max")
    print(" " * 26 + "".join(f"{column:>9}" for column in columns))
    drawing = random.Random(1)
    repeating = iter(lambda: drawing.choice(questions), None)
    short = {"queue": str(_SHORT_LINE)}
    for many, kind, asked, settings in (
        (people, "as people do", repeating, {}),
        (people, "all different", _all_different(questions), {}),
        (_CROWDED * people, f"{_SHORT_LINE} may wait", repeating, short),
    ):
        with _served(folder, **settings) as url:
            crowd = asyncio.run(_crowd(url, many, asked, seconds, every))
        _print_crowd(f"{many} people, {kind}", crowd, is_crowded=settings is short)


def _all_different(questions: Sequence[str]) -> Iterator[str]:
    """Give each question once, then each again with marks after it that change nothing in what is asked."""
    for length in count():
        for marks in product("?!.", repeat=length):
            for question in questions:
                yield f"{question} {''.join(marks)}".rstrip()


async def _crowd(url: str, people: int, questions: Iterator[str], seconds: float, every: float) -> _Crowd:
    crowd = _Crowd()
    drawing = random.Random(2)
    starts = [drawing.uniform(0, every) for _ in range(people)]
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=_PATIENCE, limits=limits, trust_env=False) as client:
        before = _summed((await client.get("/metrics")).text)
        began = time.perf_counter()
        watching = asyncio.create_task(_watch(client, crowd))
        await asyncio.gather(*(_person(client, questions, s, every, began + seconds, crowd) for s in starts))
        crowd.seconds = time.perf_counter() - began
        watching.cancel()
        after = _summed((await client.get("/metrics")).text)
    crowd.made = int(after["rag_answers_total"] - before["rag_answers_total"])
    return crowd


async def _watch(client: httpx.AsyncClient, crowd: _Crowd) -> None:
    while True:
        figures = _summed((await client.get("/metrics")).text)
        crowd.megabytes.append(figures["process_resident_memory_bytes"] / 1e6)
        await asyncio.sleep(_SAMPLED)


async def _person(
    client: httpx.AsyncClient, questions: Iterator[str], start: float, every: float, end: float, crowd: _Crowd
) -> None:
    await asyncio.sleep(start)
    while (now := time.perf_counter()) < end:
        await _ask(client, next(questions), end, crowd)
        await asyncio.sleep(max(0, now + every - time.perf_counter()))


async def _ask(client: httpx.AsyncClient, question: str, end: float, crowd: _Crowd) -> None:
    """Ask until answered; whoever would have to come back after ``end`` does not."""
    began = time.perf_counter()
    while True:
        try:
            response = await client.post("/v1/ask", json={"question": question})
        except httpx.HTTPError as error:
            crowd.errors[type(error).__name__] += 1
            return
        if response.status_code == httpx.codes.OK and response.json()["text"]:
            crowd.waits.append(time.perf_counter() - began)
            return
        if response.status_code != httpx.codes.TOO_MANY_REQUESTS or "Retry-After" not in response.headers:
            crowd.errors[f"status {response.status_code}"] += 1
            return
        crowd.refused += 1
        pause = float(response.headers["Retry-After"])
        if time.perf_counter() + pause >= end:
            return
        await asyncio.sleep(pause)


def _print_crowd(name: str, crowd: _Crowd, *, is_crowded: bool) -> None:
    waits = crowd.waits or [float("nan")]
    answers, errors = len(crowd.waits), sum(crowd.errors.values())
    p95 = percentile(waits, 95)
    counts = f"{answers:>9}{answers / crowd.seconds:>9.2f}{answers - crowd.made:>9}{crowd.refused:>9}{errors:>9}"
    print(f"{name:<26}{counts}{percentile(waits, 50):>9.2f}{p95:>9.2f}{max(waits):>9.2f}")
    print(f"  errors {errors}  {at_most(errors, 0)}" + "".join(f"; {n} {kind}" for kind, n in crowd.errors.items()))
    if not is_crowded:
        print(f"  p95 {p95:.2f} s  {at_most(p95, _WAIT)}")
    growth = _growth(crowd.megabytes)
    verdict = "too short to tell" if growth is None else f"{growth:+.1f} MB a minute  {at_most(growth, _GROWTH)}"
    print(f"  resident MB {' '.join(f'{value:.0f}' for value in crowd.megabytes)}: {verdict}")


def _growth(megabytes: Sequence[float]) -> float | None:
    """Give the slope after warm-up, the first third, in MB a minute; ``None`` if there is too little to tell."""
    warm = megabytes[(len(megabytes) + 2) // 3 :]
    if len(warm) < 3:
        return None
    return float(np.polyfit(np.arange(len(warm)), warm, 1)[0]) * 60 / _SAMPLED


# Search


def _measure_search(folder: Path, questions: list[str]) -> None:
    print(f"\nsearch: {_CONNECTIONS} connections for {_SEARCHING} s each, requests a second")
    with _running(["-m", "uvicorn", "--factory", "eval.bench.serving:empty_app", "--port", "0"], {}) as url:
        empty = asyncio.run(_rate(f"{url}/", cycle(questions)))
    with _served(folder) as url:
        repeated = asyncio.run(_rate(f"{url}/v1/search", cycle(questions[:_REPEATED])))
        different = asyncio.run(_rate(f"{url}/v1/search", _all_different(questions[_REPEATED:])))
    print(f"  an endpoint that does nothing   {empty:>7.1f}")
    for name, rate, wanted in (("repeated", repeated, _REPEATED_RATE), ("different", different, _DIFFERENT_RATE)):
        print(f"  /v1/search, {name:<20}{rate:>7.1f}  {rate / empty:.2f} of that; {at_least(rate, wanted)}")


async def _rate(url: str, questions: Iterator[str]) -> float:
    """Give the requests a second that are answered."""
    began = time.perf_counter()

    async def connection(client: httpx.AsyncClient) -> int:
        answered = 0
        while time.perf_counter() < began + _SEARCHING:
            response = await client.post(url, json={"question": next(questions)})
            response.raise_for_status()
            answered += 1
        return answered

    async with httpx.AsyncClient(timeout=_PATIENCE, trust_env=False) as client:
        answered = await asyncio.gather(*(connection(client) for _ in range(_CONNECTIONS)))
    return sum(answered) / (time.perf_counter() - began)


# The page


def _measure_page(folder: Path, questions: list[str]) -> None:
    print("\npage")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        print("  not measured: there is no Playwright (pip install playwright)")
        return
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium") or playwright.chromium.executable_path
        if not Path(chromium).exists():
            print("  not measured: there is no Chromium (apt install chromium)")
            return
        with _served(folder) as url:
            _measure_in_browser(lambda: playwright.chromium.launch(executable_path=chromium), url, folder, questions)


def _measure_in_browser(launch: Callable[[], "Browser"], url: str, folder: Path, questions: list[str]) -> None:
    usable = []
    for _ in range(_PAGES):
        browser = launch()  # with a profile of its own, which is new
        page = browser.new_page()
        usable.append(timed(_open, page, url)[1])
        browser.close()
    asked = questions[:: len(questions) // _ASKED][:_ASKED]
    assistant = Assistant.open(folder, Settings(index=folder))
    browser = launch()
    page = browser.new_page()
    _open(page, url)
    _, *rows = [(*_ask_page(page, q), timed(assistant.ask, q)[1]) for q in (questions[1], *asked)]
    browser.close()
    progress, answer, bare = zip(*rows, strict=True)
    print(f"  {_PAGES} new profiles, {_ASKED} questions; seconds{'median':>15}{'worst':>8}")
    for name, seconds, verdict in (
        ("question box can be used", usable, at_most(max(usable), _USABLE)),
        ("first progress after sending", progress, at_most(percentile(progress, 50), _PROGRESS)),
        ("answer", answer, at_most(percentile(answer, 50), _ANSWER)),
        ("Assistant.ask in a process of its own", bare, ""),
    ):
        print(f"  {name:<38}{percentile(seconds, 50):>8.2f}{max(seconds):>8.2f}  {verdict}")
    print(f"  page / Assistant.ask: {percentile(answer, 50) / percentile(bare, 50):.2f}")


def _open(page: "Page", url: str) -> None:
    """Go to the page, and wait until its question box can be clicked and has the focus."""
    page.goto(url, wait_until="commit")
    page.locator(_BOX).click()


def _ask_page(page: "Page", question: str) -> tuple[float, float]:
    """Ask in a conversation of its own; give the seconds until something was shown, and until the answer was."""
    page.locator(_BOX).fill(question)
    began = time.perf_counter()
    page.keyboard.press("Enter")
    page.locator("#chat .answer").wait_for()
    shown = time.perf_counter() - began
    page.locator("#chat .answer:not(.working)").wait_for()
    answered = time.perf_counter() - began
    page.locator("#new").click()
    page.locator("#chat .answer").wait_for(state="detached")
    return shown, answered


if __name__ == "__main__":
    main()
