"""The report of an evaluation run: what it shows, and that it opens in a real browser without asking for anything."""

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import lxml.html
import pytest
from conftest import SUBPROCESS
from playwright.sync_api import Browser, Page, sync_playwright

from eval.records import Cited, Found, Piece, Record, line_of, read_json, read_records, write_json
from eval.report import HEADLINES, WORST, write_report
from eval.scores import score
from eval.screenshots import CHROMIUM
from eval.summary import summarise
from index.errors import BadRequest

HOSTILE = """</svg></style></details>"'><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7 * 7 }}$\\frac{$"""
WORDS = {
    "en": "The lamp costs 40 pounds",
    "ru": "Фонарь стоит 40 рублей",
    "ar": "سعر المصباح 40 ديناراً",
    "zh": "路灯价格40元",
}
RUN: dict[str, Any] = {
    "gold": {"name": "lamps.jsonl", "sha256": "9f2c", "questions": 9, "left_out": ["t-77: asked twice"]},
    "index": {
        "folder": "lamp-index",
        "embedder": "e5",
        "articles": 3,
        "passages": 7,
        "fingerprint": "a3f09c1d22e87b54",
    },
    "settings": {"passages": 16, "min_confidence": 0.5, "llm": ""},
    "versions": {"rag-articles": "0.1.0", "python": "3.11.2"},
    "machine": {"processor": "Lamp 3000", "cores": 2},
    "command": "rag eval --gold lamps.jsonl --out run",
    "started": "2026-11-22T14:00:00+00:00",
}


def _record(
    id: str,
    language: str = "en",
    article: str = "en",
    *,
    status: str = "answered",
    confidence: float = 0.9,
    is_right: bool = True,
    is_answerable: bool = True,
    rank: int | None = 1,
) -> Record:
    """Make a record, scored; the evidence is the ``rank``-th passage found, if any."""
    quote = WORDS[article]
    piece = Piece("https://ex.org/lamp", article, 0, len(quote), quote)
    pieces = (piece,) if is_answerable else ()
    found = [Found(f"https://ex.org/{n}", f"Title {n}", 0, 9, "en", 0.1, "other text", ()) for n in range(7)]
    if rank and is_answerable:
        found.insert(rank - 1, Found(piece.uri, "Lamp", 0, len(quote), article, 0.9, quote, (0,)))
    said = quote if is_right else "Nothing of that sort"
    cited = Cited(
        piece.uri, "Lamp", 0, len(said), said, said, True, is_right and is_answerable, (0,) if is_right else ()
    )
    record = Record(
        id=id,
        question=f"{WORDS[language]}?",
        language=language,
        kind="number" if is_answerable else "unanswerable",
        history=(),
        answers=("40",) if is_answerable else (),
        evidence=pieces,
        needs=((0,),) if pieces else (),
        standalone=f"{WORDS[language]}?",
        status=status,
        confidence=confidence,
        answerer="reader",
        text="The articles do not say." if status == "abstained" else f"{said} [1]",
        short=said,
        found=tuple(found[:10]),
        cited=() if status in ("abstained", "failed") else (cited,),
        first=cited,
        timings={"retrieve_ms": 12.0, "total_ms": 300.0},
    )
    return replace(record, scores=score(record))


def _records() -> list[Record]:
    """Make questions of which some went wrong in every way."""
    good = [
        _record(f"good-{question}-{article}", question, article, confidence=0.8 + n / 100)
        for n, question in enumerate(WORDS)
        for article in WORDS
    ]
    return [
        *good,
        _record("refused-rightly", "ru", status="abstained", is_answerable=False, confidence=0.1),
        _record("not-found", status="abstained", rank=None, confidence=0.4),
        _record("found-4th", status="abstained", rank=4, confidence=0.45),
        _record("found-1st", "zh", status="abstained", rank=1, confidence=0.2),
        _record("wrong-unsure", status="partial", is_right=False, confidence=0.6),
        _record("wrong-sure", "ar", is_right=False, confidence=0.95),
        _record("should-refuse", is_answerable=False, confidence=0.85),
        replace(_record("broke", status="failed", confidence=0.0), error="ChatModelFailed: it broke off"),
    ]


