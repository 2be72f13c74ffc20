"""The sample questions, asked of an index of the sample articles: found, quoted, refused.

A quote is right if it is of the right article and holds the gold quote, or is held by it, or holds one of the gold
answers, word by word; a short answer, if moreover it shares half of its words (F1) with a gold answer, or one of
the two holds the other. To yes-no questions no short answer is given: the quote alone counts.

    python -m eval.bench.sample_questions [FILE.jsonl ...] [--failures]

`eval/gold.py` says what the files look like. Follow-up questions are left out: each is asked by itself.
"""

import argparse
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

from tqdm import tqdm

from eval.gold import SAMPLES, GoldQuestion, named_articles, read_gold
from eval.metrics import normalise, token_f1
from index.article_index import ArticleIndex
from index.build import add_articles
from rag import Answer, Assistant, Settings

_HALF = 0.5
_QUESTIONS = SAMPLES.parent / "questions.jsonl"


def main() -> None:
    """Ask and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--failures", action="store_true", help="print every question that went wrong")
    parser.add_argument("files", nargs="*", type=Path, default=[_QUESTIONS], help="gold questions (the 90 of before)")
    options = parser.parse_args()
    questions = [q for file in options.files for q in read_gold(file) if not q.history]
    articles = named_articles(SAMPLES)
    names = {article.uri: name for name, article in articles.items()}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        add_articles(ArticleIndex.open(folder, create=True), [SAMPLES])
        assistant = Assistant.open(folder, Settings())
        by_kind: dict[str, Counter[str]] = defaultdict(Counter)
        for gold in tqdm(questions, desc="asking"):
            answer = assistant.ask(gold.question)
            outcome = _outcome(gold, answer, names)
            told = {articles[e.article].language for e in gold.evidence}
            across = "none" if not told else "same language" if gold.language in told else "other language"
            for kind in ("all", f"asked in {gold.language}", f"answer in {across}", gold.kind):
                by_kind[kind].update(outcome)
            if options.failures and not outcome["right"]:
                _print_failure(gold, answer)
    counts = by_kind["all"]
    answerable, refusable = counts["answerable"], counts["refusable"]
    print(f"questions                            {len(questions)}, of which {refusable} have no answer in the articles")
    for name, part, whole in (
        ("gold article found first", "first", answerable),
        ("gold article among five", "five", answerable),
        ("answered, of the answerable", "answered", answerable),
        ("first quote right, if answered", "led", counts["answered"]),
        ("... called sure, of the answerable", "sure", answerable),
        ("first quote right, if sure", "sure and right", counts["sure"]),
        ("some quote right, if answered", "quoted", counts["answered"]),
        ("first short answer right", "short", counts["answered"]),
        ("refused, of the unanswerable", "refused", refusable),
        ("right in all", "right", len(questions)),
    ):
        print(f"{name:<36} {counts[part]}/{whole} = {counts[part] / max(1, whole):.3f}")
    for kind, own in sorted(by_kind.items()):
        print(f"  {kind:<28} right {own['right']}/{own['answerable'] + own['refusable']}")


def _outcome(gold: GoldQuestion, answer: Answer, names: dict[str, str]) -> dict[str, int]:
    if not gold.evidence:
        refused = answer.status == "abstained"
        return {"refusable": 1, "refused": refused, "right": refused}
    wanted = {evidence.article for evidence in gold.evidence}
    found = [names[hit.article.uri] in wanted for hit in answer.hits]
    right = [names[c.uri] in wanted and _is_right(gold, c.quote) for c in answer.citations]
    return {
        "answerable": 1,
        "first": any(found[:1]),
        "five": any(found[:5]),
        "answered": answer.status != "abstained",
        "sure": answer.status == "answered",
        "sure and right": answer.status == "answered" and any(right[:1]),
        "led": any(right[:1]),
        "quoted": any(right),
        "short": any(right[:1]) and _is_short_answer(gold, answer.citations[0].answer),
        "right": any(right),
    }


def _is_right(gold: GoldQuestion, quote: str) -> bool:
    holds = any(quote in e.quote or e.quote in quote for e in gold.evidence)
    return holds or (gold.kind != "yes-no" and any(_has(quote, answer, gold.language) for answer in gold.answers))


def _is_short_answer(gold: GoldQuestion, given: str) -> bool:
    if gold.kind == "yes-no":
        return True
    held = any(_has(given, a, gold.language) or _has(a, given, gold.language) for a in gold.answers)
    return held or token_f1(given, gold.answers, gold.language) >= _HALF


def _has(text: str, part: str, language: str) -> bool:
    """Tell whether the words of ``part`` stand in ``text``, in one piece."""
    words, sought = (f" {' '.join(normalise(each, language))} " for each in (text, part))
    return bool(sought.strip()) and sought in words


def _print_failure(gold: GoldQuestion, answer: Answer) -> None:
    print(f"{gold.id} {gold.kind}: {gold.question}")
    print(f"   wanted: {[e.quote for e in gold.evidence] or 'no answer'}")
    print(f"   got ({answer.status}, {answer.confidence:.2f}): {[(c.answer, c.quote) for c in answer.citations]}")
    print(f"   found: {[hit.article.title[:40] for hit in answer.hits[:3]]}\n")


if __name__ == "__main__":
    main()
