"""How the reader is trained: the pairs it learns from, their tokens, and the steps; on a pool of a few towns."""

import copy
import gzip
import json
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as functional
import zstandard
from conftest import CountingEmbedder, Floats, TinyEmbedder

from index import e5
from index.errors import ModelUnavailable
from rag.reader import pairs as pairs_module
from rag.reader import train as train_module
from rag.reader.network import ReaderNetwork, _Attention
from rag.reader.pair_reader import WINDOW, OnnxPairReader
from rag.reader.pairs import NO_ANSWER_SHARE, Pair, cached_pairs, make_pairs
from rag.reader.train import Batch, Example, Run, _network, collate, in_batches, in_tokens
from rag.reader.weights import ReaderWeights, save_weights

TINY = TinyEmbedder()
GENERATED = {"sibling", "lexical", "dense", "random"}
TOWNS = ["Elverum", "Aldmoor", "Kestrel Bay", "Orvieto", "Tarn", "Lindow", "Brava", "Sund", "Marrow", "Quill"]
PEOPLE = ["Jonas Brekke", "Ada Lind", "Pavel Orlov", "Rosa Marin", "Ivo Tanner"]
# Of each language: two paragraphs about every town, and what is asked about each of them.
TEXTS = {
    "en": (
        "In {year} a library was opened in {town}. It was designed by {person} and has {books} books on its shelves.",
        "The harbour of {town} is older than the town. Every year {ships} ships come in, says master {other}.",
        ("When was the library of {town} opened?", "{year}"),
        ("Who designed the library of {town}?", "{person}"),
        ("How many ships come to {town}?", "{ships} ships"),
        "Which painter was born in {town}?",
    ),
    "ru": (
        "В {year} году в городе {town} открыли библиотеку. Её построил {person}, на полках стоит {books} книг.",
        "Порт города {town} старше самого города. Каждый год приходит {ships} кораблей, говорит капитан {other}.",
        ("Когда открыли библиотеку в городе {town}?", "{year}"),
        ("Кто построил библиотеку в городе {town}?", "{person}"),
        ("Сколько кораблей приходит в {town}?", "{ships} кораблей"),
        "Какой художник родился в городе {town}?",
    ),
    "es": (
        "En {year} se abrió una biblioteca en {town}. La diseñó {person} y tiene {books} libros en sus estantes.",
        "El puerto de {town} es más antiguo que la ciudad. Cada año llegan {ships} barcos, dice el capitán {other}.",
        ("¿Cuándo se abrió la biblioteca de {town}?", "{year}"),
        ("¿Quién diseñó la biblioteca de {town}?", "{person}"),
        ("¿Cuántos barcos llegan a {town}?", "{ships} barcos"),
        "¿Qué pintor nació en {town}?",
    ),
    "it": (
        "Nel {year} fu aperta una biblioteca a {town}. La progettò {person} e ha {books} libri sugli scaffali.",
        "Il porto di {town} è più antico della città. Ogni anno arrivano {ships} navi, dice il capitano {other}.",
        ("Quando fu aperta la biblioteca di {town}?", "{year}"),
        ("Chi progettò la biblioteca di {town}?", "{person}"),
        ("Quante navi arrivano a {town}?", "{ships} navi"),
        "Quale pittore nacque a {town}?",
    ),
    "zh": (
        "{year}年,{town}市开设了一座图书馆。它由{person}设计,书架上有{books}册书。",
        "{town}港比城市更古老。港务长{other}说,每年有{ships}艘船进港。",
        ("{town}市的图书馆是哪一年开设的?", "{year}"),
        ("{town}市的图书馆是谁设计的?", "{person}"),
        ("每年有多少艘船进入{town}港?", "{ships}艘船"),
        "哪位画家出生在{town}?",
    ),
}  # fmt: skip
SETS = {"en": "notes", "ru": "notes_ru", "es": "squad_es", "it": "squad_it", "zh": "notes_zh"}


