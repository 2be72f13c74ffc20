"""Gold questions: what a file of them may hold, and what the check finds."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, TinyEmbedder, make_article, open_index

from eval.gold import SAMPLES, described, indexed_articles, named_articles, problems, read_gold
from index.article_index import Chunked
from index.errors import BadRequest
from index.types import Span

GOOD: dict[str, Any] = {
    "id": "t-1",
    "question": "How many lamps does Tarn have?",
    "language": "en",
    "answers": ["410", "410 lamps"],
    "evidence": [{"article": "tarn.txt", "quote": "The town of Tarn has 410 lamps."}],
    "kind": "number",
}
TEXT = "Lamps of Tarn\n\nThe town of Tarn has 410 lamps. Ninety of them are lit all night, says the mayor.\n"


def _file(folder: Path, *rows: object) -> Path:
    path = folder / "gold.jsonl"
    path.write_text("\n\n".join(json.dumps(row) for row in rows) + "\n", "utf-8")
    return path


def _found(folder: Path, *rows: object) -> list[str]:
    (folder / "articles").mkdir(exist_ok=True)
    (folder / "articles" / "tarn.txt").write_text(TEXT, "utf-8")
    return described(problems(read_gold(_file(folder, *rows)), named_articles(folder / "articles"))).splitlines()


def test_a_right_question_has_no_problems(tmp_path: Path) -> None:
    refused = GOOD | {
        "id": "t-2",
        "question": "Who made the lamps?",
        "kind": "unanswerable",
        "evidence": [],
        "answers": [],
    }
    assert _found(tmp_path, GOOD, refused) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"evidence": [{"article": "tarn.txt", "quote": "The town has 410 lamps."}]},
            "gold.jsonl, line 1: t-1: the quote is not in tarn.txt",
        ),
        (
            {"evidence": [{"article": "lost.txt", "quote": "410"}]},
            "gold.jsonl, line 1: t-1: there is no article, or more than one, called lost.txt",
        ),
        (
            {"answers": ["a"], "evidence": [{"article": "tarn.txt", "quote": "a"}]},
            "gold.jsonl, line 1: t-1: the quote stands 7 times",
        ),
        (
            {"answers": ["a"], "evidence": [{"article": "tarn.txt", "quote": " "}], "kind": "list"},
            "gold.jsonl, line 1: t-1: the quote is not in",
        ),
        ({"answers": ["90"]}, "gold.jsonl, line 1: t-1: no quote holds any of its answers"),
    ],
)
def test_what_is_wrong_is_named_with_its_question(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    (found,) = _found(tmp_path, GOOD | change)
    assert found.startswith(says)


def test_an_article_may_be_named_by_its_uri_even_where_files_share_their_name(tmp_path: Path) -> None:
    other = tmp_path / "articles" / "older" / "tarn.txt"
    other.parent.mkdir(parents=True)
    other.write_text(TEXT.replace("410", "390"), "utf-8")
    (tmp_path / "articles" / "empty.txt").write_bytes(b"")  # is no article, and no reason to stop
    line = {"text": "The town of Tarn has 500 lamps, and the mayor wants more of them.", "url": "https://ex.org/tarn"}
    (tmp_path / "articles" / "wire.jsonl").write_text(json.dumps(line), "utf-8")
    found = [
        (other.resolve().as_uri(), "390"),
        ((tmp_path / "articles" / "tarn.txt").resolve().as_uri(), "410"),
        ("https://ex.org/tarn", "500"),
        ("wire.jsonl#L1", "500"),
    ]
    rows = [
        GOOD | {"id": str(n), "question": str(n), "answers": [lamps], "evidence": [{"article": name, "quote": lamps}]}
        for n, (name, lamps) in enumerate(found)
    ]
    assert _found(tmp_path, *rows) == []
    wrong = GOOD | {"evidence": [{"article": other.resolve().as_uri(), "quote": GOOD["evidence"][0]["quote"]}]}
    assert len(_found(tmp_path, wrong)) == 1


def test_articles_of_an_index_are_found_by_uri_and_by_file_name_where_that_is_clear(tmp_path: Path) -> None:
    index = open_index(tmp_path / "index", TinyEmbedder())
    named = {
        "file:///a/tarn.txt": ["file:///a/tarn.txt", "tarn.txt"],
        "file:///a/%D1%82%20.txt": ["т .txt"],
        "https://ex.org/news/9?page=2": ["https://ex.org/news/9?page=2"],
        "file:///a/wire.jsonl#L2": ["wire.jsonl#L2"],
        "file:///b/twice.txt": [],
        "file:///c/twice.txt": ["file:///c/twice.txt"],
    }
    articles = [make_article(uri, f"{uri} is what this is about.") for uri in named]
    with index.writing():
        index.add([Chunked(article, [Span(0, 9, "en")], article.uri) for article in articles])
    names = [name for each in named.values() for name in each]
    found = indexed_articles(index, [*names, "twice.txt", "none.txt"])
    assert {name: article.uri for name, article in found.items()} == {n: uri for uri, own in named.items() for n in own}


def test_an_unanswerable_question_may_leave_out_what_it_has_not(tmp_path: Path) -> None:
    row = {"id": "t-2", "question": "Who made the lamps?", "language": "en", "kind": "unanswerable"}
    (question,) = read_gold(_file(tmp_path, row))
    assert not question.answers and not question.evidence


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = _file(tmp_path, GOOD)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert [question.id for question in read_gold(path)] == ["t-1"]


def test_questions_and_ids_that_are_there_twice_are_found(tmp_path: Path) -> None:
    found = _found(tmp_path, GOOD, GOOD | {"question": "HOW many lamps does Tarn have?"})
    assert found == [
        "gold.jsonl, line 3: t-1: the id is there already (gold.jsonl, line 1)",
        "gold.jsonl, line 3: t-1: the question is there already (gold.jsonl, line 1)",
    ]


def test_one_follow_up_may_be_asked_in_two_conversations(tmp_path: Path) -> None:
    row = GOOD | {"kind": "follow-up", "question": "How many?", "history": ["Does Tarn have lamps?"]}
    assert _found(tmp_path, row, row | {"id": "t-2", "history": ["Are there lamps in Tarn?"]}) == []


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (GOOD | {"kind": "riddle"}, "line 1: kind has to be 'fact', "),
        (GOOD | {"evidences": []}, "line 1: evidences is no field; there are id, "),
        (GOOD | {"evidence": []}, "line 1: .*unanswerable"),
        (GOOD | {"answers": []}, "line 1: .*every other has both"),
        (GOOD | {"answers": "410"}, "line 1: answers has to be a list"),
        ({k: v for k, v in GOOD.items() if k != "language"}, "line 1: language is missing"),
        (GOOD | {"as_of": "spring"}, "line 1: as_of: 'spring' is no day"),
        (GOOD | {"as_of": "2024-02-30"}, "line 1: day is out of range"),
        (GOOD | {"as_of": "0001-01-01"}, "line 1: as_of: "),
        (GOOD | {"language": "RU"}, "line 1: language: 'RU' is no code"),
        (GOOD | {"answers": ["410", "—"]}, "line 1: answers: '—' has no words"),
        (GOOD | {"question": "?!"}, "line 1: question: it has no words"),
        (GOOD | {"place": "here", "evidence": [{"article": "a"}]}, "line 1: evidence.0.quote is missing"),
        (GOOD | {"kind": "follow-up"}, "line 1: a follow-up has history"),
        (GOOD | {"kind": "multi-article"}, "line 1: a multi-article question has two pieces"),
        (
            {"id": 1, "question": ["?"]},
            "line 1: id has to be a text .*; question has to be a text .*; language is missing",
        ),
        (["no", "object"], "line 1: no JSON object"),
    ],
)
def test_a_line_that_is_no_question_is_refused_with_its_number(tmp_path: Path, row: object, says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        read_gold(_file(tmp_path, row))


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="cannot read"):
        read_gold(tmp_path / "none.jsonl")
    (tmp_path / "bytes.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadRequest, match="cannot read"):
        read_gold(tmp_path / "bytes.jsonl")


def test_the_gold_lines_in_the_readme_are_right_about_the_sample_articles(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    lines = re.findall(r'^    (\{"id": "\d".*?\})$(?!\n     ")', readme, re.MULTILINE | re.DOTALL)
    path = tmp_path / "gold.jsonl"
    path.write_text("\n".join(" ".join(line.split()) for line in lines), "utf-8")
    questions = read_gold(path)
    assert [question.kind for question in questions] == ["number", "unanswerable"]
    assert list(problems(questions, named_articles(SAMPLES))) == []


@pytest.mark.parametrize("path", sorted((SAMPLES.parent).glob("gold*.jsonl")))
def test_our_own_questions_are_right_about_the_sample_articles(path: Path) -> None:
    assert list(problems(read_gold(path), named_articles(SAMPLES))) == []
