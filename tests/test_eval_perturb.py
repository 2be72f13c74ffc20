"""False claims made out of true ones, and what a check of them adds up to."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from conftest import TinyEmbedder, make_article

from eval.gold import Evidence, GoldQuestion
from eval.metrics import share
from eval.perturb import Case, ClaimKind, Corpus, SourcedClaim, perturb, read_claims, true_case, verbatim_claims
from eval.verification import Record, as_answer, check, corpus_of, shares, times
from index.errors import BadRequest
from index.types import Span
from rag.types import Claim, Hit, Sentence

TARN = (
    "The town of Tarn has bought 66 lamps from Lumen Works for £8.3 million. They were lit on 5 March 2021.\n\n"
    "The lamps are not made in Tarn. They come from Ambleford, where 240 people work, said Ida Moor.\n\n"
    "About 25 per cent of the money came from Anders Holm, a banker in Kestwick. The rest, 75 per cent, was lent."
)
BREL = (
    "The town of Brel has bought 51 trams from Orbit Rail. They came from Stenby.\n\nA school in Marl has 12 of them."
)


class WordChecker:
    """Supports a claim if all of its words stand in the passages cited."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, ...]] = []

    def check(self, claims: Sequence[Claim], hits: Sequence[Hit]) -> list[Sentence]:
        self.calls += [claim.passages for claim in claims]
        return [self._sentence(claim, [hits[number - 1].text for number in claim.passages]) for claim in claims]

    def _sentence(self, claim: Claim, texts: Sequence[str]) -> Sentence:
        missing = set(re.findall(r"\w+", claim.text)) - set(re.findall(r"\w+", " ".join(texts)))
        return Sentence(claim.text, (), "other meaning" if missing else "supported", " ".join(sorted(missing)))


def _paragraphs(text: str, language: str) -> list[Span]:
    return [Span(m.start(), m.end(), language) for m in re.finditer(r"[^\n]+", text)]


def _corpus(texts: dict[str, tuple[str, str]], *claims: SourcedClaim) -> Corpus:
    articles = {name: make_article(name, text, language=language) for name, (text, language) in texts.items()}
    cut = {name: _paragraphs(text, language) for name, (text, language) in texts.items()}
    return Corpus(articles, cut, claims)


def _claim(quote: str, claim: str = "", language: str = "en", kind: ClaimKind = "verbatim") -> SourcedClaim:
    return SourcedClaim("c-1", "a", quote, language, claim or quote, language, kind)


def _made(text: str, language: str, seed: int = 7, others: str = "") -> dict[str, Case]:
    """Give what is made of a claim which is an article's first paragraph, by kind."""
    claim = _claim(text, language=language)
    corpus = _corpus({"a": (f"{text}\n\n{others}", language)}, claim)
    return {case.kind: case for case in perturb(claim, corpus, seed)}


def _all_made(text: str, language: str, kind: str, others: str = "") -> set[str]:
    made = [_made(text, language, seed, others) for seed in range(40)]
    return {cases[kind].claim for cases in made if kind in cases}


ONE_OF_EACH = {
    "en": "The line in Tarn was opened on 5 March 2021 for £66 million by Orbit Rail.",
    "de": "Die Linie wurde am 5. März 2021 für 66 Millionen Euro vom Betreiber Anders Holm eröffnet.",
    "es": "La línea fue inaugurada el 5 de marzo de 2021 por 66 millones de euros en Cuenca.",
    "fr": "La ligne a été ouverte le 5 mars 2021 pour 66 millions d'euros.",
    "ru": "Линию открыли 5 марта 2021 года за 66 млн рублей.",
    "zh": "线路于2021年3月5日开通，投资6.6亿元，由太湖智行公司负责。",
}


@pytest.mark.parametrize("language", ONE_OF_EACH)
def test_numbers_scales_dates_and_negations_are_changed_in_each_language(language: str) -> None:
    made = _made(ONE_OF_EACH[language], language)
    assert {"number", "scale", "date"} <= made.keys()
    assert ("negation" in made) == (language != "fr")
    for case in made.values():
        assert case.claim != case.origin.claim