def _row(language: str, number: int, kind: str, title: str, text: str, question: str, answer: str) -> dict[str, Any]:
    start = text.find(answer)
    spans = [{"text": answer, "answer_start": start}] if answer else []
    return {
        "set": SETS[language],
        "lang": language,
        "split": "train",
        "id": f"{number}-{kind}" if SETS[language].startswith("squad_") else f"{language}-{number}-{kind}",
        "title": title,
        "context": text,
        "question": question,
        "answers": spans * 2,  # as where two people gave the same answer
        "is_impossible": not answer,
    }


def _rows() -> Iterator[dict[str, Any]]:
    for language, (library, harbour, *asked, painter) in TEXTS.items():
        for number, town in enumerate(TOWNS):
            facts = {
                "town": town,
                "year": str(1900 + 7 * number),
                "person": PEOPLE[number % len(PEOPLE)],
                "other": PEOPLE[(number + 2) % len(PEOPLE)],
                "books": str(52_000 + 1111 * number),
                "ships": str(310 + number),
            }
            texts = [library.format(**facts), harbour.format(**facts)]
            title = f"{town} ({language})".replace(" ", "_")
            for kind, ((question, answer), text) in enumerate(zip(asked, [texts[0], *texts], strict=True)):
                if language == "it" and kind == 1 and number % 2:
                    continue  # what one of the parallel sets has and the other has not
                filled = (question.format(**facts), answer.format(**facts))
                yield _row(language, number, f"{kind}", title, text, *filled)
            if language in ("en", "es", "it") and number % 2:
                yield _row(language, number, "painter", title, texts[0], painter.format(**facts), "")


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pool") / "pool.jsonl.zst"
    _write(path, list(_rows()))
    return path


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    with zstandard.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


@pytest.fixture(scope="module")
def made(pool: Path) -> list[Pair]:
    return make_pairs(pool, TINY)


def _answers() -> dict[tuple[str, str], str]:
    """Give the answers by the passage's language and the question's id."""
    return {(r["lang"], r["id"]): r["answers"][0]["text"] for r in _rows() if r["answers"]}


# Pairs


def test_every_answered_question_is_a_pair_with_its_own_paragraph(made: list[Pair]) -> None:
    rows = [row for row in _rows() if row["answers"]]
    gold = Counter((p.question, p.text) for p in made if p.kind == "gold" and _is_of_one_language(p))
    assert gold == Counter((row["question"], row["context"]) for row in rows) and len(rows) > 100


def test_the_offsets_of_answers_give_the_answers_once_each(made: list[Pair]) -> None:
    answers = _answers()
    for pair in made:
        found = [pair.text[start:end] for start, end in pair.answers]
        wanted = [answers[pair.languages.split(">")[1], pair.question_id]] if pair.kind == "gold" else []
        assert found == wanted


def test_a_pair_made_without_an_answer_holds_none(made: list[Pair]) -> None:
    answers = _answers()
    made_up = [p for p in made if p.kind in GENERATED]
    assert {p.kind for p in made_up} >= {"sibling", "lexical", "dense"}
    for pair in made_up:
        answer = answers[pair.languages.split(">")[1], pair.question_id]
        assert pair.answers == () and answer.casefold() not in pair.text.casefold(), pair


def test_siblings_are_other_paragraphs_of_the_same_article(made: list[Pair]) -> None:
    own = {(row["lang"], row["id"]): row for row in _rows()}
    siblings = [p for p in made if p.kind == "sibling"]
    for pair in siblings:
        row = own[pair.languages.split(">")[1], pair.question_id]
        assert pair.title == row["title"].replace("_", " ") and pair.text != row["context"]


def test_in_every_language_a_third_of_the_pairs_have_no_answer(made: list[Pair]) -> None:
    shares: dict[str, list[bool]] = defaultdict(list)
    for pair in made:
        shares[pair.languages].append(not pair.answers)
    assert set(shares) == {"en>en", "ru>ru", "es>es", "it>it", "zh>zh", "es>it", "it>es"}
    for languages, without in shares.items():
        assert np.mean(without) == pytest.approx(NO_ANSWER_SHARE, abs=0.05), languages


