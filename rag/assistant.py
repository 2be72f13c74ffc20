"""The read path on one screen: a question finds passages, they are read, an answer is made of them and checked."""

import re
import unicodedata
from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from index import e5
from index.article_index import ArticleIndex
from index.embed import OnnxE5
from index.errors import BadRequest, ChatModelFailed
from index.language import UNKNOWN, detect
from index.types import EVERYTHING, Where
from rag import messages, recency
from rag.chat_model import open_chat_model
from rag.conversation import standalone
from rag.injection import speaks_to_a_model
from rag.reader.multilingual_reader import MultilingualReader
from rag.reader.pair_reader import open_pair_reader
from rag.retrieve import Fusion, HybridRetriever, weighted
from rag.settings import Settings, load_settings
from rag.stopwatch import Stopwatch
from rag.streaming import Step, arun, run
from rag.time_scope import TimeScope, time_scope
from rag.types import (
    Answer,
    AnswerStatus,
    Checked,
    Done,
    Event,
    Hit,
    Progress,
    Question,
    Reader,
    Reranker,
    Retrieved,
    Rewritten,
    Sentence,
    Turn,
)
from rag.verify import Verifier, is_verbatim
from rag.writing import Writer

LONGEST_QUESTION = 2000  # characters


class Assistant:
    """Answers questions of the articles in one index. Safe to share between threads.

    >>> assistant = Assistant.open("rag-index")
    >>> answer = assistant.ask("Who signed the agreement?")
    >>> answer.text, answer.citations[0].quote
    >>> assistant.ask("And when?", history=[answer.turn])
    """

    def __init__(
        self,
        index: ArticleIndex,
        reranker: Reranker,
        reader: Reader,
        settings: Settings,
        writer: Writer | None = None,
        fusion: Fusion = weighted,
    ) -> None:
        """Put the parts together; `open` does it with the default ones. Without a ``writer`` the reader answers."""
        self.index = index
        self._reranker = reranker
        self._reader = reader
        self._settings = settings
        self._writer = writer
        self._chat = writer.chat if writer else None
        self._fusion = fusion

    @classmethod
    def open(
        cls, folder: str | Path | None = None, settings: Settings | None = None, say: e5.Say = e5.say_on_stderr
    ) -> "Assistant":
        """Open an index to ask questions of it.

        Args:
            folder: the index; ``None`` for the one in the settings.
            settings: ``None`` to read them from ``rag.toml`` and the environment.
            say: receives a line when the embedding model has to be unpacked first.

        Raises:
            IndexProblem: there is no index, it is broken, or was made with another embedder than the settings ask for.
            BadRequest: the chat model that the settings name cannot be used.
        """
        settings = settings or load_settings()
        chat = open_chat_model(settings)
        index = ArticleIndex.open(Path(folder or settings.index), settings.embedder or None, say=say)
        pairs = open_pair_reader(say)
        reader = MultilingualReader(pairs, settings.min_confidence)
        index.embedder.warm_up()
        pairs.warm_up()
        own = index.embedder if isinstance(index.embedder, OnnxE5) else OnnxE5(say)
        return cls(index, reader, reader, settings, Writer(chat, Verifier(own)) if chat else None)

    def ask(
        self, question: str, where: Where = EVERYTHING, history: Sequence[Turn] = (), today: date | None = None
    ) -> Answer:
        """Answer a question in any language from the articles, with citations, or abstain.

        Args:
            question: cut to its first 2,000 characters.
            where: which articles may be used.
            history: the turns before (`Answer.turn`), oldest first, from which a follow-up is completed.
            today: the day that "now" and "last week" are said on; ``None`` for the real one.

        Raises:
            BadRequest: the question has no words, or the index no articles.
        """
        return next(e.answer for e in self.stream(question, where, history, today) if isinstance(e, Done))

    async def aask(
        self, question: str, where: Where = EVERYTHING, history: Sequence[Turn] = (), today: date | None = None
    ) -> Answer:
        """Do as `ask` without blocking; cancelling the task ends the chat model's request."""
        async for event in self.astream(question, where, history, today):
            if isinstance(event, Done):
                answer = event.answer
        return answer

    def stream(
        self, question: str, where: Where = EVERYTHING, history: Sequence[Turn] = (), today: date | None = None
    ) -> Iterator[Event]:
        """Answer as `ask` does, and yield what happens meanwhile; the last event is `Done`.

        A sentence comes as `Checked` only after its check. Closing the generator ends the work.
        """
        return run(self._steps(question, where, history, today or date.today()), self._chat)

    def astream(
        self, question: str, where: Where = EVERYTHING, history: Sequence[Turn] = (), today: date | None = None
    ) -> AsyncGenerator[Event, None]:
        """Do as `stream` without blocking."""
        return arun(self._steps(question, where, history, today or date.today()), self._chat)

    def _steps(
        self, question: str, where: Where, history: Sequence[Turn], today: date
    ) -> Generator[Step, str | None, None]:
        watch = Stopwatch()
        text = self._checked(question)
        failure: ChatModelFailed | None = None
        yield Progress("rewriting", len(history))
        alone = standalone(text, history)
        if self._writer and history:
            try:
                alone = yield from self._writer.rewrite(text, history)
            except ChatModelFailed as error:
                failure = error
        yield Rewritten(alone)
        watch.lap("rewrite_ms")

        asked = self._understood(alone)
        scope = time_scope(alone, asked.language, today)
        yield Progress("searching", self.index.count_passages())
        period = self._period(scope, where)
        found = self._found(asked, period or where)
        watch.lap("retrieve_ms")
        yield Progress("reading", len(found))
        hits = self._reranker.rerank(asked, found)
        notes = [messages.only_published(asked.language, _in_words(period))] if period else []
        if period and not self._is_likely(hits):  # it may have been the time of the event
            notes = [messages.not_then(asked.language, _in_words(period))]
            hits = self._reranker.rerank(asked, self._found(asked, where))
        hits = recency.preferring(scope, hits)
        yield Retrieved(tuple(hits))
        watch.lap("rerank_ms")

        written: list[Sentence] | None = None
        if self._writer and hits and not failure:
            try:
                written, failure = yield from self._writer.write(asked, hits)
            except ChatModelFailed as error:
                failure = error
        answer = self._answer(text, asked, hits, written)
        if written is None:
            yield from map(Checked, answer.sentences)
        watch.lap("answer_ms")
        if failure:
            notes.append((messages.broke_off if written else messages.fell_back)(asked.language, str(failure)))
        yield Done(replace(answer, notes=(*notes, *answer.notes), timings=watch.laps))

    def _answer(self, text: str, asked: Question, hits: list[Hit], written: list[Sentence] | None) -> Answer:
        """Put together what was written and checked, or, if no chat model wrote, what the reader quotes."""
        draft = self._reader.read(asked, hits)
        read = [s for s in draft.sentences if all(is_verbatim(c, hits) for c in s.citations)]
        read = [s for s in read if not any(speaks_to_a_model(c.quote) for c in s.citations)]
        supported = read if written is None else [s for s in written if s.is_supported]
        unsupported = [s for s in written or () if not s.is_supported]
        sentences = supported if written is None else recency.with_contradictions(supported, read, hits)
        citations = [c for s in sentences for c in s.citations]
        confidence = draft.confidence
        if written is not None:
            cited = {c.article_id for c in citations}
            confidence = max((hit.relevance or 0.0 for hit in hits if hit.article.id in cited), default=0.0)
        newer = recency.superseded_by([c for s in supported for c in s.citations], hits)
        warning = newer and messages.superseded(
            asked.language, newer.article.published or "", recency.answer_of(newer), newer.article.title
        )
        return Answer(
            question=text,
            standalone=asked.text,
            text=(" " if written else "\n").join(s.marked for s in sentences) or messages.no_answer(asked.language),
            status=self._status(confidence, bool(unsupported)) if sentences else "abstained",
            confidence=confidence,
            citations=tuple({c.marker: c for c in citations}.values()),
            hits=tuple(hits),
            language=asked.language,
            as_of=max((c.published for c in citations if c.published), default=None),
            sentences=tuple(sentences),
            unsupported=tuple(unsupported) if self._settings.show_unsupported else (),
            notes=(warning,) if warning else (),
            answerer=self._chat.name if self._chat and written is not None else "reader",
        )

    def _status(self, confidence: float, is_incomplete: bool) -> AnswerStatus:
        is_sure = confidence >= self._settings.sure_confidence and not is_incomplete
        return "answered" if is_sure else "partial"

    def quoting(self) -> "Assistant":
        """Give the same assistant without its chat model: the reader answers, and nothing is sent anywhere."""
        return Assistant(self.index, self._reranker, self._reader, self._settings, fusion=self._fusion)

    @property
    def answerer(self) -> str:
        """Who writes answers: ``reader``, or the chat model's ``provider:model``."""
        return self._chat.name if self._chat else "reader"

    def retrieve(self, question: str, k: int = 10, where: Where = EVERYTHING, *, rerank: bool = True) -> list[Hit]:
        """Find up to ``k`` passages that bear on a question, best first: those that answer it, then those about it.

        The first ``settings.passages`` of those found are read and put in order anew; without ``rerank`` they stay as
        they were found, which takes a twentieth of the time.

        Raises:
            BadRequest: the question has no words, ``k`` is not positive, or the index holds no articles.
        """
        if k < 1:
            raise BadRequest(f"cannot find {k} passages; ask for 1 or more")
        asked = self._understood(self._checked(question))
        wanted = max(k, self._settings.passages) if rerank else k
        per_article = max(k, self._settings.per_article)
        found = HybridRetriever(self.index, per_article, where, self._fusion).retrieve(asked, wanted)
        if not rerank:
            return found
        read = self._reranker.rerank(asked, found[: self._settings.passages])
        return [*read, *found[self._settings.passages :]][:k]

    def _found(self, asked: Question, where: Where) -> list[Hit]:
        retriever = HybridRetriever(self.index, self._settings.per_article, where, self._fusion)
        return retriever.retrieve(asked, self._settings.passages)

    def _is_likely(self, hits: list[Hit]) -> bool:
        return any((hit.relevance or 0.0) >= self._settings.min_confidence for hit in hits)

    @staticmethod
    def _period(scope: TimeScope, where: Where) -> Where | None:
        """Give the filter for the publication dates that a question names, if the caller gave none."""
        if not scope.is_publication or where.published_from or where.published_to:
            return None
        return replace(where, published_from=scope.since, published_to=scope.until)

    def _checked(self, question: str) -> str:
        text = re.sub(r"\s+", " ", unicodedata.normalize("NFC", question.encode("utf-8", "replace").decode())).strip()
        text = text[:LONGEST_QUESTION]
        if not any(map(str.isalnum, text)):
            raise BadRequest("the question is empty: ask something in words, in any language")
        if self.index.is_empty():
            raise BadRequest(f"the index in {self.index.folder} is empty: add articles on the page, or by rag add")
        return text

    def _understood(self, text: str) -> Question:
        language = detect(text)
        return Question(text, "en" if language == UNKNOWN else language, self.index.embedder.embed_query(text))


def _in_words(period: Where) -> str:
    return " – ".join(dict.fromkeys([period.published_from or "…", period.published_to or "…"]))
