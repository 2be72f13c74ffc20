import pytest
from conftest import TinyEmbedder, make_article

from index.types import Passage
from rag.reader.evidence import has_what_is_asked, names_and_numbers, share_of_names
from rag.reader.sentence_reader import FEATURES, Candidate, SentenceReader, choose_candidates, features, probability
from rag.types import Hit, Question

TINY = TinyEmbedder()
TEXT = (
    "The town of Elverum opened a new library on Friday. Architect Jonas Brekke designed the building. "
    "It cost 48 million kroner, twice the first estimate. Children may borrow musical instruments there."
)


def _hit(text: str = TEXT, uri: str = "a:1", rank: int = 1, coverage: float = 0.5) -> Hit:
    article = make_article(uri, text, title="New library in Elverum")
    return Hit(Passage(rank, article.id, 0, 0, len(text), "en"), article, 0.9, rank, 0.88, coverage)


def _question(text: str) -> Question:
    return Question(text, "en", TINY.embed_query(text))


def test_candidates_are_sentences_at_their_offsets_in_the_article() -> None:
    candidates = choose_candidates(_question("How much did the library cost?"), [_hit()])
    assert candidates[0].text == "It cost 48 million kroner, twice the first estimate."
    assert all(TEXT[c.start : c.end] == c.text for c in candidates) and len(candidates) == 4


def test_every_feature_of_a_candidate_is_there() -> None:
    question = _question("How much did the library cost?")
    candidates = choose_candidates(question, [_hit()])
    rows = features(question, [_hit()], candidates, TINY)
    assert all(len(row) == len(FEATURES) for row in rows)
    named = dict(zip(FEATURES, rows[0], strict=True))
    assert named["kind"] == 1 and named["same_language"] == 1 and named["rank"] == 1 and named["coverage"] == 0.5
    assert named["cosine_sentence"] == pytest.approx(
        float(TINY.embed_query(candidates[0].text) @ question.vector), abs=1e-5
    )


def test_probability_rises_with_what_speaks_for_a_sentence() -> None:
    weak = [0.75, 0.78, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.2]
    strong = [0.9, 0.9, 0.05, 0.6, 0.6, 1.0, 1.0, 1.0, 1.0]
    assert 0 <= probability(weak) < 0.05 < 0.5 < probability(strong) <= 1


def test_quotes_are_verbatim_and_marked_in_order() -> None:
    reader = SentenceReader(TINY, 0.0)
    draft = reader.read(_question("How much did the library cost?"), [_hit(), _hit(TEXT.replace("48", "52"), "a:2", 2)])
    assert [c.marker for c in draft.citations] == list(range(1, len(draft.citations) + 1))
    assert 1 <= len(draft.citations) <= 3
    for sentence, citation in zip(draft.sentences, draft.citations, strict=True):
        assert sentence == f"{citation.quote} [{citation.marker}]"
        source = TEXT if citation.article_id == _hit().article.id else TEXT.replace("48", "52")
        assert source[citation.start : citation.end] == citation.quote


def test_in_another_alphabet_only_names_and_numbers_are_compared() -> None:
    text = "Библиотеку в Эльверуме построили за 48 млн крон. Архитектор — Йонас Брекке."
    hit = _hit(text)
    overlaps = [
        row[FEATURES.index("overlap")]
        for question in ("How much did the Elverum library cost?", "How much did the Bergen library cost?", "how much?")
        for row in features(_question(question), [hit], [Candidate(hit, 0, 48)], TINY)
    ]
    assert overlaps == pytest.approx([0.4, 0.1, 0.25])


def test_below_the_threshold_there_is_no_citation_but_a_confidence() -> None:
    draft = SentenceReader(TINY, 1.0).read(_question("Who painted the ceiling?"), [_hit()])
    assert draft.citations == () and draft.sentences == () and 0 <= draft.confidence < 1
    assert SentenceReader(TINY, 0.0).read(_question("Who?"), []).confidence == 0


def test_names_are_the_same_in_any_script_and_case() -> None:
    names, numbers = names_and_numbers("Кто такой Сергей Жвачкин и что такое «город IT» за 66 млрд?")
    assert {"zhvachkin", "gorod", "it"} <= names and numbers == {"66"}
    assert share_of_names({"zhvachkin"}, set(), "said Sergei Zhvachkin on Monday") == 1
    assert share_of_names({"tomsk"}, {"66"}, "в Томской области за 66 млрд") == 1
    assert share_of_names({"tomsk", "oslo"}, set(), "в Томской области") == 0.5
    assert share_of_names(set(), set(), "anything") == 0.5
    assert names_and_numbers("Where is it?") == (set(), set())


@pytest.mark.parametrize(
    ("question", "sentence", "wanted"),
    [
        ("How many wagons were bought?", "They bought 18 wagons.", 1),
        ("How many wagons were bought?", "They bought wagons.", 0),
        ("Сколько стоит проект на 11 км?", "Проект на 11 км утвержден.", 0),
        ("Когда откроют линию?", "Линию откроют в августе.", 1),
        ("Когда откроют линию?", "Линию откроют скоро.", 0),
        ("什么时候通车?", "线路将于2024年9月通车。", 1),
        ("Wie viele Wagen?", "Es sind 12.", 1),
        ("¿Cuántos tranvías?", "Compra 20 tranvías.", 1),
        ("Who signed it?", "The mayor signed.", 0.5),
    ],
)
def test_the_kind_of_thing_asked_for_is_seen_in_a_sentence(question: str, sentence: str, wanted: float) -> None:
    assert has_what_is_asked(question, sentence) == wanted