def _summary(records: Sequence[Record]) -> dict[str, Any]:
    times = {"finished": "2026-11-22T14:02:03+00:00", "seconds": 123.4, "memory_mb": 780.1}
    return {"run": RUN, **times, **summarise(records)}


def _written(path: Path, records: Sequence[Record], **changes: object) -> lxml.html.HtmlElement:
    write_report(_summary(records) | changes, records, path)
    return lxml.html.document_fromstring(path.read_bytes().decode("utf-8"))


def _text(element: lxml.html.HtmlElement) -> str:
    return " ".join(element.text_content().split())


def _rows(page: lxml.html.HtmlElement, heading: str) -> dict[str, list[str]]:
    """Give the rows of the table under a heading, by their first cell."""
    table = page.xpath(f"//h2[@id='{heading}']/following::table[1]")[0]
    return {_text(row[0]): [_text(cell) for cell in row[1:]] for row in table.xpath("tbody/tr")}


def _worst(page: lxml.html.HtmlElement) -> list[str]:
    """Give the ids of the failures, in the page's order."""
    return [_text(about).split(" · ")[0] for about in page.xpath("//details/summary/span[@class='about'][2]")]


def _interval(figure: dict[str, Any]) -> str:
    return "–" if figure["low"] is None else f"{figure['low']:.3f}–{figure['high']:.3f}"


# What it shows


def test_the_numbers_shown_are_those_given(tmp_path: Path) -> None:
    records = _records()
    page = _written(tmp_path / "report.html", records)
    given = {(f["group"], f["figure"]): f for f in _summary(records)["figures"]}

    overall = _rows(page, "figures")
    assert list(overall) == [figure for group, figure in given if group == "all"]
    for name, (value, interval, count, meaning) in overall.items():
        figure = given["all", name]
        assert value == f"{figure['value']:.3f}"
        assert interval == ("–" if figure["low"] is None else f"{_interval(figure)}")
        assert count == str(figure["count"])
        assert meaning
    tiles = [_text(tile) for tile in page.xpath("//li[@class='tile']")]
    for name, tile in zip(HEADLINES, tiles, strict=True):
        assert tile.startswith(f"{name} {overall[name][0]} 95 % interval {overall[name][1]} · of {overall[name][2]}")

    by_language = _rows(page, "by-language")
    assert list(by_language) == ["ar", "en", "ru", "zh"]
    recall = given["language zh", "recall@5"]
    assert by_language["zh"][0] == (f"{recall['value']:.3f} {_interval(recall)} · {recall['count']}")
    assert page.xpath("//h2[@id='by-kind']/following::table[1]/thead/tr/th/text()") == ["Kind", *HEADLINES[:-1]]
    by_kind = _rows(page, "by-kind")
    assert by_kind["unanswerable"][0] == "–"
    assert by_kind["number"][0].startswith(f"{given['kind number', 'recall@5']['value']:.3f} ")


def test_the_plots_show_the_numbers_given(tmp_path: Path) -> None:
    records = _records()
    page = _written(tmp_path / "report.html", records)
    given = {(f["group"], f["figure"]): f for f in _summary(records)["figures"]}
    plots = {_text(plot.find("h3")): plot.xpath(".//text/text()") for plot in page.xpath("//figure")}
    assert list(plots) == [
        "Recall by number of passages",
        "Risk and coverage",
        "Time by stage",
        *(f"{name} by language" for name in ("recall@5", "containment", "citation_precision", "refusal_f1")),
        *(f"{name} by pair of languages" for name in ("recall@1", "containment")),
    ]
    assert {"ar", "en", "ru", "zh", "all"} <= set(plots["Recall by number of passages"])
    assert {"retrieve", "total", "12", "300"} <= set(plots["Time by stage"])
    for language in WORDS:
        assert f"{given[f'language {language}', 'containment']['value']:.3f}" in plots["containment by language"]
    cells = [f"{of['value']:.2f}" for (group, name), of in given.items() if group[:4] == "pair" and name == "recall@1"]
    shown = Counter(plots["recall@1 by pair of languages"])
    assert len(cells) == 16
    assert Counter(cells) <= shown