def test_questions_of_one_parallel_set_meet_the_paragraphs_of_the_other(made: list[Pair]) -> None:
    rows = {(row["lang"], row["id"]): row for row in _rows()}
    across = [p for p in made if not _is_of_one_language(p)]
    assert {p.kind for p in across} == {"gold", "native", "sibling"}
    for pair in across:
        asking, telling = pair.languages.split(">")
        assert pair.question == rows[asking, pair.question_id]["question"]
        if pair.kind != "sibling":
            assert pair.text == rows[telling, pair.question_id]["context"]


def _is_of_one_language(pair: Pair) -> bool:
    asking, telling = pair.languages.split(">")
    return asking == telling


def test_an_article_is_held_back_with_all_its_questions_in_all_languages(
    made: list[Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs_module, "_HELD_BACK", 2)
    assert _sides(made) == {frozenset({True}), frozenset({False})}


def test_an_article_is_held_back_whole_where_another_language_lacks_some_of_its_questions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [row for row in _rows() if row["lang"] in ("es", "it")]
    some = [row for row in rows if row["lang"] == "it" or not row["id"].endswith("-2")]
    _write(tmp_path / "pool.jsonl.zst", some)
    monkeypatch.setattr(pairs_module, "_HELD_BACK", 2)
    assert _sides(make_pairs(tmp_path / "pool.jsonl.zst", TINY)) == {frozenset({True}), frozenset({False})}


def test_what_is_held_back_and_what_is_trained_on_share_no_question_and_no_passage(
    pool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs_module, "_HELD_BACK", 2)
    found = make_pairs(pool, TINY)
    assert {p.kind for p in found if p.is_held_back} & GENERATED and {p.kind for p in found} >= GENERATED - {"random"}
    for of in ("text", "question", "question_id", "group"):
        held_back, trained_on = ({getattr(p, of) for p in found if p.is_held_back is side} for side in (True, False))
        assert held_back and trained_on and not held_back & trained_on, of


def _sides(made: list[Pair]) -> set[frozenset[bool]]:
    """Give whether the pairs of an article are held back, and of a question, both only where they are mixed."""
    sides: dict[str, set[bool]] = defaultdict(set)
    for pair in made:
        if pair.kind in ("gold", "native"):
            sides[pair.title].add(pair.is_held_back)
        sides[f"{pair.question_id} {pair.languages.split('>')[0]}"].add(pair.is_held_back)
    return {frozenset(found) for found in sides.values()}


def test_one_seed_gives_the_same_pairs_and_another_others(pool: Path, made: list[Pair]) -> None:
    assert make_pairs(pool, TINY) == made
    other = make_pairs(pool, TINY, seed=8)
    assert other != made and Counter(p.question for p in other if p.answers) == Counter(
        p.question for p in made if p.answers
    )


def test_pairs_are_made_once_and_read_back_the_same(pool: Path, made: list[Pair], tmp_path: Path) -> None:
    embedder = CountingEmbedder()
    assert cached_pairs(pool, embedder, tmp_path / "new") == made
    calls = len(embedder.calls)
    assert calls and cached_pairs(pool, embedder, tmp_path / "new") == made and len(embedder.calls) == calls
    assert [p.suffixes for p in (tmp_path / "new").iterdir()] == [[".jsonl", ".zst"]]
    cached_pairs(pool, embedder, tmp_path / "new", seed=8)
    assert len(embedder.calls) > calls and len(list((tmp_path / "new").iterdir())) == 2


def test_a_long_paragraph_is_cut_around_its_answer_and_broken_offsets_are_passed_over(tmp_path: Path) -> None:
    filler = "The council met and talked about the weather and the roads. "
    text = filler * 60 + "It cost 48 million kroner. " + filler * 60
    good = _row("en", 1, "long", "Minutes", text, "How much did it cost?", "48 million kroner")
    broken = good | {"id": "broken", "answers": [{"text": "48 million", "answer_start": len(text) - 3}]}
    _write(tmp_path / "pool.jsonl.zst", [good, broken])
    found = make_pairs(tmp_path / "pool.jsonl.zst", TINY)
    assert [p.question_id for p in found] == [good["id"]]
    (start, end), text = found[0].answers[0], found[0].text
    assert text[start:end] == "48 million kroner" and len(text) <= 2500 and text in good["context"]


def test_english_questions_join_the_translations_that_mean_the_same(tmp_path: Path) -> None:
    class Interpreter(TinyEmbedder):
        """Embeds a Spanish question as the English one that it translates."""

        def embed_query(self, text: str) -> Floats:
            return super().embed_query(spanish.get(text, text))

    (_, _, *english, _), (_, _, *translated, _) = TEXTS["en"], TEXTS["es"]
    spanish = {
        es[0].format(town=t): en[0].format(town=t) for en, es in zip(english, translated, strict=True) for t in TOWNS
    }
    rows = [
        row | ({"set": "squad2_en"} if row["lang"] == "en" else {}) for row in _rows() if row["lang"] in ("en", "es")
    ]
    _write(tmp_path / "pool.jsonl.zst", rows)
    found = make_pairs(tmp_path / "pool.jsonl.zst", Interpreter())
    asked_across = [p for p in found if p.languages == "en>es" and p.answers]
    assert len(asked_across) == len(spanish) and {p.languages for p in found} == {"en>en", "es>es", "en>es", "es>en"}
    own = {row["question"]: row["context"] for row in rows if row["lang"] == "es"}
    translations = {en: es for es, en in spanish.items()}
    assert all(p.text == own[translations[p.question]] for p in asked_across)
    groups = {p.question_id: p.group for p in found if p.languages == "es>es" and p.answers}
    assert all(p.group == groups[p.question_id] for p in found if p.languages == "en>en" and p.answers)


# Tokens


@pytest.fixture(scope="module")
def tokenizer(pairs: OnnxPairReader) -> Any:  # noqa: ANN401 - the tokenizers library has no precise types
    return e5.load_tokenizer(e5.unpacked(print))


@pytest.fixture(scope="module")
def examples(made: list[Pair], tokenizer: Any) -> list[Example]:  # noqa: ANN401
    return in_tokens(made, tokenizer)


def test_an_answers_tokens_decode_to_the_answer(made: list[Pair], examples: list[Example], tokenizer: Any) -> None:  # noqa: ANN401
    assert len(examples) == len(made)
    for pair, tokens in zip(made, examples, strict=True):
        assert len(tokens.answers) == len(pair.answers)
        for (first, last), (start, end) in zip(tokens.answers, pair.answers, strict=True):
            decoded = tokenizer.decode(tokens.text[first : last + 1].tolist())
            assert decoded == pair.text[start:end], pair


def test_a_batch_is_laid_out_as_the_reader_reads_it(made: list[Pair], examples: list[Example], tokenizer: Any) -> None:  # noqa: ANN401
    some, texts = examples[:60], made[:60]
    batch = collate(some, random.Random(1))
    assert batch.ids.shape == (60, int(batch.lengths.max()))
    untitled = 0
    for n, (tokens, pair) in enumerate(zip(some, texts, strict=True)):
        length, passage, start, end = (int(v[n]) for v in (batch.lengths, batch.passages, batch.starts, batch.ends))
        ids = batch.ids[n].tolist()
        opening = [0, *tokens.question.tolist(), 2, 2]
        assert ids[: len(opening)] == opening and ids[length - 1] == 2 and set(ids[length:]) <= {1}
        assert ids[len(opening) : passage] in ([], tokens.title.tolist())
        untitled += passage == len(opening)
        assert ids[passage : length - 1] == tokens.text.tolist()
        if pair.answers:
            assert passage <= start <= end < length - 1
            assert any(pair.text[a:b] in tokenizer.decode(ids[start : end + 1]) for a, b in pair.answers)
        else:
            assert start == end == 0
    assert 0 < untitled < 30


@pytest.mark.parametrize("answer", [(0, 0), (3, 9), (500, 520), (990, 999)])
def test_the_window_of_a_long_passage_holds_its_answer(answer: tuple[int, int]) -> None:
    tokens = Example(_ints(20), _ints(10), np.arange(1000, 2000, dtype=np.int32), (answer,))
    seen = set()
    for seed in range(60):
        batch = collate([tokens], random.Random(seed))
        start, end = int(batch.starts[0]), int(batch.ends[0])
        assert int(batch.lengths[0]) == WINDOW == batch.ids.shape[1]
        assert [int(batch.ids[0, at]) - 1000 for at in (start, end)] == list(answer) and start >= int(batch.passages[0])
        seen.add(start)
    assert len(seen) > 20 or answer != (500, 520)  # it does not always stand in the same place


def test_a_long_passage_without_an_answer_is_read_anywhere_in_it() -> None:
    tokens = Example(_ints(20), _ints(0), np.arange(1000, 2000, dtype=np.int32), ())
    batches = [collate([tokens], random.Random(seed)) for seed in range(40)]
    assert all(int(b.starts[0]) == int(b.ends[0]) == 0 and int(b.lengths[0]) == WINDOW for b in batches)
    firsts = [int(b.ids[0, int(b.passages[0])]) - 1000 for b in batches]
    assert min(firsts) < 250 and max(firsts) > 500


def test_one_of_several_answers_is_drawn() -> None:
    tokens = Example(_ints(5), _ints(0), np.arange(1000, 1050, dtype=np.int32), ((3, 4), (30, 31)))
    starts = {int(collate([tokens], random.Random(seed)).starts[0]) for seed in range(30)}
    assert starts == {8 + 3, 8 + 30}


def _ints(size: int) -> Any:  # noqa: ANN401
    return np.full(size, 9, np.int32)


def test_every_example_is_in_one_batch_of_limited_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_module, "_BATCH_TOKENS", 512)
    chance = random.Random(3)
    lengths = [chance.randint(8, WINDOW) for _ in range(500)]
    batches = in_batches(lengths, 7)
    assert sorted(i for batch in batches for i in batch) == list(range(500))
    assert all(len(batch) * max(lengths[i] for i in batch) <= 512 for batch in batches)
    assert batches == in_batches(lengths, 7) != in_batches(lengths, 8)


