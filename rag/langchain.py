"""Offers the assistant's search to LangChain: ``from rag.langchain import ArticleRetriever``."""

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import Field

from index.types import EVERYTHING, Where
from rag.assistant import Assistant
from rag.types import Hit


class ArticleRetriever(BaseRetriever):
    """A LangChain retriever over an `Assistant`: ``invoke``, ``batch``, ``ainvoke``, and any chain.

    >>> retriever = ArticleRetriever(assistant=Assistant.open("rag-index"), k=5)
    >>> retriever.invoke("Who runs the tram?")[0].metadata["title"]

    Attributes:
        assistant: finds and reranks the passages.
        k: how many documents to give at most, 1..100.
        where: which articles may be used.
    """

    assistant: Assistant
    k: int = Field(default=10, ge=1, le=100)
    where: Where = EVERYTHING

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return [_document(hit) for hit in self.assistant.retrieve(query, self.k, self.where)]


def _document(hit: Hit) -> Document:
    """Make a document of a passage; it is ``article.text[start:end]`` of the article in its metadata."""
    return Document(
        id=f"{hit.article.id}:{hit.passage.start}-{hit.passage.end}",
        page_content=hit.text,
        metadata={
            "article_id": hit.article.id,
            "title": hit.article.title,
            "uri": hit.article.uri,
            "source": hit.article.uri,  # where LangChain's own chains look for it
            "published": hit.article.published,
            "language": hit.passage.language,
            "start": hit.passage.start,
            "end": hit.passage.end,
            "rank": hit.rank,
            "score": hit.score,
            "relevance": hit.relevance,
        },
    )
