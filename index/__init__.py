"""The write path: articles on disk become one index folder. Never imports ``rag``."""