# The network and its training


@pytest.mark.parametrize("is_masked", [True, False])
def test_attention_and_its_gradient_are_those_of_torch(is_masked: bool) -> None:
    torch.manual_seed(1)
    batch, length, heads, size = 11, 7, 4, 8
    lengths = torch.arange(batch) % (length - 1) + 2
    beyond = torch.arange(length)[None] >= lengths[:, None]
    mask = torch.zeros(batch, length).masked_fill(beyond, -1e4)[:, None, None] if is_masked else None
    outer = torch.randn(batch, length, heads * size)

    ours = torch.randn(batch, length, 3 * heads * size, requires_grad=True)
    context = _Attention.apply(ours, mask, heads)  # type: ignore[no-untyped-call]
    (our_gradient,) = torch.autograd.grad((context * outer).sum(), ours)

    theirs = ours.detach().clone().requires_grad_()
    q, k, v = theirs.view(batch, length, 3, heads, size).permute(2, 0, 3, 1, 4)
    wanted = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).reshape(outer.shape)
    (their_gradient,) = torch.autograd.grad((wanted * outer).sum(), theirs)

    assert torch.allclose(context, wanted, atol=1e-5) and torch.allclose(our_gradient, their_gradient, atol=1e-5)


class LowestLayers(e5.E5File):
    """The embedding model without its upper ten layers: quick to train."""

    @property
    def layers(self) -> int:
        return 2