def test_failures_come_worst_first_and_each_says_what_went_wrong(tmp_path: Path) -> None:
    page = _written(tmp_path / "report.html", list(reversed(_records())))
    worst = ["wrong-sure", "should-refuse", "wrong-unsure", "found-1st", "found-4th", "not-found"]
    assert _worst(page) == worst
    faults = [_text(fault) for fault in page.xpath("//details//span[@class='fault']")]
    assert faults == [
        "answered wrongly",
        "answered what no article answers",
        "answered wrongly",
        "refused, evidence found",
        "refused, evidence found",
        "refused, evidence not found",
    ]
    assert (
        "6 of 24 went wrong: 2 answered wrongly; 1 answered what no article answers; 2 refused, evidence found; 1"
        in _text(page)
    )


def test_a_failure_shows_what_was_expected_what_came_and_what_was_found(tmp_path: Path) -> None:
    page = _written(tmp_path / "report.html", _records())
    wrong, _, _, _, refused, _ = (_text(card) for card in page.xpath("//details"))
    for part in (
        "confidence 0.95 wrong-sure · number · ar→en",
        f"Expected 40 {WORDS['en']} https://ex.org/lamp",
        "Got answered by reader, confidence 0.95 Nothing of that sort [1]",
        "Lamp · ✗ supports no right answer · ✓ verbatim",
        "Lamp en 0.90 ✓ yes Title 0 en 0.10 no",
        "containment 0.00",
    ):
        assert part in wrong
    assert "Title 4" not in wrong  # the sixth passage
    assert f"Nothing is cited. It held this back: {WORDS['en']} Lamp · ✓ supports a right answer" in refused


def test_no_more_than_the_worst_twenty_are_shown_and_all_are_counted(tmp_path: Path) -> None:
    records = [_record(f"w-{n:02}", is_right=False, confidence=n / 100) for n in range(WORST + 5)]
    page = _written(tmp_path / "report.html", records)
    assert _worst(page) == [f"w-{n:02}" for n in range(WORST + 4, 4, -1)]
    assert f"{WORST + 5} of {WORST + 5} went wrong" in _text(page)


def test_failures_of_equal_weight_stand_in_the_order_of_their_ids(tmp_path: Path) -> None:
    records = [_record(name, is_right=False) for name in "cab"]
    assert _worst(_written(tmp_path / "report.html", records)) == ["a", "b", "c"]


def test_it_says_how_to_repeat_the_run_and_what_it_left_out(tmp_path: Path) -> None:
    page = _text(_written(tmp_path / "report.html", _records()))
    for part in (
        "lamps.jsonl: how well are its questions answered?",
        "asked on 2026-11-22 at 14:00 UTC of 3 articles in lamp-index.",
        RUN["command"],
        RUN["index"]["fingerprint"],
        "min_confidence 0.5 llm –",
        "rag-articles 0.1.0",
        "Lamp 3000",
        "t-77: asked twice",
        "broke: ChatModelFailed: it broke off",
    ):
        assert part in page


# What may be missing


