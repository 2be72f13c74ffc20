from itertools import pairwise
from pathlib import Path

import pytest
from conftest import TinyEmbedder, make_article, open_index

from index.article_index import ArticleIndex, Chunked
from index.chunk import chunk
from index.types import EVERYTHING, Where
from rag.retrieve import FOREIGN_BONUS, LEXICAL_WEIGHT, HybridRetriever, is_near_copy, shape_of
from rag.types import Hit, Question

TINY = TinyEmbedder()
EN = "The council of Cork signed a lighting agreement with the Dutch firm Lumen Noord on Monday."
ES = "El ayuntamiento de Zaragoza compra veinte tranvías nuevos para la línea del río Ebro."
OLD = "The tram line will cost 6.8 billion roubles and open in May next year, the ministry says."
NEW = "The tram line will cost 8.3 billion roubles and open in May next year, the ministry says."


def _index(folder: Path, *articles: tuple[str, str, str, str | None]) -> ArticleIndex:
    index = open_index(folder, TINY)
    with index.writing():
        made = [make_article(uri, text, language=language, published=date) for uri, text, language, date in articles]
        index.add([Chunked(a, chunk(a, TINY.count_tokens, TINY.max_tokens), a.uri) for a in made])
    return index


def _ask(index: ArticleIndex, text: str, k: int = 10, per_article: int = 3, where: Where = EVERYTHING) -> list[Hit]:
    question = Question(text, "en", TINY.embed_query(text))
    return HybridRetriever(index, per_article, where).retrieve(question, k)


def test_a_hits_score_is_its_cosine_plus_the_weighted_coverage(tmp_path: Path) -> None:
    index = _index(tmp_path, ("a:1", EN, "en", None), ("a:2", ES, "es", None))
    hits = _ask(index, "lighting agreement Cork")
    assert hits[0].article.uri == "a:1" and hits[0].rank == 1
    for hit in hits:
        bonus = FOREIGN_BONUS if hit.passage.language != "en" else 0
        assert hit.score == pytest.approx(hit.dense + LEXICAL_WEIGHT * hit.coverage + bonus)
        vector = index.vectors([hit.passage.id])[hit.passage.id]
        assert hit.dense == pytest.approx(float(vector @ TINY.embed_query("lighting agreement Cork")), abs=1e-3)
    assert hits[0].coverage > 0.2 and hits[1].coverage == 0


def test_a_passage_in_another_language_gets_a_bonus_and_candidates_of_its_own(tmp_path: Path) -> None:
    crowd = [(f"a:{n}", f"{EN} Lighting note {n}, lighting agreement {n} of Cork.", "en", None) for n in range(250)]
    index = _index(tmp_path, *crowd, ("a:es", ES, "es", None))
    question = Question("lighting agreement of Cork", "en", TINY.embed_query("lighting agreement of Cork"))
    hits = HybridRetriever(index, 3, EVERYTHING).retrieve(question, 300)
    foreign = next(hit for hit in hits if hit.article.uri == "a:es")
    assert foreign.score == pytest.approx(foreign.dense + LEXICAL_WEIGHT * foreign.coverage + FOREIGN_BONUS)
    alone = HybridRetriever(index, 3, Where(languages=("es",))).retrieve(question, 5)
    assert [hit.article.uri for hit in alone] == ["a:es"]


def test_scores_never_rise_down_the_list_and_ranks_count_from_one(tmp_path: Path) -> None:
    index = _index(tmp_path, *((f"a:{n}", f"{EN} Note number {n} about trams.", "en", None) for n in range(12)))
    hits = _ask(index, "Cork lighting", k=8)
    assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
    assert all(a.score >= b.score for a, b in pairwise(hits))


def test_filters_hold_for_both_retrievers(tmp_path: Path) -> None:
    index = _index(tmp_path, ("a:1", EN, "en", "2023-05-01"), ("a:2", ES, "es", "2024-02-10"), ("a:3", OLD, "en", None))
    assert {h.article.uri for h in _ask(index, "Cork", where=Where(languages=("es",)))} == {"a:2"}
    assert {h.article.uri for h in _ask(index, "tram line", where=Where(published_to="2023"))} == {"a:1"}
    assert {h.article.uri for h in _ask(index, "tram line", where=Where(published_from="2024-02"))} == {"a:2"}
    assert _ask(index, "Cork", where=Where(sources=("nowhere",))) == []


def test_at_most_so_many_passages_come_from_one_article(tmp_path: Path) -> None:
    long = "\n\n".join(
        f"Paragraph {n} speaks of trams and of wagon {n * 7}, at some length and detail. " * 12 for n in range(9)
    )
    index = _index(tmp_path, ("a:long", long, "en", None), ("a:other", EN, "en", None))
    for most in (1, 2):
        hits = _ask(index, "trams wagon paragraph", per_article=most)
        assert sum(h.article.uri == "a:long" for h in hits) == most
        assert {h.article.uri for h in hits} == {"a:long", "a:other"}


def test_near_copies_collapse_but_a_changed_figure_does_not(tmp_path: Path) -> None:
    copied = EN.upper().replace(".", "!")
    index = _index(
        tmp_path,
        ("a:1", EN, "en", None),
        ("a:2", copied, "en", None),
        ("a:3", OLD, "en", None),
        ("a:4", NEW, "en", None),
    )
    found = [h.article.uri for h in _ask(index, "lighting agreement of Cork")]
    assert len({"a:1", "a:2"} & set(found)) == 1
    assert {"a:3", "a:4"} <= {h.article.uri for h in _ask(index, "cost of the tram line")}
    pairs = [
        (EN, copied),
        (OLD, NEW),
        (EN, ES),
        ("项目总投资一亿元。全长十公里。", "项目总投资一亿元,全长十公里"),
        ("投资1亿元", "投资2亿元"),
    ]
    assert [is_near_copy(shape_of(a), shape_of(b)) for a, b in pairs] == [True, False, False, True, False]


def test_an_empty_index_gives_no_hits(tmp_path: Path) -> None:
    assert _ask(open_index(tmp_path, TINY), "anything") == []
