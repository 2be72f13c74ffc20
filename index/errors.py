"""Every error that this project raises on purpose.

    RagError
    ├── BadRequest           a question, filter or setting that cannot be served
    ├── NotAnArticle         one input that is not indexed, with the reason
    ├── ModelUnavailable     the embedding model's weights cannot be had
    ├── ChatModelFailed      the LLM cannot be reached, refused, or broke off
    ├── TooBusy              more ask at this moment than can be answered
    └── IndexProblem
        ├── IndexMissing     no index in that folder
        ├── IndexBroken      the folder holds something that is not a whole index
        ├── IndexLocked      another process is writing
        └── EmbedderMismatch the index was made with another embedding model

A message says what was wrong, where, and what to do next, in one line.
"""


class RagError(Exception):
    """Base of all errors raised on purpose; its text is meant for the user."""


class BadRequest(RagError):
    """A question, filter or setting that cannot be served."""


class NotAnArticle(RagError):
    """One input that is not indexed; the text is the reason."""


class ModelUnavailable(RagError):
    """The embedding model's weights cannot be had."""


class ChatModelFailed(RagError):
    """The LLM cannot be reached, refused, or broke off; the text never holds a key."""


class TooBusy(RagError):
    """More ask at this moment than can be answered; ``retry_after`` is in seconds."""

    def __init__(self, waiting: int, retry_after: int) -> None:
        """Say how many wait already."""
        super().__init__(f"too many at once: {waiting} are waiting; try again in {retry_after} s")
        self.retry_after = retry_after


class IndexProblem(RagError):
    """Something is wrong with the index folder."""


class IndexMissing(IndexProblem):
    """No index in that folder."""


class IndexBroken(IndexProblem):
    """The folder holds something that is not a whole index."""


class IndexLocked(IndexProblem):
    """Another process is writing to the index."""


class EmbedderMismatch(IndexProblem):
    """The index was made with another embedding model."""
