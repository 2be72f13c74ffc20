import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import SAMPLES, ScriptedPairs, make_article

from eval.ablate import FIGURES, FUSIONS, FirstPassage, Rescored, by_meaning, by_ranks, by_words
from index.types import Article, Passage
from rag.cli import main
from rag.reader.multilingual_reader import MultilingualReader
from rag.retrieve import Candidate, weighted
from rag.types import Hit, Question

GOLD = SAMPLES.parent / "gold.jsonl"
QUESTION = Question("What will the tram cost?", "en", np.zeros(4, np.float32))
TEXTS = ("The tram will cost 50 million.", "The bus is blue.", "The train is late.")
ROWS = [f"{name}{read}" for name in ("meaning", "words", "ranks (RRF)", "ours") for read in ("", ", read")]


def _candidates(*scores: tuple[float, float]) -> list[Candidate]:
    return [
        Candidate(Passage(n, f"article{n}", 0, 0, 10, "en"), dense, coverage)
        for n, (dense, coverage) in enumerate(scores)
    ]


def _order(scores: Sequence[float]) -> list[int]:
    return sorted(range(len(scores)), key=lambda n: -scores[n])


def _hits(scores: Sequence[float] = (0.3, 0.2, 0.1)) -> list[Hit]:
    articles = [make_article(f"file:///{n}.txt", text) for n, text in enumerate(TEXTS)]
    return [
        Hit(Passage(n, article.id, 0, 0, len(article.text), "en"), article, score, n + 1, 0.8 - n / 10, 0.5)
        for n, (article, score) in enumerate(zip(articles, scores, strict=True))
    ]


def _article(hit: Hit) -> Article:
    return hit.article


# Orders


def test_meaning_and_words_each_go_by_their_own_score() -> None:
    candidates = _candidates((0.9, 0.1), (0.8, 0.7), (0.7, 0.0))
    assert _order(by_meaning(QUESTION, candidates)) == [0, 1, 2]
    assert _order(by_words(QUESTION, candidates)) == [1, 0, 2]


def test_ranks_are_fused_by_their_reciprocals() -> None:
    candidates = _candidates((0.9, 0.1), (0.8, 0.7), (0.7, 0.3))
    expected = [1 / 61 + 1 / 63, 1 / 62 + 1 / 61, 1 / 63 + 1 / 62]
    assert by_ranks(QUESTION, candidates) == pytest.approx(expected)
    assert _order(by_ranks(QUESTION, candidates)) == [1, 0, 2]


def test_a_passage_without_a_word_of_the_question_has_no_rank_among_those_found_by_words() -> None:
    scores = by_ranks(QUESTION, _candidates((0.9, 0.0), (0.8, 0.5)))
    assert scores == pytest.approx([1 / 61, 1 / 62 + 1 / 61])


def test_no_candidates_are_no_scores() -> None:
    assert [list(fusion(QUESTION, [])) for fusion in FUSIONS.values()] == [[], [], [], []]


# The two ways to answer


def test_the_first_passage_is_the_answer_as_it_was_found() -> None:
    hits = _hits()
    part = FirstPassage()
    assert part.rerank(QUESTION, hits) == hits
    draft = part.read(QUESTION, hits)
    assert draft.confidence == 0.8 and [s.text for s in draft.sentences] == [TEXTS[0]]
    citation = draft.citations[0]
    assert citation.quote == citation.answer == _article(hits[0]).text[citation.start : citation.end] == TEXTS[0]
    assert part.read(QUESTION, []).sentences == () and part.read(QUESTION, []).confidence == 0.0


def test_the_reader_is_given_the_score_that_its_calibration_knows() -> None:
    reader = MultilingualReader(ScriptedPairs({"50 million": 4.0, "blue": 1.0}), 0.5)
    plain = [hit.relevance for hit in reader.rerank(QUESTION, [*_with_scores(_hits())])]
    by_rank = Rescored(reader).rerank(QUESTION, _hits((0.031, 0.032, 0.016)))
    assert [hit.relevance for hit in by_rank] == plain
    assert Rescored(reader).read(QUESTION, by_rank) == reader.read(QUESTION, by_rank)


def _with_scores(hits: Sequence[Hit]) -> list[Hit]:
    """Give hits the scores that the assistant's own fusion gives."""
    return _hits(weighted(QUESTION, [Candidate(hit.passage, hit.dense, hit.coverage) for hit in hits]))


# The command


def test_every_variant_answers_the_same_questions_in_one_table(
    sample_index_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # holds no index: the one named before "ablate" has to be used
    gold, out = tmp_path / "gold.jsonl", tmp_path / "parts"
    gold.write_text("\n".join(GOLD.read_text("utf-8").split("\n")[3:5]), "utf-8")
    arguments = ["ablate", "--gold", str(gold), "--limit", "1", "--out", str(out)]
    assert main(["eval", "--index", str(sample_index_folder), *arguments]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"questions: 1, of {gold}\n")
    lines = shown.rstrip("\n").split("\n")[2 : len(ROWS) + 4]
    assert [line[:20].strip() for line in lines] == ["", *ROWS, "95 % interval"]
    assert len({len(line) for line in lines[:-1]}) == 1, "the columns stand under one another"
    assert all(name in lines[0] for name in FIGURES) and "nan" not in shown

    written = json.loads((out / "ablation.json").read_text("utf-8"), parse_constant=pytest.fail)  # NaN is no JSON
    assert list(written["rows"]) == ROWS and written["run"]["gold"]["questions"] == 1
    ours = written["rows"]["ours, read"]
    assert ours["containment"] == ours["recall@5"] == 1.0 and ours["p50_ms"] > 0
    assert all(0 <= row[name] <= 1 for row in written["rows"].values() for name in FIGURES if name in row)
    assert "refusal_f1" not in written["rows"]["ours"], "nothing was refused, and nothing should have been"


def test_a_folder_that_holds_something_else_is_refused_before_anything_is_asked(
    sample_index_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("dear diary")
    arguments = ["eval", "ablate", "--index", str(sample_index_folder), "--gold", str(GOLD), "--out", str(tmp_path)]
    assert main(arguments) == 2
    assert "holds other files, such as notes.txt" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