@pytest.fixture(scope="module")
def source() -> e5.E5File:
    return LowestLayers(e5.source_file().path)


@pytest.fixture(scope="module")
def untrained(source: e5.E5File) -> ReaderNetwork:
    """Give the network before training; copy it to train it."""
    torch.manual_seed(7)
    return ReaderNetwork(source, frozen_layers=1)


@pytest.fixture(scope="module")
def table(source: e5.E5File, examples: list[Example]) -> torch.Tensor:
    """Give the word embeddings, only those rows filled that the examples need."""
    used = np.unique(np.concatenate([[0, 1, 2], *(part for e in examples for part in (e.question, e.title, e.text))]))
    rows = torch.zeros(source.rows, source.hidden, dtype=torch.bfloat16)
    rows[torch.from_numpy(used.astype(np.int64))] = torch.from_numpy(source.word_rows(used.astype(np.int64))).bfloat16()
    return rows


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train in small batches."""
    monkeypatch.setattr(train_module, "_BATCH_TOKENS", 600)


def _losses(network: ReaderNetwork, table: torch.Tensor, batch: Batch) -> tuple[float, float]:
    """Give the loss of relevance and the loss of the span, worked out without the trainer."""
    network.eval()
    with torch.no_grad():
        relevance, spans = network(table[batch.ids].float(), batch.lengths)
    place = torch.arange(batch.ids.shape[1])[None]
    is_passage = (place >= batch.passages[:, None]) & (place < batch.lengths[:, None] - 1)
    spans = spans.masked_fill(~(is_passage | (place == 0))[..., None], -1e4)
    of_relevance = functional.binary_cross_entropy_with_logits(relevance, (batch.starts > 0).float())
    of_span = functional.cross_entropy(spans[..., 0], batch.starts) + functional.cross_entropy(
        spans[..., 1], batch.ends
    )
    return float(of_relevance), float(of_span)


def _logged(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]


@pytest.mark.usefixtures("quick")
def test_training_lowers_the_loss_and_what_it_saved_is_what_it_trained(
    untrained: ReaderNetwork,
    table: torch.Tensor,
    examples: list[Example],
    source: e5.E5File,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(train_module, "_LOOK_STEPS", 10)
    network, few = copy.deepcopy(untrained), examples[:24]
    batch = collate(few, random.Random(0))
    before = _losses(network, table, batch)
    Run(network, table, tmp_path, {"rate": 1e-3}).train(few * 10, examples[24:48], 1e-3, 7)
    after = _losses(network, table, batch)
    assert after[0] < before[0] and after[1] < before[1] - 1
    log = _logged(tmp_path)
    assert log[0] == {"settings": {"rate": "0.001"}} and all(0 <= row["auroc"] <= 1 for row in log if "auroc" in row)
    assert next(row["step"] for row in log if "exact" in row) == 10 and 0 <= log[-1]["exact"] <= 1

    trained = network.named_weights()
    started = untrained.named_weights()
    changed = {name for name, values in trained.items() if not np.array_equal(values, started[name])}
    assert {name.split(".")[0] for name in changed} == {"l1", "rel0", "rel1", "span"}
    save_weights({name: trained[name] for name in changed}, tmp_path / "reader.safetensors", {})
    saved = ReaderWeights(source, tmp_path / "reader.safetensors")
    loaded = ReaderNetwork(saved)
    loaded.load_heads(saved)
    assert _losses(loaded, table, batch) == pytest.approx(after, abs=0.1)


@pytest.mark.usefixtures("quick")
def test_a_run_that_was_cut_off_goes_on_from_its_checkpoint_to_the_same_weights(
    untrained: ReaderNetwork,
    table: torch.Tensor,
    examples: list[Example],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(train_module, "_CHECKPOINT_STEPS", 3)
    trained_on, held_back = examples[:110], examples[110:134]
    whole, cut, resumed = (copy.deepcopy(untrained) for _ in range(3))
    Run(whole, table, tmp_path / "whole", {}).train(trained_on, held_back, 1e-3, 7)
    steps = len(in_batches([e.length() for e in trained_on], 7))
    assert steps > 6

    made = 0

    def stopping(some: list[Example], chance: random.Random) -> Batch:
        nonlocal made
        made += 1
        if made == 6:
            raise KeyboardInterrupt
        return collate(some, chance)

    with monkeypatch.context() as power, pytest.raises(KeyboardInterrupt):
        power.setattr(train_module, "collate", stopping)
        Run(cut, table, tmp_path / "cut", {}).train(trained_on, held_back, 1e-3, 7)
    Run(resumed, table, tmp_path / "cut", {}).train(trained_on, held_back, 1e-3, 7)
    assert {"resumed": 3} in _logged(tmp_path / "cut") and "resumed" not in str(_logged(tmp_path / "whole"))
    assert _logged(tmp_path / "cut")[-1]["step"] == steps
    assert {p.name for p in (tmp_path / "cut").iterdir()} == {"checkpoint.pt", "train.jsonl"}
    started, wanted, found = (n.named_weights() for n in (untrained, whole, resumed))
    assert all(np.allclose(found[name], wanted[name], atol=1e-6) for name in wanted)
    assert np.abs(wanted["l1.q.w"] - started["l1.q.w"]).max() > 1e-4


def test_the_weights_are_named_as_the_embedding_models_and_the_lower_layers_stay_as_they_are(
    untrained: ReaderNetwork, source: e5.E5File
) -> None:
    named = untrained.named_weights()
    parts = {"q": 384, "k": 384, "v": 384, "ao": 384, "fi": 384, "fo": 1536}
    for name, width in ((f"l{layer}.{part}", width) for layer in range(2) for part, width in parts.items()):
        assert np.array_equal(named[f"{name}.w"], source.matrix(f"{name}.w", width))
        assert np.array_equal(named[f"{name}.b"], source.vector(f"{name}.b"))
    for name in ("emb.ln.w", "l0.aln.b", "l1.oln.w"):
        assert np.array_equal(named[name], source.vector(name))
    learning = [name for name, p in untrained.named_parameters() if p.requires_grad]
    assert {name.split(".")[0] for name in learning} == {"layers", "relevance", "span"}
    assert all(name.startswith("layers.1.") for name in learning if name.startswith("layers."))


def test_padding_changes_nothing(untrained: ReaderNetwork, table: torch.Tensor, examples: list[Example]) -> None:
    short, long = sorted(examples, key=Example.length)[:: len(examples) - 1]
    plain = [replace(e, title=_ints(0)) for e in (short, long)]
    untrained.eval()
    alone, both = collate(plain[:1], random.Random(0)), collate(plain, random.Random(0))
    assert both.ids.shape[1] > alone.ids.shape[1]
    with torch.no_grad():
        by_itself = untrained(table[alone.ids].float(), alone.lengths)
        together = untrained(table[both.ids].float(), both.lengths)
    assert torch.allclose(by_itself[0][0], together[0][0], atol=1e-4)
    assert torch.allclose(by_itself[1][0], together[1][0, : alone.ids.shape[1]], atol=1e-4)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, source: e5.E5File) -> None:
    """Have the trainer make its pairs of words, and train two layers."""
    monkeypatch.setattr(train_module, "open_embedder", lambda *_: TINY)
    monkeypatch.setattr(e5, "source_file", lambda: source)
    monkeypatch.setattr(pairs_module, "_HELD_BACK", 2)
    monkeypatch.setattr(train_module, "_LOOK_PAIRS", 12)


def _run_trainer(monkeypatch: pytest.MonkeyPatch, *asked: object) -> None:
    monkeypatch.setattr(sys, "argv", ["train", *map(str, asked), "--frozen-layers", "1"])
    train_module.main()


@pytest.mark.usefixtures("small")
def test_the_trainer_runs_from_a_pool_to_a_file_of_weights(
    pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: e5.E5File
) -> None:
    _run_trainer(monkeypatch, pool, "--out", tmp_path / "out", "--pairs", 12)
    weights = ReaderWeights(source, tmp_path / "out" / "reader.safetensors")
    assert not np.array_equal(weights.matrix("l1.fo.w", 1536), source.matrix("l1.fo.w", 1536))
    assert np.array_equal(weights.matrix("l0.fo.w", 1536), source.matrix("l0.fo.w", 1536))
    assert weights.vector("span.w").shape == (2 * 384,) and weights.vector("rel1.b").shape == (1,)
    assert (tmp_path / "out" / "reader.sha256").is_file()


@pytest.mark.usefixtures("small")
def test_the_trainer_goes_on_from_saved_weights_and_switches_words_of_what_it_trains_on(
    pool: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: e5.E5File,
    saved: Path,
    dictionaries: Path,
    tokenizer: Any,  # noqa: ANN401
) -> None:
    given: list[tuple[ReaderNetwork, list[Example], list[Example]]] = []

    def standing_still(run: Run, examples: list[Example], held_back: list[Example], *_: object) -> None:
        given.append((run._network, examples, held_back))

    monkeypatch.setattr(Run, "train", standing_still)
    _run_trainer(monkeypatch, pool, "--out", tmp_path, "--start", saved, "--dictionaries", dictionaries)
    [(network, examples, held_back)] = given
    start, written = ReaderWeights(source, saved), ReaderWeights(source, tmp_path / "reader.safetensors")
    _assert_holds(network, start, *HEADS)
    assert all(np.array_equal(written.vector(f"{name}.w"), start.vector(f"{name}.w")) for name in HEADS)
    assert np.allclose(written.matrix("l1.fo.w", 1536), start.matrix("l1.fo.w", 1536), atol=1e-3)

    made = cached_pairs(pool, TINY, tmp_path)
    sides = [pair for pair in made if not pair.is_held_back], [pair for pair in made if pair.is_held_back][:12]
    before, unswitched = ([_decoded(e, tokenizer) for e in in_tokens(side, tokenizer)] for side in sides)
    after = [_decoded(e, tokenizer) for e in examples]
    assert [_decoded(e, tokenizer) for e in held_back] == unswitched
    assert [answers for *_, answers in before] == [answers for *_, answers in after]
    asked_anew = [(was, now) for (was, *_), (now, *_) in zip(before, after, strict=True) if was != now]
    assert 0 < len(asked_anew) < len(before) / 3
    for was, now in asked_anew:
        assert (set(now.split()) - set(was.split())) & SWITCHED, now


def _decoded(example: Example, tokenizer: Any) -> tuple[str, str, list[str]]:  # noqa: ANN401
    """Give the question, the text and the answers of an example as the tokenizer spells them."""
    answers = [tokenizer.decode(example.text[first : last + 1]) for first, last in example.answers]
    return tokenizer.decode(example.question), tokenizer.decode(example.text), answers


@pytest.mark.parametrize("frozen_layers", [0, 1])
def test_without_saved_weights_training_starts_from_the_embedding_model(source: e5.E5File, frozen_layers: int) -> None:
    _assert_holds(_network(source, None, frozen_layers), source)


SWITCHED = {
    "wann", "wer", "wie", "welche", "Bücherei", "Hafen", "когда", "кто", "сколько", "какой",
    "what", "who", "how", "which", "library",
}  # fmt: skip
HEADS = ("rel0", "rel1", "span")


@pytest.fixture
def saved(untrained: ReaderNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the file of a reader that was trained a little."""
    path = tmp_path_factory.mktemp("saved") / "reader.safetensors"
    trained = ("l1.", *HEADS)
    save_weights({k: 1.01 * v + 0.001 for k, v in untrained.named_weights().items() if k.startswith(trained)}, path, {})
    return path