@pytest.mark.parametrize(
    ("text", "language", "form"),
    [
        ("Tarn has 66 lamps.", "en", r"Tarn has \d\d lamps\."),
        ("It cost £8.3m.", "en", r"It cost £\d\.\dm\."),
        ("Tarn has 14,200 lamps.", "en", r"Tarn has \d\d,200 lamps\."),
        ("Es kostet 8,3 Millionen.", "de", r"Es kostet \d,\d Millionen\."),
        ("Hay 1.200 farolas.", "es", r"Hay \d\.\d00 farolas\."),
        ("В городе 14 200 фонарей.", "ru", r"В городе \d\d 200 фонарей\."),
        ("Расход сократился на 25 %.", "ru", r"Расход сократился на \d\d %\."),
        ("总投资1.8亿元。", "zh", r"总投资\d\.\d亿元。"),
    ],
)
def test_a_changed_number_keeps_its_form(text: str, language: str, form: str) -> None:
    made = _all_made(text, language, "number")
    assert len(made) > 2 and text not in made
    assert all(re.fullmatch(form, each) for each in made)


def test_a_rough_number_changes_by_more_than_what_rough_leaves_open() -> None:
    assert _all_made("About 585,000 people live here.", "en", "number") == {
        f"About {n}85,000 people live here." for n in (3, 4, 6, 7)
    }


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("More than 66 people came.", "en"),
        ("It carries up to 66 people.", "en"),
        ("There is enough for 66 people.", "en"),
        ("Не более 66 человек.", "ru"),
        ("Мороз до минус 45 градусов.", "ru"),
        ("Höchstens 66 Leute kamen.", "de"),
        ("Más de 66 personas.", "es"),
        ("超过66人。", "zh"),
        ("Lines L9 and Kama-3 meet at 11:30.", "en"),
    ],
)
def test_bounds_names_and_times_of_day_are_no_numbers_to_change(text: str, language: str) -> None:
    assert not {"number", "article's number"} & _made(text, language, others="77 others.").keys()


def test_a_new_number_is_none_that_the_article_has() -> None:
    others = "Then 46, 56, 76, 86, 64, 65 and 67 came, 680 more later."
    assert _all_made("There are 66 lamps.", "en", "number", others) == set()


def test_a_number_of_the_article_is_of_the_same_sort_and_not_of_the_quote() -> None:
    claim = _claim("There are 66 lamps and 12 doors.", "There are 66 lamps.")
    text = f"{claim.quote}\n\nOf 88 trams 25 % are new, 8.3 % old, 340 sold."
    made = [perturb(claim, _corpus({"a": (text, "en")}, claim), seed) for seed in range(20)]
    assert {c.claim for cases in made for c in cases if c.kind == "article's number"} == {"There are 88 lamps."}


def test_a_scale_word_keeps_its_case() -> None:
    assert _made("Это стоит 3,4 миллиарда рублей.", "ru")["scale"].claim == "Это стоит 3,4 миллиона рублей."
    assert _made("Cuesta 21 millones de euros.", "es")["scale"].claim == "Cuesta 21 mil millones de euros."
    assert _made("Cuesta 21 mil millones de euros.", "es")["scale"].claim == "Cuesta 21 millones de euros."


def test_months_keep_their_case_and_deadlines_become_earlier() -> None:
    assert _all_made("Линию открыли в феврале.", "ru", "date") == {
        f"Линию открыли в {month}." for month in ("январе", "марте", "апреле", "мае", "июне", "июле")
    }
    assert _all_made("Линию открыли 9 мая.", "ru", "date") >= {"Линию открыли 9 августа.", "Линию открыли 7 мая."}
    assert _all_made("La ligne ouvre en avril.", "fr", "date") == {
        "La ligne ouvre en août."
    }  # d'avril would be as well
    assert _all_made("It opens by 2026.", "en", "date") == {f"It opens by {year}." for year in (2023, 2024, 2025)}
    assert _all_made("线路6月开通。", "zh", "date") == {f"线路{n}月开通。" for n in (1, 2, 3, 4, 5, 7, 8, 9, 10, 11)}


