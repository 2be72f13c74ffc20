"""One frozen settings object: defaults, then a TOML file, then the environment."""

import os
import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from index.errors import BadRequest

_FILE = "rag.toml"
_TRUTH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


@dataclass(frozen=True, slots=True)
class Settings:
    """How to search and answer. Every field can stand in ``rag.toml`` and, as ``RAG_<FIELD>``, in the environment.

    Attributes:
        index: the index folder.
        embedder: the embedding model of a new index, and that an existing one must have; empty for whichever it has.
        passages: how many passages are read for an answer at most, four at a time until one answers, 1..100.
        per_article: how many of them may come from one article, 1..100.
        min_confidence: below this probability (0..1) that the quotes hold the answer, the assistant abstains.
        sure_confidence: below this one, what it answers is called unsure (``partial``); by the fit in
            ``eval/fit_reader.py`` nine in ten answers from .8 on are right.
        llm: the chat model that writes answers, ``provider:model``; empty for none: the reader quotes.
        base_url: address of an OpenAI-compatible server, as ``http://127.0.0.1:8080/v1``; empty for the provider's.
        llm_key_file: a file that holds the API key and nothing else; empty to take it from the provider's own variable
            in the environment, such as ``OPENAI_API_KEY``.
        llm_timeout: seconds without a sign of life after which the chat model is given up, 1..3600.
        llm_retries: how often a request is made again after an overload or a broken connection, 0..10.
        llm_context: how many tokens the chat model takes, question, passages and answer together, 512..10 million.
        llm_answer: how many of them its answer may have, 16..100,000.
        show_unsupported: whether sentences of a chat model that fail their check are kept, apart from the answer.
        host: the address that ``rag serve`` listens on; any but this machine's own lets others in.
        port: its port, 0 for any that is free.
        password_file: a file that holds the password of the page and nothing else; empty for no login.
        api_keys_file: a file with one key a line, of which other programs have to send one; empty for none.
        at_once: how many questions are answered at a time, 0..1000; 0 for one a core, or sixteen with a chat model.
        queue: how many more may wait in line, 0..100,000; the next ones are told when to come back.
        rate_limit: requests a minute that one key, login or address (this machine's own aside) may make, 0 for any.
        upload_mb: megabytes that one request may upload, 1..1000.
        fetch_private: whether addresses of the local network may be indexed; whoever can add a page could then read it.
        log_questions: whether questions are written to the log.
    """

    index: Path = Path("rag-index")
    embedder: str = ""
    passages: int = 16
    per_article: int = 3
    min_confidence: float = 0.5
    sure_confidence: float = 0.8
    llm: str = ""
    base_url: str = ""
    llm_key_file: str = ""
    llm_timeout: float = 60.0
    llm_retries: int = 2
    llm_context: int = 8192
    llm_answer: int = 512
    show_unsupported: bool = True
    host: str = "127.0.0.1"
    port: int = 7860
    password_file: str = ""
    api_keys_file: str = ""
    at_once: int = 0
    queue: int = 64
    rate_limit: int = 600
    upload_mb: int = 50
    fetch_private: bool = False
    log_questions: bool = False

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            BadRequest: a value is out of its range.
        """
        ranges = {
            "passages": (1, 100),
            "per_article": (1, 100),
            "min_confidence": (0, 1),
            "sure_confidence": (0, 1),
            "llm_timeout": (1, 3600),
            "llm_retries": (0, 10),
            "llm_context": (512, 10_000_000),
            "llm_answer": (16, 100_000),
            "port": (0, 65_535),
            "at_once": (0, 1000),
            "queue": (0, 100_000),
            "rate_limit": (0, 1_000_000),
            "upload_mb": (1, 1000),
        }
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise BadRequest(f"setting {name} is {getattr(self, name)}; it has to be between {low} and {high}")


def load_settings(folder: Path = Path()) -> Settings:
    """Read ``$RAG_SETTINGS`` or ``rag.toml`` in ``folder``, if there is one, and the environment.

    Raises:
        BadRequest: the file is no TOML, a key is unknown, or a value is of the wrong type or range.
    """
    path = Path(os.environ.get("RAG_SETTINGS") or folder / _FILE)
    settings = Settings()
    if path.is_file():
        try:
            table = tomllib.loads(path.read_text("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise BadRequest(f"{path} is not valid TOML: {error}") from error
        settings = _with_values(settings, table, str(path))
    elif os.environ.get("RAG_SETTINGS"):
        raise BadRequest(f"the settings file {path} (from RAG_SETTINGS) does not exist")
    named = {f"RAG_{field.name.upper()}": field.name for field in fields(Settings)}
    return _with_values(settings, {named[v]: os.environ[v] for v in named if os.environ.get(v)}, "the environment")


def _with_values(settings: Settings, values: dict[str, Any], where: str) -> Settings:
    known = {field.name for field in fields(Settings)}
    for name in values:
        if name not in known:
            raise BadRequest(f"unknown setting {name!r} in {where}; known: {', '.join(sorted(known))}")
    converted: dict[str, Any] = {}
    for name, value in values.items():
        kind = type(getattr(settings, name))
        kind = Path if issubclass(kind, Path) else kind
        try:
            if isinstance(value, list | dict) or (isinstance(value, bool) and kind is not bool):
                raise ValueError
            converted[name] = _TRUTH[str(value).lower()] if kind is bool else kind(value)
        except (TypeError, ValueError, KeyError) as error:
            raise BadRequest(f"setting {name} in {where} is {value!r}, which is not of type {kind.__name__}") from error
    return replace(settings, **converted)
