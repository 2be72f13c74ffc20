"""The default embedder against SentenceTransformer.encode with the same weights in float32: speed, and what it costs.

Speed and cosine on XQuAD paragraphs in four languages, both engines on the CPU in turns; then recall@1, question to
paragraph, for all 16 pairs of languages by cosine alone.

    python -m eval.bench.embedding FOLDER [--quick] [--rounds 3]
"""

import argparse
import statistics
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sentence_transformers import SentenceTransformer
from tqdm import tqdm

from eval.bench.measure import at_least, timed
from eval.squad import SquadSet, read_squad
from index import e5
from index.embed import DEFAULT_EMBEDDER, Embedder, open_embedder

Floats = npt.NDArray[np.float32]

_LANGUAGES = ("en", "de", "zh", "es")
_PARAGRAPHS = 120  # of each language, for speed
_RATIO = 1.7
_LOSS = -1.0  # points of recall@1
_QUICK_PARAGRAPHS, _QUICK_QUESTIONS = 30, 100


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="holds en.json, de.json, zh.json and es.json of XQuAD")
    parser.add_argument("--quick", action="store_true", help="30 paragraphs and 100 questions of each language")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each engine (default: 3)")
    options = parser.parse_args()
    sets = {language: read_squad(options.folder / f"{language}.json") for language in _LANGUAGES}
    if options.quick:
        sets = {language: _first(data) for language, data in sets.items()}
    ours = open_embedder(DEFAULT_EMBEDDER, print)
    theirs = SentenceTransformer(str(e5.export_sentence_transformer(print)), device="cpu")
    texts = [text for data in sets.values() for text in data.paragraphs[:_PARAGRAPHS]]
    _compare_speed(texts, ours, theirs, options.rounds)
    _compare_recall(sets, ours, theirs)


def _first(data: SquadSet) -> SquadSet:
    kept = [n for n, paragraph in enumerate(data.gold) if paragraph < _QUICK_PARAGRAPHS][:_QUICK_QUESTIONS]
    paragraphs = data.paragraphs[:_QUICK_PARAGRAPHS]
    return SquadSet(paragraphs, [data.questions[n] for n in kept], [data.gold[n] for n in kept])


def _compare_speed(texts: list[str], ours: Embedder, theirs: SentenceTransformer, rounds: int) -> None:
    special = 2  # tokens around each text
    lengths = ours.count_tokens([f"passage: {text}" for text in texts])
    tokens = sum(min(length + special, ours.max_tokens) for length in lengths)
    ours.embed_passages(texts[:8])
    _encode(theirs, "passage: ", texts[:8])
    ours_seconds, their_seconds = list[float](), list[float]()
    for _ in tqdm(range(rounds), desc="speed", leave=False):
        mine, seconds = timed(ours.embed_passages, texts)
        ours_seconds.append(seconds)
        reference, seconds = timed(_encode, theirs, "passage: ", texts)
        their_seconds.append(seconds)
    cosines = (mine * reference).sum(axis=1)
    fast, slow = statistics.median(ours_seconds), statistics.median(their_seconds)
    print(f"{len(texts)} paragraphs, {tokens:,} tokens, {rounds} runs of each in turns, medians")
    print(f"SentenceTransformer.encode  {tokens / slow:>8,.0f} tokens/s")
    print(f"ours                        {tokens / fast:>8,.0f} tokens/s")
    print(f"ratio                       {slow / fast:>8.2f}  {at_least(slow / fast, _RATIO)}")
    print(f"cosine, mean and lowest     {cosines.mean():>8.5f} {cosines.min():.5f}\n")


def _encode(model: SentenceTransformer, prefix: str, texts: Sequence[str]) -> Floats:
    prefixed = [prefix + text for text in texts]
    vectors = model.encode(prefixed, batch_size=32, normalize_embeddings=True, show_progress_bar=False)
    return np.asarray(vectors, np.float32)


def _compare_recall(sets: dict[str, SquadSet], ours: Embedder, theirs: SentenceTransformer) -> None:
    asked: dict[str, tuple[Floats, Floats]] = {}
    found: dict[str, tuple[Floats, Floats]] = {}
    for language, data in tqdm(sets.items(), desc="recall", leave=False):
        mine = np.stack([ours.embed_query(question) for question in data.questions])
        asked[language] = _encode(theirs, "query: ", data.questions), mine
        found[language] = _encode(theirs, "passage: ", data.paragraphs), ours.embed_passages(data.paragraphs)
    print(f"{'question → paragraph':<22}{'float32':>8}{'ours':>8}{'points':>8}")
    differences = list[float]()
    for question, paragraph in product(sets, sets):
        gold = sets[question].gold
        float32, ours_too = (_recall(asked[question][n], found[paragraph][n], gold) for n in (0, 1))
        differences.append(round(100 * (ours_too - float32), 6))  # a loss of exactly one point is no more than that
        verdict = "" if differences[-1] >= _LOSS else "  BELOW"
        print(f"{question} → {paragraph:<17}{float32:>8.3f}{ours_too:>8.3f}{differences[-1]:>+8.2f}{verdict}")
    lowest = min(differences)
    one = 100 / len(sets["en"].questions)
    print(f"one question is {one:.2f} points; on the mean {np.mean(differences):+.2f}")
    print(f"lowest {lowest:+.2f} points  {at_least(lowest, _LOSS)}")


def _recall(questions: Floats, paragraphs: Floats, gold: Sequence[int]) -> float:
    return float(((questions @ paragraphs.T).argmax(axis=1) == np.asarray(gold)).mean())


if __name__ == "__main__":
    main()