def test_a_new_date_is_none_that_the_article_has() -> None:
    made = _all_made("Линию открыли в 2021 году.", "ru", "date", "В 2020 году её закрыли, в 2018 и 2022 меняли.")
    assert made == {f"Линию открыли в {year} году." for year in (2019, 2023, 2024)}


def test_a_word_that_opens_a_sentence_is_a_name_only_if_it_is_one_elsewhere() -> None:
    texts = {"a": ("Residents bought lamps. Tarn paid.\n\nLater, Tarn sold them.", "en"), "b": (BREL, "en")}
    assert [c.kind for c in perturb(_claim("Residents bought lamps."), _corpus(texts)) if c.kind == "name"] == []
    paid = perturb(
        _claim("Tarn paid. So did Tarn.", "Tarn paid. So did Tarn."),
        _corpus({**texts, "a": ("Tarn paid. So did Tarn.\n", "en")}),
    )
    (named,) = [case.claim for case in paid if case.kind == "name"]
    assert "Brel" in named or "Stenby" in named or "Marl" in named


def test_a_name_of_the_article_looks_alike_and_is_not_of_the_quote_or_the_first_paragraph() -> None:
    claim = _claim("They come from Ambleford, where 240 people work, said Ida Moor.")
    corpus = _corpus({"a": (TARN, "en"), "b": (BREL, "en")}, claim)
    made = [case for seed in range(20) for case in perturb(claim, corpus, seed)]
    # Kestwick is a place as well; Anders Holm is not told by anything to be a person
    assert {c.claim for c in made if c.kind == "article's name"} == {claim.claim.replace("Ambleford", "Kestwick")}
    assert {c.claim for c in made if c.kind == "name"} >= {claim.claim.replace("Ambleford", "Stenby")}


def test_russian_names_keep_their_ending_and_quoted_ones_their_quotes() -> None:
    texts = {
        "a": ("Завод построят в Твери. Его купит «Капля».", "ru"),
        "b": ("Дом открыли в Перми. Ещё один есть в Омске.\n\nИм владеет «Лучина».", "ru"),
    }
    claim = _claim("Завод построят в Твери. Его купит «Капля».", language="ru")
    made = {c.claim for seed in range(20) for c in perturb(claim, _corpus(texts, claim), seed) if c.kind == "name"}
    assert made == {"Завод построят в Перми. Его купит «Капля».", "Завод построят в Твери. Его купит «Лучина»."}


@pytest.mark.parametrize(
    ("text", "language", "negated"),
    [
        ("The line is open.", "en", "The line is not open."),
        ("The line was not built.", "en", "The line was built."),
        ("The line isn't open.", "en", "The line is open."),
        ("It cannot stop.", "en", "It can stop."),
        ("The town bought lamps.", "en", "The town did not buy lamps."),
        ("Линия будет открыта.", "ru", "Линия не будет открыта."),
        ("Камеры не поставят.", "ru", "Камеры поставят."),
        ("Линию построил завод.", "ru", "Линию не построил завод."),
        ("Die Linie ist offen.", "de", "Die Linie ist nicht offen."),
        ("Das ist ein Umbau.", "de", "Das ist kein Umbau."),
        ("Die Linie ist nicht offen.", "de", "Die Linie ist offen."),
        ("La línea será gratuita.", "es", "La línea no será gratuita."),
        ("La línea no tiene cables.", "es", "La línea tiene cables."),
        ("屋顶没有安装光伏板。", "zh", "屋顶有安装光伏板。"),
        ("巴士将开通。", "zh", "巴士将不开通。"),
        ("番茄不接触土壤。", "zh", "番茄接触土壤。"),
    ],
)
def test_a_negation_is_put_in_or_taken_away(text: str, language: str, negated: str) -> None:
    assert negated in _all_made(text, language, "negation")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("It is not only a tram.", "en"),
        ("It opens no later than May.", "en"),
        ("If it is late, they pay.", "en"),
        ("Это не только трамвай.", "ru"),
        ("Он весит не менее тонны.", "ru"),
        ("Откроют не раньше мая.", "ru"),
        ("Никто не пришёл.", "ru"),
        ("Es ist nicht nur eine Bahn.", "de"),
        ("No es solo un tranvía, no obstante.", "es"),
        ("不过价格合理。", "zh"),
        ("这不仅便宜。", "zh"),
    ],
)
def test_idioms_and_suppositions_are_not_negated(text: str, language: str) -> None:
    assert "negation" not in _made(text, language)


