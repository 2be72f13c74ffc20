import math
import shutil
from pathlib import Path

import pytest

from index.language import terms
from index.lexical import LexicalIndex, idf

K1, B = 1.2, 0.75

# Three documents of 4, 2 and 6 terms, as (passage id, article number, terms).
DOCUMENTS = [
    (11, 1, ["tram", "line", "tram", "depot"]),
    (22, 2, ["bus", "line"]),
    (33, 3, ["tram", "ship", "port", "crane", "quay", "sea"]),
]


@pytest.fixture
def index(tmp_path: Path) -> LexicalIndex:
    made = LexicalIndex(tmp_path, "abc")
    made.update([], DOCUMENTS, 1)
    return made


def _bm25(counts: dict[str, int], length: int) -> float:
    """Score by hand. The generation's own document counts among N = 4, and adds no terms: 12 / 4 on average."""
    frequencies = {"tram": 2, "line": 2, "bus": 1, "depot": 1, "ship": 1}
    total = 0.0
    for word, count in counts.items():
        weight = math.log(1 + (4 - frequencies[word] + 0.5) / (frequencies[word] + 0.5))
        total += weight * count * (K1 + 1) / (count + K1 * (1 - B + B * length / (12 / 4)))
    return total


def test_idf_is_that_of_lucene() -> None:
    assert idf(4, 2) == pytest.approx(math.log(2))
    assert idf(3, 1) == pytest.approx(math.log(1 + 2.5 / 1.5))
    assert idf(10, 0) == pytest.approx(math.log(22))


def test_scores_are_bm25_as_computed_by_hand(index: LexicalIndex) -> None:
    found = {i: score for i, score, _ in index.search("tram depot", "en", 10)}
    assert found == {
        11: pytest.approx(_bm25({"tram": 2, "depot": 1}, 4), abs=1e-4),
        33: pytest.approx(_bm25({"tram": 1}, 6), abs=1e-4),
    }
    ((best, score, _),) = index.search("bus", "en", 1)
    assert best == 22
    assert score == pytest.approx(math.log(1 + 3.5 / 1.5) * 2.2 / (1 + 1.2 * (0.25 + 0.75 * 2 / 3)), abs=1e-4)


def test_results_come_best_first_and_no_more_than_asked_for(index: LexicalIndex) -> None:
    found = index.search("tram line", "en", 10)
    assert [i for i, _, _ in found] == [11, 22, 33]
    assert [i for i, _, _ in index.search("tram line", "en", 2)] == [11, 22]
    assert index.search("tram line", "en", 0) == []


def test_coverage_is_the_score_over_the_highest_that_the_question_allows(index: LexicalIndex) -> None:
    question = "tram depot zeppelin"  # the last is in no document, and counts
    highest = (idf(4, 2) + idf(4, 1) + idf(4, 0)) * (K1 + 1)
    for i, score, coverage in index.search(question, "en", 10):
        assert coverage == pytest.approx(score / highest)
        assert 0 < coverage < 1
        assert i in (11, 33)
    assert index.search(question, "en", 1)[0][2] == pytest.approx(_bm25({"tram": 2, "depot": 1}, 4) / highest, abs=1e-4)


def test_a_word_repeated_in_the_question_counts_once(index: LexicalIndex) -> None:
    assert index.search("tram tram tram trams", "en", 5) == index.search("tram", "en", 5)


@pytest.mark.parametrize("question", ["", "?!", "zeppelin", "AND OR", "tram*x"])
def test_a_question_without_known_words_finds_nothing_or_only_by_its_words(index: LexicalIndex, question: str) -> None:
    found = index.search(question, "en", 5)
    assert [i for i, _, _ in found] == ([11, 33] if "tram" in question else [])


def test_a_very_long_question_is_no_error(index: LexicalIndex) -> None:
    question = "tram " + " ".join(f"word{n}" for n in range(5000))
    assert [i for i, _, _ in index.search(question, "en", 5)] == [11, 33]


