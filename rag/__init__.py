"""Ask questions of your own articles: ``from rag import Assistant``."""

from typing import TYPE_CHECKING, Any

from index.types import Article, Passage, Where
from rag.settings import Settings
from rag.types import Answer, Citation, Hit, Sentence, Turn

if TYPE_CHECKING:
    from rag.assistant import Assistant

__all__ = ["Answer", "Article", "Assistant", "Citation", "Hit", "Passage", "Sentence", "Settings", "Turn", "Where"]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """Import the assistant when it is asked for: FAISS and tantivy take long, and ``rag --help`` needs neither."""
    if name == "Assistant":
        from rag.assistant import Assistant

        return Assistant
    raise AttributeError(f"module 'rag' has no attribute {name!r}")
