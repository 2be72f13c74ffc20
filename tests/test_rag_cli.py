import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

ANSWER_FIELDS = {"question", "text", "status", "confidence", "citations", "hits", "timings"}
CITATION_FIELDS = {"marker", "article_id", "title", "uri", "published", "language", "start", "end", "quote"}
HIT_FIELDS = {"article_id", "title", "uri", "score", "text"}
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
    assert 0 <= answer["confidence"] <= 1 and set(answer["timings"]) == {"retrieve_ms", "answer_ms"}
    assert all(set(c) == CITATION_FIELDS for c in answer["citations"]) and all(
        set(h) == HIT_FIELDS for h in answer["hits"]
    )
    first = answer["citations"][0]
    assert first["marker"] == 1 and first["end"] - first["start"] == len(first["quote"]) and "[1]" in answer["text"]
    assert any("8,3 млрд" in c["quote"] for c in answer["citations"])


def test_an_abstention_is_a_success(sample_index_folder: Path) -> None:
    done = _rag("ask", "Who won the chess world championship in 1985?", "--index", sample_index_folder, "--json")
    answer = json.loads(done.stdout)
    assert done.returncode == 0 and answer["status"] == "abstained" and answer["citations"] == []


def test_a_readable_answer_names_its_sources(sample_index_folder: Path) -> None:
    done = _rag("ask", QUESTION, "--index", sample_index_folder)
    assert done.returncode == 0 and "[1]" in done.stdout and "Sources" in done.stdout and "2025-02-20" in done.stdout
    refused = _rag("ask", "Wie hoch ist der Mount Everest?", "--index", sample_index_folder)
    assert "Die Artikel beantworten diese Frage nicht." in refused.stdout and "Closest" in refused.stdout


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
    assert empty.returncode == 2 and "is empty: rag add" in _one_line(empty.stderr)


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