def test_among_restricts_a_search_to_those_articles_and_leaves_the_scores(index: LexicalIndex) -> None:
    free = {i: score for i, score, _ in index.search("tram line", "en", 10)}
    found = index.search("tram line", "en", 10, [2, 3])
    assert [i for i, _, _ in found] == [22, 33]
    assert {i: score for i, score, _ in found} == {i: pytest.approx(free[i]) for i in (22, 33)}
    assert index.search("tram line", "en", 10, []) == []
    assert index.search("tram line", "en", 10, [99]) == []


def test_the_generation_is_stored_with_the_passages_and_is_not_one_of_them(tmp_path: Path) -> None:
    index = LexicalIndex(tmp_path, "abc")
    assert (index.generation(), index.count()) == (0, 0)
    index.update([], DOCUMENTS, 7)
    assert (index.generation(), index.count()) == (7, 3)
    again = LexicalIndex(tmp_path, "abc")
    assert (again.generation(), again.count()) == (7, 3)
    assert again.search("generation state", "en", 5) == []


def test_an_update_done_twice_is_done_once(index: LexicalIndex) -> None:
    before = index.search("tram", "en", 5)
    index.update([], DOCUMENTS, 1)
    assert (index.generation(), index.count()) == (1, 3)
    assert [i for i, _, _ in index.search("tram", "en", 5)] == [i for i, _, _ in before]
    index.update([22], [], 2)
    index.update([22], [], 2)
    assert (index.generation(), index.count()) == (2, 2)
    assert index.search("bus", "en", 5) == []


def test_a_passage_given_again_is_replaced(index: LexicalIndex) -> None:
    index.update([], [(11, 1, ["plane"])], 2)
    assert index.count() == 3
    assert [i for i, _, _ in index.search("plane", "en", 5)] == [11]
    assert [i for i, _, _ in index.search("tram", "en", 5)] == [33]


def test_what_another_has_committed_is_seen_after_a_reload(index: LexicalIndex, tmp_path: Path) -> None:
    other = LexicalIndex(tmp_path, "abc")
    index.update([], [(44, 4, ["balloon"])], 2)
    other.reload()
    assert other.generation() == 2
    assert [i for i, _, _ in other.search("balloon", "en", 5)] == [44]


def test_words_are_found_in_any_form_and_script(tmp_path: Path) -> None:
    index = LexicalIndex(tmp_path, "abc")
    texts = {
        1: ("ru", "Трамвайную линию утвердили."),
        2: ("zh", "无人驾驶公交线路开通"),
        3: ("de", "Straßenbahnen fahren."),
    }
    index.update([], [(i, i, terms(text, language)) for i, (language, text) in texts.items()], 1)
    for question, language, expected in [
        ("трамвайные ЛИНИИ", "ru", 1),
        ("公交线路", "zh", 2),
        ("STRASSENBAHN", "de", 3),
    ]:
        assert [i for i, _, _ in index.search(question, language, 5)] == [expected]


@pytest.mark.parametrize("content", [b"", b"{", b"garbage"])
def test_a_damaged_index_is_opened_empty(index: LexicalIndex, tmp_path: Path, content: bytes) -> None:
    (index.folder / "meta.json").write_bytes(content)
    again = LexicalIndex(tmp_path, "abc")
    assert (again.generation(), again.count()) == (0, 0)
    again.update([], DOCUMENTS, 3)
    assert (again.generation(), again.count()) == (3, 3)


def test_a_commit_cut_off_by_a_kill_does_not_stand_in_the_way_of_the_next(index: LexicalIndex, tmp_path: Path) -> None:
    """Such a commit leaves its list of deletions, not yet named in meta.json: the next one wants the same file name."""
    ahead = tmp_path / "ahead" / index.folder.name
    shutil.copytree(index.folder, ahead)
    LexicalIndex(ahead.parent, "abc").update([11], [], 2)
    left_over = {file for file in ahead.glob("*.del") if not (index.folder / file.name).exists()}
    assert left_over
    for file in [*left_over, ahead / ".managed.json"]:
        shutil.copy(file, index.folder)
    again = LexicalIndex(tmp_path, "abc")
    assert (again.generation(), again.count()) == (1, 3)
    again.update([11], [], 2)
    assert (again.generation(), again.count()) == (2, 2)
    assert [i for i, _, _ in again.search("tram", "en", 5)] == [33]