def test_other_passages_lack_something_of_the_claim() -> None:
    claim = _claim("They come from Ambleford, where 240 people work, said Ida Moor.")
    corpus = _corpus({"a": (TARN, "en"), "b": (BREL, "en")}, claim)
    made = {case.kind: case for case in perturb(claim, corpus)}
    assert corpus.cited(claim) == (1,)
    assert made["other passage"].claim == made["other article"].claim == claim.claim
    assert made["other passage"].article == "a" and made["other passage"].passages in ((0,), (2,))
    assert made["other article"].article == "b"


def test_a_passage_that_may_state_the_claim_is_not_cited_instead() -> None:
    text = "Tarn has 66 lamps.\n\nThe 66 lamps of Tarn are new.\n\nNobody is sad."
    claim = _claim("Tarn has 66 lamps.")
    (case,) = [c for c in perturb(claim, _corpus({"a": (text, "en")}, claim)) if c.kind == "other passage"]
    assert case.passages == (2,)
    vague = _claim("Nobody is sad.")  # no figure and no name that could be missing
    assert not [c for c in perturb(vague, _corpus({"a": (text, "en")}, vague)) if c.kind == "other passage"]


def test_the_same_seed_makes_the_same_and_no_kind_comes_twice() -> None:
    claim = _claim(TARN.split("\n")[0])
    corpus = _corpus({"a": (TARN, "en"), "b": (BREL, "en")}, claim)
    made = perturb(claim, corpus)
    assert made == perturb(claim, corpus)
    assert max(Counter(case.kind for case in made).values()) == 1
    assert len({tuple(case.claim for case in perturb(claim, corpus, seed)) for seed in range(5)}) > 1
    assert all((case.claim, case.article, case.passages) != (claim.claim, "a", (0,)) for case in made)


def test_a_quote_that_spans_passages_cites_all_of_them() -> None:
    claim = _claim(TARN[80:120])
    assert true_case(claim, _corpus({"a": (TARN, "en")}, claim)).passages == (0, 1)


def test_a_quote_that_is_in_no_article_is_refused() -> None:
    for claim in (_claim("Tarn has no lamps."), SourcedClaim("c-1", "lost", "66", "en", "66", "en", "verbatim")):
        with pytest.raises(BadRequest, match="c-1: not in"):
            true_case(claim, _corpus({"a": (TARN, "en")}, claim))


def test_claims_are_read_and_what_is_none_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "claims.jsonl"
    row = {"id": "c", "article": "a", "quote": "q", "quote_language": "en", "claim": "c", "language": "en"}
    path.write_text(json.dumps({**row, "kind": "verbatim"}) + "\n\n", "utf-8")
    assert read_claims(path) == [SourcedClaim("c", "a", "q", "en", "c", "en", "verbatim")]
    for bad in ({**row, "kind": "guess"}, row, {**row, "kind": "verbatim", "quote": ""}, ["no", "object"]):
        path.write_text("\n" + json.dumps(bad), "utf-8")
        with pytest.raises(BadRequest, match="line 2: not a claim"):
            read_claims(path)
    with pytest.raises(BadRequest, match="cannot read"):
        read_claims(tmp_path / "lost.jsonl")