@pytest.mark.parametrize(
    ("records", "missing"),
    [
        pytest.param([_record("one")], {"by language", "by kind", "by pair", "Risk", "refusal_f1 by"}, id="one"),
        pytest.param(
            [_record("a"), _record("b", confidence=0.7), _record("c", "en", "ru", is_right=False, confidence=0.6)],
            {"by language", "by kind"},
            id="one language",
        ),
        pytest.param(
            [_record("a", is_answerable=False, status="abstained"), _record("b", "ru", is_answerable=False)],
            {"Recall by", "recall@5 by", "containment by", "by pair"},
            id="none answerable",
        ),
        pytest.param([_record("f", status="failed"), _record("g", "ru", status="failed")], {"Risk"}, id="all failed"),
        pytest.param([], {"by language", "by pair", "Plots"}, id="none"),
    ],
)
def test_what_there_are_no_figures_for_is_left_out(tmp_path: Path, records: list[Record], missing: set[str]) -> None:
    summary = _summary(records) if records else {**_summary([_record("x")]), "figures": [], "curve": [], "stages": []}
    write_report(summary, records, tmp_path / "report.html")
    page = lxml.html.document_fromstring((tmp_path / "report.html").read_bytes().decode("utf-8"))
    titles = [_text(title) for title in page.xpath("//figure/h3 | //h2[@id]")]
    assert not [title for title in titles if any(name.casefold() in title.casefold() for name in missing)]
    given = {f["figure"] for f in summary["figures"] if f["group"] == "all"}
    tiles = {_text(tile.find("h2")): _text(tile.find("strong")) for tile in page.xpath("//li[@class='tile']")}
    assert {name for name, value in tiles.items() if value == "–"} == set(HEADLINES) - given


def test_an_interval_that_could_not_be_drawn_is_a_dash(tmp_path: Path) -> None:
    records = _records()
    figures = [f | {"low": float("nan"), "high": float("nan")} for f in _summary(records)["figures"]]
    page = _written(tmp_path / "report.html", records, figures=figures)
    assert {interval for _, interval, _, _ in _rows(page, "figures").values()} == {"–"}
    assert not re.search(r"\bnan\b", _text(page.find("body")))


def test_without_matplotlib_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(BadRequest, match=r"pip install 'rag-articles\[eval\]'"):
        write_report(_summary([]), [], tmp_path / "report.html")
    assert not list(tmp_path.iterdir())


# How it is made


def test_the_same_run_gives_the_same_bytes_in_another_process_with_other_settings_of_matplotlib(tmp_path: Path) -> None:
    records = _records()
    _written(tmp_path / "report.html", records)
    write_json(tmp_path / "summary.json", _summary(records))
    (tmp_path / "records.jsonl").write_text("".join(map(line_of, records)), "utf-8")
    (tmp_path / "matplotlibrc").write_text("font.size: 30\naxes.grid: False\n", "utf-8")
    program = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_eval_report import write_again
