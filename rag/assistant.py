"""The read path on one screen: a question finds passages, they are reranked and read, the quotes checked, an answer."""

import re
import time
import unicodedata
from pathlib import Path

from index import e5
from index.article_index import ArticleIndex
from index.errors import BadRequest
from index.language import UNKNOWN, detect
from index.types import EVERYTHING, Where
from rag.messages import no_answer
from rag.reader.multilingual_reader import MultilingualReader
from rag.reader.pair_reader import open_pair_reader
from rag.retrieve import HybridRetriever
from rag.settings import Settings, load_settings
from rag.types import Answer, AnswerStatus, Citation, Draft, Hit, Question, Reader, Reranker

LONGEST_QUESTION = 2000  # characters


class Assistant:
    """Answers questions of the articles in one index. Safe to share between threads.

    >>> assistant = Assistant.open("rag-index")
    >>> answer = assistant.ask("Who signed the agreement?")
    >>> answer.text, answer.citations[0].quote
    """

    def __init__(self, index: ArticleIndex, reranker: Reranker, reader: Reader, settings: Settings) -> None:
        """Put the parts together; `open` does it with the default ones."""
        self.index = index
        self._reranker = reranker
        self._reader = reader
        self._settings = settings

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
        """
        settings = settings or load_settings()
        index = ArticleIndex.open(Path(folder or settings.index), settings.embedder or None, say=say)
        pairs = open_pair_reader(say)
        reader = MultilingualReader(pairs, settings.min_confidence)
        index.embedder.warm_up()
        pairs.warm_up()
        return cls(index, reader, reader, settings)

    def ask(self, question: str, where: Where = EVERYTHING) -> Answer:
        """Answer a question in any language from the articles, with citations, or abstain.

        Args:
            question: cut to its first 2,000 characters.
            where: which articles may be used.

        Raises:
            BadRequest: the question has no words, or the index no articles.
        """
        started = time.perf_counter()
        asked = self._understood(question)
        found = HybridRetriever(self.index, self._settings.per_article, where).retrieve(asked, self._settings.passages)
        retrieved = time.perf_counter()
        hits = self._reranker.rerank(asked, found)
        reranked = time.perf_counter()
        draft = self._reader.read(asked, hits)
        citations = verbatim(draft, hits)
        answered = bool(citations) and len(citations) == len(draft.citations)
        timings = {
            "retrieve_ms": (retrieved - started) * 1000,
            "rerank_ms": (reranked - retrieved) * 1000,
            "answer_ms": (time.perf_counter() - reranked) * 1000,
        }
        return Answer(
            question=asked.text,
            standalone=asked.text,
            text="\n".join(draft.sentences) if answered else no_answer(asked.language),
            status=self._status(draft.confidence) if answered else "abstained",
            confidence=draft.confidence,
            citations=citations if answered else (),
            hits=tuple(hits),
            language=asked.language,
            as_of=max((c.published for c in citations if c.published), default=None) if answered else None,
            timings={stage: round(ms, 1) for stage, ms in timings.items()},
        )

    def _status(self, confidence: float) -> AnswerStatus:
        return "answered" if confidence >= self._settings.sure_confidence else "partial"

    def retrieve(self, question: str, k: int = 10, where: Where = EVERYTHING) -> list[Hit]:
        """Find up to ``k`` passages that bear on a question, best first: those that answer it, then those about it.

        The first ``settings.passages`` of those found are read and put in order anew.

        Raises:
            BadRequest: the question has no words, ``k`` is not positive, or the index holds no articles.
        """
        if k < 1:
            raise BadRequest(f"cannot find {k} passages; ask for 1 or more")
        asked = self._understood(question)
        wanted = max(k, self._settings.passages)
        found = HybridRetriever(self.index, max(k, self._settings.per_article), where).retrieve(asked, wanted)
        read = self._reranker.rerank(asked, found[: self._settings.passages])
        return [*read, *found[self._settings.passages :]][:k]

    def _understood(self, question: str) -> Question:
        text = re.sub(r"\s+", " ", unicodedata.normalize("NFC", question.encode("utf-8", "replace").decode())).strip()
        text = text[:LONGEST_QUESTION]
        if not any(map(str.isalnum, text)):
            raise BadRequest("the question is empty: ask something in words, in any language")
        if self.index.is_empty():
            raise BadRequest(f"the index in {self.index.folder} is empty: rag add PATH… --index {self.index.folder}")
        language = detect(text)
        return Question(text, "en" if language == UNKNOWN else language, self.index.embedder.embed_query(text))


def verbatim(draft: Draft, hits: list[Hit]) -> tuple[Citation, ...]:
    """Give the citations whose quote stands, letter by letter, at its offsets in an article that was found."""
    texts = {hit.article.id: hit.article.text for hit in hits}
    return tuple(
        c
        for c in draft.citations
        if c.quote
        and texts.get(c.article_id, "")[c.start : c.end] == c.quote
        and c.start <= c.answer_start < c.answer_end <= c.end
    )
