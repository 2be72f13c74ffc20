"""Conversations over the sample articles: is a follow-up question found once it has been made to stand alone?

    python -m eval.bench.follow_ups [FILE.jsonl] [--failures]

A line has ``id``, ``language`` (ru, en, mixed) and ``turns``, each with ``question``, ``answers``, ``evidence`` (as in
`eval.gold`) and ``standalone``, the question as a person would complete it: the same as ``question`` where the topic
changes. Each question after the first is asked as it is (literal), as `rag.conversation.standalone` completes it from
the turns before, which hold what the assistant itself made and answered (rewritten), and as a person did (gold).
Recall@k tells whether one of the first k passages is of an article with the evidence; an answer is a hit if a gold one
stands in its text. Intervals draw whole conversations anew.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from eval.gold import SAMPLES, named_articles
from eval.metrics import estimate, mean_of
from index.article_index import ArticleIndex
from index.build import add_articles
from rag import Answer, Assistant, Settings
from rag.conversation import standalone
from rag.types import Turn

_CONVERSATIONS = SAMPLES.parent / "conversations.jsonl"
_DEPTHS = (1, 3, 5)


@dataclass(frozen=True, slots=True)
class _Asked:
    """One form of a question: its text, the rank of the first passage of the right article, and an answer's hit."""

    text: str
    place: float
    is_answered: bool


@dataclass(frozen=True, slots=True)
class _Case:
    """A question after the first of its conversation, in its three forms."""

    conversation: int
    language: str
    is_follow_up: bool
    forms: dict[str, _Asked]  # literal, rewritten, gold


def main() -> None:
    """Play all conversations and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, default=_CONVERSATIONS, help="conversations (the 50 blind ones)")
    parser.add_argument("--failures", action="store_true", help="print what was not among three, or changed in vain")
    options = parser.parse_args()
    conversations = [json.loads(line) for line in options.file.read_text("utf-8").splitlines() if line.strip()]
    names = {article.uri: name for name, article in named_articles(SAMPLES).items()}
    with tempfile.TemporaryDirectory() as scratch:
        add_articles(ArticleIndex.open(Path(scratch), create=True), [SAMPLES])
        player = _Player(Assistant.open(Path(scratch), Settings()), names)
        cases = [case for i, each in enumerate(tqdm(conversations, desc="asking")) for case in player.play(i, each)]
    for kind, is_follow_up in (("follow-ups", True), ("topic changes", False)):
        of_kind = [case for case in cases if case.is_follow_up == is_follow_up]
        for language in ("all", *sorted({case.language for case in of_kind})):
            _print_figures(f"{kind}, {language}", [c for c in of_kind if language in ("all", c.language)])
    changes = [case.forms for case in cases if not case.is_follow_up]
    kept = sum(forms["rewritten"].text == forms["literal"].text for forms in changes)
    print(f"topic changes left as they were: {kept}/{len(changes)}")
    if options.failures:
        _print_failures(cases)


class _Player:
    """Asks the questions of conversations, no question twice."""

    def __init__(self, assistant: Assistant, names: dict[str, str]) -> None:
        """Ask ``assistant``; ``names`` are those of the files, by address of the article."""
        self._assistant = assistant
        self._names = names
        self._answers: dict[str, Answer] = {}

    def play(self, number: int, conversation: dict[str, object]) -> list[_Case]:
        """Give the cases of one conversation, in order."""
        turns = conversation["turns"]
        assert isinstance(turns, list)
        history: list[Turn] = []
        cases = []
        for turn in turns:
            literal, gold = turn["question"], turn["standalone"]
            rewritten = standalone(literal, history)
            if history:
                forms = {"literal": literal, "rewritten": rewritten, "gold": gold}
                asked = {name: self._asked(text, turn) for name, text in forms.items()}
                cases.append(_Case(number, str(conversation["language"]), literal != gold, asked))
            history.append(self._answer(rewritten).turn)
        return cases

    def _asked(self, text: str, turn: dict[str, list[dict[str, str]]]) -> _Asked:
        answer = self._answer(text)
        wanted = {evidence["article"] for evidence in turn["evidence"]}
        place = next((hit.rank for hit in answer.hits if self._names[hit.article.uri] in wanted), float("inf"))
        given = answer.text.casefold()
        return _Asked(text, place, bool(answer.citations) and any(str(a).casefold() in given for a in turn["answers"]))

    def _answer(self, text: str) -> Answer:
        if text not in self._answers:
            self._answers[text] = self._assistant.ask(text)
        return self._answers[text]


def _print_figures(title: str, cases: Sequence[_Case]) -> None:
    print(f"\n{title}: {len(cases)} questions")
    clusters = [case.conversation for case in cases]
    for form in cases[0].forms:
        asked = [case.forms[form] for case in cases]
        found = [estimate(mean_of([each.place <= depth for each in asked]), clusters) for depth in _DEPTHS]
        recalls = ", ".join(f"@{depth} {recall}" for depth, recall in zip(_DEPTHS, found, strict=True))
        hits = sum(each.is_answered for each in asked)
        print(f"  {form:<10} recall {recalls}; answers that hold the gold one {hits}/{len(asked)}")


def _print_failures(cases: Sequence[_Case]) -> None:
    for case in cases:
        literal, rewritten, gold = (case.forms[form] for form in ("literal", "rewritten", "gold"))
        if rewritten.place > min(3, gold.place) or (not case.is_follow_up and rewritten.text != literal.text):
            print(f"\n{literal.text}\n  {rewritten.text} (article found at {rewritten.place})")
            print(f"  {gold.text} (at {gold.place})")


if __name__ == "__main__":
    main()
