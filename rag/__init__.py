"""Ask questions of your own articles: ``from rag import Assistant``."""

from index.types import Article, Passage, Where
from rag.assistant import Assistant
from rag.settings import Settings
from rag.types import Answer, Citation, Hit

__all__ = ["Answer", "Article", "Assistant", "Citation", "Hit", "Passage", "Settings", "Where"]
