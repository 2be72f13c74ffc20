"""A chat model's answers to the sample questions: in the question's language? how much of them is supported?

    python -m eval.bench.chat_model --llm openai:qwen3 --base-url http://127.0.0.1:8080/v1 [FILES] [--most 40]

Asks the questions of ``FILES`` (the development set) of the sample articles. The language is that of all that the model
wrote, supported or not, where that is 20 letters or more. The first event is what a page could show first.
"""

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from eval.bench.measure import percentile
from eval.gold import SAMPLES, GoldQuestion, read_gold
from index.article_index import ArticleIndex
from index.build import add_articles
from index.language import detect
from rag import Answer, Assistant
from rag.settings import load_settings
from rag.types import Done

_QUESTIONS = SAMPLES.parent / "gold_dev.jsonl"
_TOO_SHORT = 20  # letters: what language they are in is a guess


@dataclass(frozen=True, slots=True)
class _Asked:
    question: GoldQuestion
    answer: Answer
    first_ms: float
    total_ms: float


def main() -> None:
    """Ask and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, default=[_QUESTIONS], help="gold questions")
    parser.add_argument("--llm", required=True, help="provider:model")
    parser.add_argument("--base-url", default="", help="its address, if it is not the provider's")
    parser.add_argument("--most", type=int, default=40, help="questions to ask, evenly out of all")
    options = parser.parse_args()
    questions = [question for path in options.files for question in read_gold(path)]
    questions = questions[:: max(1, len(questions) // options.most)][: options.most]
    settings = replace(load_settings(), llm=options.llm, base_url=options.base_url, embedder="")
    with tempfile.TemporaryDirectory() as folder:
        add_articles(ArticleIndex.open(Path(folder), create=True), [SAMPLES])
        assistant = Assistant.open(folder, settings)
        assistant.retrieve("warm up")
        _print([_ask(assistant, question) for question in tqdm(questions, desc="asking", leave=False)])


def _ask(assistant: Assistant, question: GoldQuestion) -> _Asked:
    started = time.perf_counter()
    first = 0.0
    for event in assistant.stream(question.question):
        first = first or time.perf_counter() - started
        if isinstance(event, Done):
            return _Asked(question, event.answer, first * 1000, (time.perf_counter() - started) * 1000)
    raise AssertionError("the last event is Done")


def _print(asked: Sequence[_Asked]) -> None:
    by_model = [a for a in asked if a.answer.answerer != "reader"]
    print(f"{len(asked)} questions, {len(by_model)} answered by the model")
    print("status:", ", ".join(f"{name} {n}" for name, n in Counter(a.answer.status for a in by_model).most_common()))
    written = [(a, " ".join(s.text for s in (*a.answer.sentences, *a.answer.unsupported))) for a in by_model]
    told = [(a, detect(text)) for a, text in written if sum(map(str.isalpha, text)) >= _TOO_SHORT]
    for language in sorted({a.question.language for a, _ in told}):
        own = [found for a, found in told if a.question.language == language]
        print(f"asked in {language}: {sum(found == language for found in own)} of {len(own)} answers in it")
    sentences = [s for a in by_model for s in (*a.answer.sentences, *a.answer.unsupported)]
    print("sentences:", ", ".join(f"{name} {n}" for name, n in Counter(s.verdict for s in sentences).most_common()))
    for name, times in (("first event", [a.first_ms for a in asked]), ("answer", [a.total_ms for a in asked])):
        print(f"{name}: p50 {percentile(times, 50):.0f} ms, p95 {percentile(times, 95):.0f} ms")


if __name__ == "__main__":
    main()
