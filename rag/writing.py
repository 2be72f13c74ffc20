"""Answers that a chat model writes: from the passages found, each sentence checked before it counts as supported."""

import threading
from collections.abc import Generator, Sequence
from dataclasses import replace

from index.errors import ChatModelFailed
from rag.claims import ClaimStream
from rag.conversation import rewriting_request, rewritten
from rag.prompt import prompt_for
from rag.streaming import Step
from rag.types import ChatModel, Checked, Checking, Claim, Hit, Progress, Question, Request, Sentence, Turn
from rag.verify import Verifier

_MOST_PASSAGES = 8
_LONGEST_REWRITE = 2000  # characters


class Writer:
    """Has a chat model write; what it asks of the model, the model's caller feeds it (see `rag.streaming`)."""

    def __init__(self, chat: ChatModel, verifier: Verifier) -> None:
        """Write with ``chat``, check with ``verifier``."""
        self.chat = chat
        self._verifier = verifier

    def rewrite(self, question: str, history: Sequence[Turn]) -> Generator[Step, str | None, str]:
        """Complete a follow-up from its conversation.

        Raises:
            ChatModelFailed: the model cannot be had.
        """
        request = Request(*rewriting_request(question, history))
        reply = ""
        while len(reply) < _LONGEST_REWRITE and (piece := (yield request)):
            reply += piece
        return rewritten(reply, question, history)

    def write(
        self, question: Question, hits: Sequence[Hit]
    ) -> Generator[Step, str | None, tuple[list[Sentence], ChatModelFailed | None]]:
        """Write an answer from the first of ``hits``.

        Returns:
            Its sentences as checked, in order, none if the model says that there is no answer; and why it broke off,
            if it did after something was supported.

        Raises:
            ChatModelFailed: the model cannot be had, or broke off before anything was supported.
        """
        chat = self.chat
        prompt = prompt_for(question, hits[:_MOST_PASSAGES], chat.prompt_tokens, chat.count_tokens)
        yield Progress("writing", len(prompt.hits))
        reading = threading.Thread(target=self._verifier.read_ahead, args=(prompt.hits,), daemon=True)
        reading.start()
        claims = ClaimStream(question.language, len(prompt.hits))
        sentences: list[Sentence] = []
        markers: dict[tuple[str, int, int], int] = {}

        def checked(new: Sequence[Claim]) -> Generator[Step, str | None, None]:
            reading.join()
            for claim in new:
                yield Checking(claim.text)
                sentence = _numbered(self._verifier.check([claim], prompt.hits)[0], markers)
                sentences.append(sentence)
                yield Checked(sentence)

        try:
            while not claims.is_full and (piece := (yield prompt.request)):
                yield from checked(claims.take(piece))
        except ChatModelFailed as failure:
            if claims.is_whole:  # half a sentence is none
                yield from checked(claims.end())
            if not any(sentence.is_supported for sentence in sentences):
                raise
            return sentences, failure
        finally:
            reading.join()  # a process that ends while it computes is aborted
        yield from checked(claims.end())
        return sentences, None


def _numbered(sentence: Sentence, markers: dict[tuple[str, int, int], int]) -> Sentence:
    """Number the citations as they come: the same quote keeps its number."""
    citations = []
    for citation in sentence.citations:
        place = (citation.article_id, citation.start, citation.end)
        citations.append(replace(citation, marker=markers.setdefault(place, len(markers) + 1)))
    return replace(sentence, citations=tuple(citations))
