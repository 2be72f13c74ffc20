"""What is found of web pages: main text, title and date, against trafilatura as it comes, and how fast.

    python -m eval.bench.web_pages HTML_FOLDER [--failures]

The folder holds ``scrapinghub`` (https://github.com/scrapinghub/article-extraction-benchmark: pages and their article
bodies) and ``fundus`` (https://github.com/flairNLP/fundus: pages of 21 countries with title, body and date).

Texts are compared as that benchmark does: by runs of four words, counted; precision and recall are the means over
pages, F1 is made of the two. A title is right if its words are; a date, if the day is, as the page writes it.
"""

import argparse
import gzip
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import trafilatura
from tqdm import tqdm

from eval.bench.measure import at_least, timed
from index.articles import Source
from index.clean import clean
from index.errors import NotAnArticle

_WORD = re.compile(r"\w+")
_RUN = 4  # words
_TEXT_F1, _BODY_F1, _DATE, _SPEED = 0.955, 0.93, 0.95, 200  # to reach; the last in pages a second


@dataclass(frozen=True, slots=True)
class Page:
    """A page, and what stands on it; title and date are empty where they are not known."""

    name: str
    html: bytes
    body: str
    title: str = ""
    published: str = ""


@dataclass(frozen=True, slots=True)
class Extracted:
    """What was found on a page; all empty if nothing was."""

    text: str = ""
    title: str = ""
    published: str = ""


def main() -> None:
    """Extract, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="HTML_FOLDER")
    parser.add_argument("--failures", action="store_true", help="print what was wrong on each page")
    options = parser.parse_args()
    scrapinghub = list(_scrapinghub(options.folder / "scrapinghub"))
    fundus = list(_fundus(options.folder / "fundus"))
    _compare("scrapinghub", scrapinghub, _TEXT_F1, failures=options.failures)
    _compare("fundus", fundus, _BODY_F1, failures=options.failures)


def _compare(name: str, pages: Sequence[Page], to_reach: float, *, failures: bool) -> None:
    print(f"\n{name}: {len(pages)} pages")
    for extractor, extract in (("trafilatura", _trafilatura), ("ours", _ours)):
        extract(pages[0])  # what loads at first use is loaded
        found, seconds = timed(_all, extract, pages)
        precision, recall = (mean(each) for each in zip(*map(_overlap, pages, found), strict=True))
        f1 = 2 * precision * recall / (precision + recall)
        speed = len(pages) / seconds
        print(f"{extractor:<12} text: precision {precision:.3f}, recall {recall:.3f}, F1 {f1:.3f}; {speed:.0f} pages/s")
        for what, right in (("title", _has_title), ("date", _has_date)):
            known = [right(page, each) for page, each in zip(pages, found, strict=True) if getattr(page, _FIELD[what])]
            if known:
                print(f"{'':<12} {what}: right on {sum(known)} of {len(known)} = {mean(known):.3f}")
        if extractor == "ours":
            print(f"{'':<12} F1 {at_least(f1, to_reach)}; pages a second {at_least(speed, _SPEED)}")
            if failures:
                _print_failures(pages, found)


_FIELD = {"title": "title", "date": "published"}


def _all(extract: Callable[[Page], Extracted], pages: Sequence[Page]) -> list[Extracted]:
    return [extract(page) for page in tqdm(pages, leave=False, disable=None)]


# Pages


def _scrapinghub(folder: Path) -> Iterator[Page]:
    for name, truth in json.loads((folder / "ground-truth.json").read_text("utf-8")).items():
        html = gzip.decompress((folder / "html" / f"{name}.html.gz").read_bytes())
        yield Page(name, html, truth["articleBody"])


def _fundus(folder: Path) -> Iterator[Page]:
    """Read the pages of each paper; a paper's pages and their descriptions are in the same order of time."""
    for file in sorted(folder.glob("*/*.json")):
        described = sorted(json.loads(file.read_text("utf-8")).values(), key=lambda d: str(d["publishing_date"]))
        pages = sorted(file.parent.glob(f"{file.stem}_2*.html.gz"))
        for page, truth in zip(pages, described, strict=True):
            sections = truth["body"]["sections"]
            parts = [*truth["body"]["summary"], *(p for s in sections for p in (*s["headline"], *s["paragraphs"]))]
            html = gzip.decompress(page.read_bytes())
            day = str(truth["publishing_date"] or "")[:10]
            yield Page(f"{file.parent.name}/{page.name}", html, "\n".join(parts), truth["title"] or "", day)


# Extractors


def _trafilatura(page: Page) -> Extracted:
    found = trafilatura.bare_extraction(page.html, with_metadata=True, include_comments=False)
    if found is None or isinstance(found, dict):
        return Extracted()
    return Extracted(found.text or "", found.title or "", found.date or "")


def _ours(page: Page) -> Extracted:
    uri = f"file:///{page.name}.html"
    try:
        article = clean(Source(uri, "html", page.html, uri))
    except NotAnArticle:
        return Extracted()
    return Extracted(article.text, article.title, article.published or "")


# Comparing


def _overlap(page: Page, found: Extracted) -> tuple[float, float]:
    """Give precision and recall of the runs of words of one page."""
    wanted, got = _runs(page.body), _runs(found.text)
    shared = sum((wanted & got).values())
    return shared / max(1, got.total()), shared / max(1, wanted.total())


def _runs(text: str) -> Counter[tuple[str, ...]]:
    words = _WORD.findall(text)
    return Counter(tuple(words[i : i + _RUN]) for i in range(max(1, len(words) - _RUN + 1)))


def _has_title(page: Page, found: Extracted) -> bool:
    return _WORD.findall(page.title.casefold()) == _WORD.findall(found.title.casefold())


def _has_date(page: Page, found: Extracted) -> bool:
    return found.published == page.published


def _print_failures(pages: Sequence[Page], found: Sequence[Extracted]) -> None:
    for page, each in zip(pages, found, strict=True):
        precision, recall = _overlap(page, each)
        if min(precision, recall) < _TEXT_F1:
            print(f"  {page.name}: precision {precision:.2f}, recall {recall:.2f}")
        if page.published and not _has_date(page, each):
            print(f"  {page.name}: {each.published or 'no date'} instead of {page.published}")
        if page.title and not _has_title(page, each):
            print(f"  {page.name}: {each.title!r} instead of {page.title!r}")


if __name__ == "__main__":
    main()