def test_whole_sentences_that_answer_gold_questions_are_claims_once_each() -> None:
    whole, part = "They were lit on 5 March 2021.", "lit on 5 March"
    asked = [
        GoldQuestion(f"q-{n}", "When?", "de", ("5 March",), (Evidence("a", quote),), "date")
        for n, quote in enumerate((whole, part, whole))
    ]
    (claim,) = verbatim_claims(asked, {"a": make_article("a", TARN)})
    assert claim == SourcedClaim("q-0/0", "a", whole, "en", whole, "en", "verbatim")


def test_a_case_is_checked_against_the_passages_that_it_cites_alone() -> None:
    claim = _claim("They were lit on 5 March 2021.")
    corpus = _corpus({"a": (TARN, "en"), "b": (BREL, "en")}, claim)
    true = true_case(claim, corpus)
    assert check(true, WordChecker(), corpus).is_right
    by_kind = {case.kind: check(case, WordChecker(), corpus) for case in perturb(claim, corpus)}
    assert by_kind["date"].is_right and by_kind["date"].verdict == "other meaning"
    assert by_kind["other article"].is_right and by_kind["other article"].article == "b"


def test_claims_of_one_answer_share_the_passages_that_they_cite() -> None:
    first, second = _claim(TARN.split("\n")[0]), _claim(TARN.split("\n")[2])
    both = _claim(TARN[80:120])
    corpus = _corpus({"a": (TARN, "en")}, first, second, both)
    claims, hits = as_answer([true_case(claim, corpus) for claim in (second, first, both)], corpus)
    assert [claim.passages for claim in claims] == [(1,), (2,), (2, 1)]
    assert [hit.text for hit in hits] == [second.quote, first.quote]
    assert [hit.rank for hit in hits] == [1, 2]


def test_only_whole_answers_are_timed_and_each_by_a_new_checker() -> None:
    claim = _claim(TARN.split("\n")[0])
    corpus = _corpus({"a": (TARN, "en")}, claim)
    made: list[WordChecker] = []

    def make() -> WordChecker:
        made.append(WordChecker())
        return made[-1]

    first, again = times([true_case(claim, corpus)] * 13, corpus, make)
    assert len(first) == len(again) == len(made) == 2
    assert [len(checker.calls) for checker in made] == [10, 10]


def test_shares_are_of_right_verdicts_with_wilsons_interval() -> None:
    def record(kind: str, language: str, verdict: str) -> Record:
        return Record("c", kind, "verbatim", f"{language} → en", language, "", "a", "", verdict, "")

    records = [
        record("true", "en", "supported"),
        record("true", "en", "negation"),
        record("number", "en", "other number"),
        record("number", "ru", "supported"),
        record("number", "ru", "other name"),
        record("number", "ru", "other meaning"),
    ]
    by_kind = shares(records, lambda record: record.kind)
    assert {kind: (e.value, e.count) for kind, e in by_kind.items()} == {"number": (0.75, 4), "true": (0.5, 2)}
    assert {e.count: e.value for e in shares(records, lambda r: r.pair).values()} == {3: 2 / 3}
    # three of four, z² = 3.8415: (.75 + .48018 ± 1.96 · √(.046875 + .060023)) / 1.96036
    assert by_kind["number"].low == pytest.approx(0.3006, abs=1e-4)
    assert by_kind["number"].high == pytest.approx(0.9544, abs=1e-4)
    assert share(10, 10).low == pytest.approx(0.7225, abs=1e-4) and share(10, 10).high == 1
    assert share(0, 0).value != share(0, 0).value


def test_passages_are_those_that_an_index_has() -> None:
    article = make_article("a", TARN)
    corpus = corpus_of({"a": article}, [], TinyEmbedder(max_tokens=40))
    assert len(corpus.passages["a"]) > 1
    assert "".join(TARN[s.start : s.end] for s in corpus.passages["a"]).count("Tarn") == TARN.count("Tarn")
