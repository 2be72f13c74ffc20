import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, ScriptedPairs, open_index

from index.embed import OnnxE5
from rag.assistant import Assistant
from rag.cli import main
from rag.messages import quoted_in
from rag.reader.multilingual_reader import MultilingualReader
from rag.settings import Settings

ANSWER_FIELDS = {
    *("question", "standalone", "language", "text", "status", "confidence", "as_of", "answerer"),
    *("sentences", "unsupported", "notes", "citations", "hits", "timings"),
}
SENTENCE_FIELDS = {"text", "markers", "verdict", "detail"}
CITATION_FIELDS = {
    *("marker", "article_id", "title", "uri", "published", "language"),
    *("start", "end", "quote", "answer_start", "answer_end", "answer"),
}
HIT_FIELDS = {"article_id", "title", "uri", "published", "language", "start", "end", "score", "relevance", "text"}
QUESTION = "Во сколько теперь обойдется «Восточная дуга» в Ижевске?"


def _rag(*arguments: str | Path, cwd: Path | None = None, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAG_") or k == "RAG_CACHE"} | {
        "PYTHONPATH": str(ROOT)
    }
    command = [sys.executable, "-m", "rag", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, input=stdin, check=False)


def _one_line(text: str) -> str:
    assert text.startswith("rag: ") and text.count("\n") == 1 and "Traceback" not in text, text
    return text


def test_ask_json_is_the_object_that_other_programs_rely_on(sample_index_folder: Path) -> None:
    done = _rag("ask", QUESTION, "--index", sample_index_folder, "--json")
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    assert set(answer) == ANSWER_FIELDS and answer["question"] == QUESTION and answer["status"] == "answered"
    assert answer["standalone"] == QUESTION and answer["language"] == "ru" and answer["answerer"] == "reader"
    assert answer["as_of"] == max(c["published"] for c in answer["citations"]) and answer["unsupported"] == []
    assert answer["sentences"] and all(set(s) == SENTENCE_FIELDS for s in answer["sentences"])
    markers = [marker for sentence in answer["sentences"] for marker in sentence["markers"]]
    assert markers == [c["marker"] for c in answer["citations"]] and isinstance(answer["notes"], list)
    assert {sentence["verdict"] for sentence in answer["sentences"]} == {"supported"}
    assert 0 <= answer["confidence"] <= 1
    assert set(answer["timings"]) == {"rewrite_ms", "retrieve_ms", "rerank_ms", "answer_ms"}
    assert all(set(c) == CITATION_FIELDS for c in answer["citations"]) and all(
        set(h) == HIT_FIELDS for h in answer["hits"]
    )
    first = answer["citations"][0]
    assert first["marker"] == 1 and first["end"] - first["start"] == len(first["quote"]) and "[1]" in answer["text"]
    shift = first["start"]
    assert first["quote"][first["answer_start"] - shift : first["answer_end"] - shift] == first["answer"] != ""
    assert answer["text"].startswith(first["answer"]) and first["answer"] in first["quote"]
    assert 0 <= answer["hits"][0]["relevance"] <= 1


def test_an_abstention_is_a_success(sample_index_folder: Path) -> None:
    done = _rag("ask", "Who won the chess world championship in 1985?", "--index", sample_index_folder, "--json")
    answer = json.loads(done.stdout)
    assert done.returncode == 0 and answer["status"] == "abstained" and answer["citations"] == []
    assert answer["sentences"] == [] and answer["as_of"] is None and set(answer) == ANSWER_FIELDS


def test_a_readable_answer_names_its_sources(sample_index_folder: Path) -> None:
    done = _rag("ask", QUESTION, "--index", sample_index_folder)
    assert (
        done.returncode == 0 and "[1]" in done.stdout and "2025-02-20" in done.stdout and "word for word" in done.stdout
    )
    refused = _rag("ask", "Wie hoch ist der Mount Everest?", "--index", sample_index_folder)
    assert "Die Artikel beantworten diese Frage nicht." in refused.stdout and "Closest" in refused.stdout


def test_an_answer_that_may_be_wrong_says_so_first(sample_index_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "rag.toml").write_text("sure_confidence = 1.0\n")
    question = "How many street lights will Cork replace?"
    shown = _rag("ask", question, "--index", sample_index_folder, cwd=tmp_path).stdout
    assert shown.startswith("Not sure, but this comes closest:\n11,500 [1]\n")


Script = Callable[[dict[str, float]], None]