write_again(Path({str(tmp_path)!r}))
"""
    environment = {**SUBPROCESS, "MATPLOTLIBRC": str(tmp_path / "matplotlibrc"), "PYTHONHASHSEED": "11"}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    assert (tmp_path / "again.html").read_bytes() == (tmp_path / "report.html").read_bytes()


def write_again(folder: Path) -> None:
    """Write the report from the files of a run, in a process of its own; matplotlib stays as it was there."""
    assert "matplotlib" not in sys.modules
    write_report(
        read_json(folder / "summary.json"), list(read_records(folder / "records.jsonl")), folder / "again.html"
    )
    import matplotlib

    assert matplotlib.rcParams["font.size"] == 30
    assert "matplotlib.pyplot" not in sys.modules


def test_no_id_is_there_twice_and_every_reference_leads_somewhere(tmp_path: Path) -> None:
    page = _written(tmp_path / "report.html", _records())
    ids = page.xpath("//@id")
    assert [name for name, count in Counter(ids).items() if count > 1] == []
    source = (tmp_path / "report.html").read_text("utf-8")
    references = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', source)
    assert references
    assert {link or url for link, url in references} <= set(ids)


def test_tables_have_captions_and_headers_say_what_they_head(tmp_path: Path) -> None:
    page = _written(tmp_path / "report.html", _records())
    assert page.xpath("//table")
    assert page.xpath("//table[not(caption)]") == []
    assert page.xpath("//th[not(@scope)]") == []


# In a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        reason = f"these tests drive {CHROMIUM}, which is not installed (Debian: apt-get install chromium)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


def _opened(browser: Browser, path: Path, theme: Literal["light", "dark"] = "light", width: int = 1280) -> Page:
    """Open a report; nothing but itself may be asked for, and the browser may have nothing to say about it."""
    strange: list[str] = []
    page = browser.new_page(color_scheme=theme, viewport={"width": width, "height": 900})
    page.on("console", lambda message: strange.append(message.text))
    page.on("pageerror", lambda error: strange.append(str(error)))
    page.on("request", lambda request: strange.append(request.url) if request.url != path.as_uri() else None)
    page.on("dialog", lambda dialog: strange.append(dialog.message))
    page.goto(path.as_uri())
    page.locator("details").evaluate_all("all => all.forEach(each => { each.open = true; })")
    page.wait_for_timeout(100)  # whatever would still be asked for
    assert strange == []
    return page


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_it_opens_without_any_request_and_fits(
    tmp_path: Path, browser: Browser, theme: Literal["light", "dark"], width: int
) -> None:
    _written(tmp_path / "report.html", _records())
    page = _opened(browser, tmp_path / "report.html", theme, width)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    paper, ink, drawn = (
        page.evaluate("([of, name]) => getComputedStyle(document.querySelector(of))[name]", [of, name])
        for of, name in (("html", "backgroundColor"), ("html", "color"), ("figure svg text[style*=ink]", "fill"))
    )
    assert drawn == ink != paper
    page.close()


def test_text_out_of_articles_and_models_is_text(tmp_path: Path, browser: Browser) -> None:
    wrong = _record("x", is_right=False)
    hostile = replace(
        wrong,
        id=HOSTILE,
        question=HOSTILE,
        language=HOSTILE,
        kind=HOSTILE,
        standalone=f"{HOSTILE}?",
        answerer=HOSTILE,
        text=HOSTILE,
        history=(HOSTILE,),
        answers=(HOSTILE,),
        evidence=(replace(wrong.evidence[0], uri=HOSTILE, language=HOSTILE, quote=HOSTILE),),
        found=(replace(wrong.found[0], title=HOSTILE, language=HOSTILE, text=HOSTILE),),
        cited=(replace(wrong.cited[0], title=HOSTILE, quote=HOSTILE),),
        timings={HOSTILE: 3.0, "$\\frac{$": 4.0, "total_ms": 7.0},
    )
    failed = replace(_record("f", status="failed"), error=HOSTILE)
    records = [hostile, _record("ok"), failed]
    run = {
        **RUN,
        "gold": RUN["gold"] | {"name": HOSTILE, "left_out": [HOSTILE]},
        "index": RUN["index"] | {"folder": HOSTILE},
        "settings": {HOSTILE: HOSTILE},
        "command": HOSTILE,
    }
    _written(tmp_path / "report.html", records, run=run)
    page = _opened(browser, tmp_path / "report.html")
    assert page.locator("script, img, iframe, object, embed, form, base").count() == 0
    assert page.locator("a:not([href^='#'])").count() == 0
    shown = page.locator("body").text_content() or ""
    assert shown.count(HOSTILE) >= 20
    assert {HOSTILE[:11] + "…", "$\\frac{$"} <= set(page.locator("figure svg text").all_text_contents())
    assert page.locator("h2").last.text_content() == "How to repeat it"
    page.close()


def test_right_to_left_text_runs_from_right_to_left(tmp_path: Path, browser: Browser) -> None:
    _written(tmp_path / "report.html", _records())
    page = _opened(browser, tmp_path / "report.html")
    question = page.locator("details .question").first
    assert question.text_content() == f"{WORDS['ar']}?"
    assert question.evaluate("element => getComputedStyle(element).direction") == "rtl"
    assert page.locator("details .question").nth(1).evaluate("element => getComputedStyle(element).direction") == "ltr"
    page.close()


def test_half_a_surrogate_pair_does_not_stop_it(tmp_path: Path) -> None:
    broken = replace(_record("x", is_right=False), text="half \ud83d of a pair")
    assert "half ? of a pair" in _text(_written(tmp_path / "report.html", [broken]))
