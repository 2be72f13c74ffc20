"""What a hostile or clumsy user brought to light."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, CountingEmbedder, open_index, text_source

from index.articles import Skipped, host, list_files, read_sources, readable
from index.build import add_articles
from index.clean import clean
from index.types import Where

BODY = (
    "The council of Norwell voted on Tuesday to rebuild the old pier, which a storm broke in two last winter.\n\n"
    "Work begins in May and will cost 2.4 million pounds, said harbour master Edna Cole, and the pier opens in June.\n"
)


@pytest.mark.parametrize(
    "title",
    [
        "Telegram blocked in Freedonia",
        "Shareholders approve Norwell merger",
        "Viewers abandon TV",
        "Email addresses leaked",
    ],
)
def test_a_title_may_begin_like_a_button(title: str) -> None:
    assert clean(text_source(f"18+\n{title}\n\n{BODY}")).title == title


def test_a_sentence_may_begin_like_debris() -> None:
    lines = [
        "Следите за давлением утром и вечером, советует врач Ольга Крамова.",
        "При использовании материалов из синтетики кожа не дышит, говорит она.",
        "The site uses cookies that stay for ten years, the judge said on Monday.",
    ]
    text = clean(text_source("\n\n".join([BODY, *lines, BODY.replace("Norwell", "Ludlow")]))).text
    assert all(line in text for line in lines)


def test_opening_hours_and_prices_in_a_list_are_the_articles() -> None:
    hours = ["- Monday to Friday: 9 to 17", "- Sunday: closed", "- Ticket: $4.50"]
    text = clean(text_source(BODY + "\n" + "\n".join(hours) + "\n\n" + BODY.replace("Norwell", "Ludlow"))).text
    assert all(line in text for line in hours)


@pytest.mark.parametrize(
    ("page", "published"),
    [
        (f"Сегодня 20 ноября 2026\n\nPier to be rebuilt\n\n{BODY}", None),
        (f"20 November 2024\n\nPier to be rebuilt\n\n{BODY}\nPublished: 2 February 2023\n", "2023-02-02"),
        (f"Pier to be rebuilt\n\n{BODY}\n© Daily Bugle 1 January 2024\n", None),
    ],
)
def test_a_date_that_is_not_the_articles_is_not_taken(page: str, published: str | None) -> None:
    assert clean(text_source(page)).published == published


def test_a_headline_of_a_list_above_is_not_the_title() -> None:
    page = f"Most read\nMayor speaks of the old pier in Norwell\nRecommended\nPIER TO BE REBUILT\n\n{BODY}"
    assert clean(text_source(page)).title == "PIER TO BE REBUILT"


def test_an_address_that_is_none_stops_nothing(tmp_path: Path) -> None:
    record = {"text": BODY, "url": "http://["}
    escape = {"text": BODY.replace("Norwell", "Ludlow"), "url": "https://www.ex.org/a\n\u001b]0;x\u0007b"}
    (tmp_path / "a.jsonl").write_text(f"{json.dumps(record)}\n{json.dumps(escape)}\n")
    index = open_index(tmp_path / "index", CountingEmbedder())
    report = add_articles(index, [tmp_path / "a.jsonl"])
    assert report.added == 2 and report.skipped == []
    articles = list(index.articles())
    assert [readable(article.uri) for article in articles] == ["http://[", "https://www.ex.org/a]0;xb"]
    assert articles[1].source == "ex.org" and host("http://[") == ""


def test_names_are_shown_without_what_a_terminal_would_obey(tmp_path: Path) -> None:
    (tmp_path / "\x1b[32mgreen\n.xyz").write_text(BODY)
    (skipped,) = list_files([tmp_path])
    assert isinstance(skipped, Skipped) and readable(skipped.uri).isprintable()
    (tmp_path / "\x1b[32mgreen\n.xyz").rename(tmp_path / "\x1b[32mgreen\n.txt")
    (file,) = list_files([tmp_path])
    assert isinstance(file, Path) and len(list(read_sources(file))) == 1


def test_a_text_that_moves_to_another_file_stays_indexed(tmp_path: Path) -> None:
    news = tmp_path / "news"
    news.mkdir()
    other = "A heron stole the trout from the pond in Ludlow on Tuesday night, said the owner.\n"
    (news / "b.txt").write_text(BODY)
    index = open_index(tmp_path / "index", CountingEmbedder())
    add_articles(index, [news])
    (news / "b.txt").rename(news / "a.txt")
    (news / "b.txt").write_text(other)
    report = add_articles(index, [news], sync=True)
    assert sorted(article.text[:6] for article in index.articles()) == ["A hero", "The co"]
    assert report.skipped == [] and index.check() == []


def test_a_filter_says_what_is_wrong_with_it() -> None:
    with pytest.raises(ValueError, match="languages is 'en': write"):
        Where(languages="en")  # type: ignore[arg-type]
    for wrong in ("banana", "2024-13", "2023-02-30", "24"):
        with pytest.raises(ValueError, match=f"published_from is '{wrong}'"):
            Where(published_from=wrong)
    assert Where(published_to="2199-12-31").published_to == "2199-12-31"  # what is to come bounds as well
    assert Where(languages=["en"]) == Where(languages=("en",))  # type: ignore[arg-type]


def test_no_name_is_not_the_working_folder(tmp_path: Path) -> None:
    def rag(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "rag", *arguments, "--index", str(tmp_path / "index")]
        return subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path / "news", env=environment, check=False
        )

    (tmp_path / "news").mkdir()
    (tmp_path / "news" / "a.txt").write_text(BODY)
    assert rag("add", ".").returncode == 0
    refused = rag("remove", "")
    assert refused.returncode == 2 and "nothing was removed" in refused.stderr
    assert "Pier" in rag("search", "pier").stdout or "pier" in rag("search", "pier").stdout