@pytest.fixture
def script(sample_index_folder: Path, embedder: OnnxE5, monkeypatch: pytest.MonkeyPatch) -> Script:
    """Give a function that has the commands find the answers given to it, with their strength, without the model."""

    def write(answers: dict[str, float]) -> None:
        reader = MultilingualReader(ScriptedPairs(answers), 0.2)
        assistant = Assistant(open_index(sample_index_folder, embedder), reader, reader, Settings(passages=8))
        monkeypatch.setattr(Assistant, "open", lambda *_, **__: assistant)

    return write


def test_the_short_answer_comes_first_then_the_sentence_then_its_source_and_date(
    script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    script({"11,500": 40.0})
    assert main(["ask", "Сколько уличных фонарей заменят в Корке (Cork)?"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["11,500 [1]", ""]
    assert lines[2].startswith("  [1] “") and "11,500" in " ".join(lines[2:6])
    shown = "\n".join(lines)
    assert "(язык цитаты: английский)" in shown and "cork-smart-lighting.html, characters " in shown
    assert lines[-1] == "As of 2023-09-28. Confidence 99%; quoted word for word."


def test_a_quote_in_the_questions_own_language_has_no_note_of_it(
    script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    script({"11,500": 40.0})
    assert main(["ask", "How many street lights will Cork replace?"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("11,500 [1]\n") and "quoted in" not in shown


def test_sources_that_differ_are_shown_in_lines_of_their_own_with_dates(
    script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    script({"8,3 млрд рублей": 40.0, "6,8 млрд": 12.0})
    assert main(["ask", QUESTION]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("8,3 млрд рублей (2025") and lines[1].startswith("6,8 млрд (2024") and lines[2] == ""


def test_search_says_how_likely_each_passage_answers(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    script({"11,500": 40.0})
    assert main(["search", "street lights in Cork", "-k", "12"]) == 0
    shown = capsys.readouterr().out
    assert "answers 100%, score " in shown.splitlines()[0] and len(re.findall(r"  answers \d+%, score", shown)) == 4
    assert main(["search", "street lights in Cork", "-k", "12", "--json"]) == 0
    hits = json.loads(capsys.readouterr().out)["hits"]
    assert [hit["relevance"] is None for hit in hits] == [False] * 4 + [True] * 8 and hits[0]["relevance"] > 0.99


@pytest.mark.parametrize(
    ("language", "quoted", "said"),
    [
        ("en", "ru", "quoted in: Russian"),
        ("ru", "en", "язык цитаты: английский"),
        ("de", "zh", "Sprache des Zitats: Chinesisch"),
        ("zh", "en", "引文语言: 英语"),
        ("eo", "es", "quoted in: Spanish"),
        ("und", "ru", "quoted in: Russian"),
        ("en", "xx-unknown", "quoted in: xx-unknown"),
    ],
)
def test_the_language_of_a_quote_is_named_in_the_questions_language(language: str, quoted: str, said: str) -> None:
    assert quoted_in(language, quoted) == said


def test_search_gives_hits_alone(sample_index_folder: Path) -> None:
    done = _rag("search", "tram", "-k", "3", "--json", "--index", sample_index_folder)
    found = json.loads(done.stdout)
    assert done.returncode == 0 and len(found["hits"]) == 3 and all(set(h) == HIT_FIELDS for h in found["hits"])
    only = _rag("search", "tram", "--language", "es", "--from", "2020", "--json", "--index", sample_index_folder)
    assert all("zaragoza" in h["uri"] or "rosario" in h["uri"] for h in json.loads(only.stdout)["hits"])
    until = _rag("search", "tram", "--to", "2199-12-31", "--json", "--index", sample_index_folder)
    assert until.returncode == 0 and json.loads(until.stdout)["hits"]
    assert "1. " in _rag("search", "tram", "--index", sample_index_folder).stdout


def test_a_batch_gives_one_answer_a_line_and_goes_on_after_a_bad_one(sample_index_folder: Path, tmp_path: Path) -> None:
    lines = [
        '{"id": 7, "question": "How many street lights will Cork replace?"}',
        "",
        "not json",
        '{"id": "x"}',
        '{"id": 8, "question": "?!"}',
    ]
    (tmp_path / "questions.jsonl").write_text("\n".join(lines), "utf-8")
    done = _rag("ask", "--batch", tmp_path / "questions.jsonl", "--index", sample_index_folder)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [r["id"] for r in records] == [7, None, "x", 8] and done.returncode == 2
    assert set(records[0]) == ANSWER_FIELDS | {"id"} and all("line" in r["error"] for r in records[1:])
    piped = _rag("ask", "--batch", "-", "--index", sample_index_folder, stdin=lines[0])
    assert json.loads(piped.stdout)["id"] == 7 and piped.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["ask", "x", "--index", "nowhere"], "rag add"),
        (["ask"], "give a question"),
        (["ask", "", "--index", "nowhere"], "the question is empty"),
        (["ask", "x", "--batch", "y"], "give a question"),
        (["ask", "--batch", "nowhere.jsonl"], "cannot read nowhere.jsonl"),
        (["search", "x", "--from", "March"], "published_from is 'March': write 2024"),
        (["status", "--index", "nowhere"], "no index in nowhere"),
        (["check", "--index", "broken"], "broken"),
        (["show", "x", "--index", "nowhere"], "no index"),
        (["add", ".", "--index", "rag.txt"], "cannot make an index in rag.txt"),
    ],
)
def test_what_cannot_be_done_is_one_line_that_says_what_to_do(tmp_path: Path, arguments: list[str], hint: str) -> None:
    (tmp_path / "rag.txt").write_text("a file")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "index.sqlite").write_bytes(b"not a database at all" * 100)
    done = _rag(*arguments, cwd=tmp_path)
    assert done.returncode == 2 and hint in _one_line(done.stderr) and done.stdout == ""


def test_usage_errors_exit_with_two(tmp_path: Path) -> None:
    assert _rag("search").returncode == 2 and _rag("fly").returncode == 2 and _rag(cwd=tmp_path).returncode == 2
    shown = _rag("--help").stdout
    assert all(
        f"    {name} " in shown for name in ("add", "remove", "status", "check", "reembed", "search", "ask", "show")
    )


def test_articles_go_in_are_shown_change_and_go_out(tmp_path: Path) -> None:
    news = tmp_path / "мои новости"
    news.mkdir()
    (news / "парк один.txt").write_text(
        "Новый парк\n\nВ Пскове открыли новый парк на берегу реки. В нем посадили 300 лип.\n", "utf-8"
    )
    (news / "empty.txt").write_text("")
    done = _rag("add", news, "--index", "i", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (
        "1 added, 1 skipped" in done.stdout
        and "empty.txt: empty" in done.stdout
        and "1 article, 1 passage" in done.stdout
    )
    again = _rag("add", news, "--index", "i", cwd=tmp_path)
    assert "1 unchanged" in again.stdout and "Passages embedded: 0" in again.stdout
    assert "300 лип" in _rag("ask", "Сколько лип посадили в Пскове?", "--index", "i", cwd=tmp_path).stdout
    shown = _rag("show", news / "парк один.txt", "--index", "i", cwd=tmp_path).stdout
    assert shown.startswith("Новый парк\n") and "посадили 300 лип" in shown and "парк один.txt" in shown
    status = json.loads(_rag("status", "--json", "--index", "i", cwd=tmp_path).stdout)
    assert status["articles"] == 1 and status["languages"] == [["ru", 1]] and status["undated"] == 1
    assert "The index is whole" in _rag("check", "--index", "i", cwd=tmp_path).stdout
    unknown = _rag("remove", "other.txt", "--index", "i", cwd=tmp_path)
    assert unknown.returncode == 2 and "nothing was removed" in _one_line(unknown.stderr)
    assert "Removed 1 article." in _rag("remove", news, "--index", "i", cwd=tmp_path).stdout
    empty = _rag("ask", "Сколько лип?", "--index", "i", cwd=tmp_path)
    assert empty.returncode == 2 and "is empty: add articles" in _one_line(empty.stderr)


def test_check_finds_and_repairs(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(
        "The bridge in Oslo was closed for repairs on Monday. It will open again in June.\n"
    )
    _rag("add", "a.txt", "--index", "i", cwd=tmp_path)
    import sqlite3

    with sqlite3.connect(tmp_path / "i" / "index.sqlite") as connection:
        connection.execute("DELETE FROM vectors")
    broken = _rag("check", "--index", "i", cwd=tmp_path)
    assert (
        broken.returncode == 1
        and "passages without a vector" in broken.stdout
        and "rag check --repair" in broken.stdout
    )
    mended = _rag("check", "--repair", "--index", "i", cwd=tmp_path)
    assert "a.txt: add it again" in mended.stdout and "Repaired." in mended.stdout
    assert "The index is whole" in _rag("check", "--index", "i", cwd=tmp_path).stdout
    assert "1 added" in _rag("add", "a.txt", "--index", "i", cwd=tmp_path).stdout