@pytest.fixture
def dictionaries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dictionaries")
    files = {
        "freedict-eng-deu.dict.dz": "library /lˈaɪbɹəɹi/\nBücherei <fem>\nharbour /hˈɑːbə/\nHafen <masc>\n",
        "mueller7.dict.dz": "book\n   [bʊk] _n. книга\n",
        "cedict_1_0_ts_utf-8_mdbg.txt.gz": "圖書館 图书馆 [tu2 shu1 guan3] /library/\n",
    }
    for name, text in files.items():
        with gzip.open(folder / name, "wt", encoding="utf-8") as file:
            file.write(text)
    return folder


def _assert_holds(network: ReaderNetwork, weights: e5.EncoderWeights, *heads: str) -> None:
    """Check that the network's weights are those given; heads are drawn at random unless they are named."""
    widths = {"fo": weights.feed_forward}
    named = network.named_weights()
    for name, values in named.items():
        part = name.split(".")[-2]
        if name.startswith("l") and values.ndim == 2:
            assert np.array_equal(values, weights.matrix(name, widths.get(part, weights.hidden))), name
        elif part in heads or part not in HEADS:
            assert np.array_equal(values.reshape(-1), weights.vector(name)), name


def test_weights_to_go_on_from_have_to_be_there(source: e5.E5File, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"none\.safetensors"):
        _network(source, tmp_path / "none.safetensors", 1)
