"""ArticleIndex: one folder that holds articles and finds their passages.

    index.sqlite            articles, passages, vectors (float16): the truth
    dense-ID-GENERATION.faiss, lexical-ID/   derived from it; lost or behind, they are caught up or built anew
    write.lock              held by the one process that writes

A killed process leaves the state before or after a transaction, never a mixture.
"""

import logging
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import filelock
import numpy as np
import numpy.typing as npt

from index import dense, e5
from index.chunk import chunk, passage_input
from index.dense import DenseIndex
from index.embed import DEFAULT_EMBEDDER, Embedder, open_embedder
from index.errors import EmbedderMismatch, IndexBroken, IndexLocked, IndexMissing, IndexProblem
from index.language import terms
from index.lexical import LexicalIndex
from index.store import Listed, Revision, Store, vector_key
from index.types import EVERYTHING, Article, Passage, Span, Where

Floats = npt.NDArray[np.float32]

_STORE = "index.sqlite"
_SAVE_AFTER = 0.05  # of the passages changed: the FAISS file is written again
_REEMBED_BATCH = 64  # articles
_FILTERS = 32  # whose admitted articles are remembered
_PATIENCE = 5  # seconds: longer than a reader needs that brings the lexical index up to date

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Status:
    """What an index holds."""

    folder: str
    embedder: str
    articles: int
    passages: int
    generation: int
    bytes: int
    languages: list[tuple[str, int]]
    sources: list[tuple[str, int]]
    earliest: str | None
    latest: str | None
    undated: int


@dataclass(frozen=True, slots=True)
class Chunked:
    """An article with its passages, and the URI of the file that it was read from."""

    article: Article
    spans: Sequence[Span]
    origin: str


class ArticleIndex:
    """An open index. Reading is safe from many threads; writing is for one process at a time, inside `writing`."""

    def __init__(self, folder: Path, store: Store, embedder: Embedder) -> None:
        """Put the parts together; `open` is the way in."""
        self.folder = folder
        self.embedder = embedder
        self._store = store
        self._lock = threading.RLock()  # guards the FAISS index, which may not change while it is searched
        self._writer = filelock.FileLock(folder / "write.lock", timeout=_PATIENCE)
        self._filters: dict[tuple[int, Where], tuple[list[int], list[int]]] = {}
        self._languages: tuple[int, tuple[str, ...]] = (-1, ())
        self._attach()

    def _attach(self) -> None:
        identity = self._identity = self._store.meta("identity")
        self._dense = DenseIndex(int(self._store.meta("dim")), self._store.vectors)
        self._lexical = LexicalIndex(self.folder, identity)
        self._dense_generation = self._dense_saved = self._lexical_seen = 0
        newest = dense.newest_file(self.folder, identity)
        if newest is not None:
            path, generation = newest
            try:
                self._dense.load(path)
                self._dense_generation = self._dense_saved = generation
            except ValueError as error:
                log.warning("%s; it is built anew", error)

    @classmethod
    def open(
        cls,
        folder: Path,
        embedder: str | None = None,
        *,
        say: e5.Say = e5.say_on_stderr,
        bulk: bool = False,
        create: bool = False,
    ) -> "ArticleIndex":
        """Open an index.

        Args:
            folder: where it is.
            embedder: the model that it must have been made with; ``None`` for whichever it was.
            say: receives a line when a model has to be unpacked.
            bulk: much is to be embedded (see `open_embedder`).
            create: make the index if there is none, with ``embedder`` or the default.

        Raises:
            IndexMissing: there is none, and ``create`` is false.
            IndexBroken: the folder cannot be read as an index.
            EmbedderMismatch: it was made with another model.
        """
        if create and not (folder / _STORE).is_file():
            cls._create(folder, open_embedder(embedder or DEFAULT_EMBEDDER, say))
        store = Store(folder / _STORE)
        recorded = store.meta("embedder")
        model = open_embedder(embedder or recorded, say, bulk=bulk)
        if model.name != recorded:
            raise EmbedderMismatch(
                f"{folder} was made with the embedder {recorded}, not {model.name}: leave --embedder out, or make the "
                f"vectors anew: rag reembed --embedder {embedder} --index {folder}"
            )
        try:
            return cls(folder, store, model)
        except OSError as error:
            raise IndexBroken(f"cannot open the index in {folder}: {error}") from error

    @staticmethod
    def _create(folder: Path, embedder: Embedder) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(folder / "write.lock", timeout=10):
                if not (folder / _STORE).is_file():
                    Store.create(folder / _STORE, embedder.name, embedder.dim)
        except OSError as error:
            raise IndexMissing(f"cannot make an index in {folder}: {error.strerror or error}") from error

    def close(self) -> None:
        """Close the files of this thread."""
        self._store.close()

    # Writing

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the right to write; on the way out, bring the derived indexes up to date.

        Raises:
            IndexLocked: another process is writing.
        """
        try:
            self._writer.acquire()
        except filelock.Timeout as error:
            raise IndexLocked(
                f"another process is writing to {self.folder}: wait until it has finished, then try again"
            ) from error
        except OSError as error:
            raise IndexProblem(f"cannot write to {self.folder}: {error.strerror or error}") from error
        try:
            yield
        finally:
            try:
                self._catch_up()
                self._save()
            finally:
                self._writer.release()

    def add(self, articles: Sequence[Chunked]) -> int:
        """Store articles, each in place of the one with its URI, in one transaction; embed only passages never seen.

        Returns:
            How many passages had to be embedded.
        """
        revisions, inputs = [], dict[bytes, str]()
        for chunked in articles:
            texts = _keyed_inputs(self.embedder, chunked.article, chunked.spans)
            inputs.update(texts)
            revisions.append(Revision(chunked.article, chunked.spans, [key for key, _ in texts], chunked.origin))
        made = self._embed_missing(self.embedder, inputs)
        self._store.write(revisions, made)
        return len(made)

    def remove(self, article_ids: Sequence[str]) -> None:
        """Remove articles, in one transaction."""
        self._store.remove(article_ids)

    def reembed(self, embedder: Embedder, progress: Callable[[int], None]) -> None:
        """Make all passages and vectors anew with another model; until the last moment the old ones stay in use.

        Interrupted, it goes on where it stopped when called again.

        Args:
            embedder: the other model.
            progress: called with the number of articles done since the last call.
        """
        everything: list[tuple[str, list[Span], list[bytes]]] = []
        batch: dict[bytes, str] = {}
        since = 0
        for article in self._store.articles():
            spans = chunk(article, embedder.count_tokens, embedder.max_tokens)
            texts = _keyed_inputs(embedder, article, spans)
            everything.append((article.id, spans, [key for key, _ in texts]))
            batch.update(texts)
            since += 1
            if since == _REEMBED_BATCH:
                self._store.add_vectors(self._embed_missing(embedder, batch))
                progress(since)
                batch, since = {}, 0
        self._store.add_vectors(self._embed_missing(embedder, batch))
        progress(since)
        old = self._lexical.folder
        self._store.replace_passages(everything, embedder.name, embedder.dim)
        self.embedder = embedder
        self._attach()
        shutil.rmtree(old, ignore_errors=True)

    def _embed_missing(self, embedder: Embedder, inputs: dict[bytes, str]) -> list[tuple[bytes, Floats]]:
        unseen = self._store.missing_vectors(inputs)
        missing = [key for key in inputs if key in unseen]
        if not missing:
            return []
        return list(zip(missing, embedder.embed_passages([inputs[key] for key in missing]), strict=True))

    def is_unchanged(self, uri: str, fingerprint: str) -> bool:
        """Tell whether the article with this URI was read from the same bytes."""
        return self._store.known(uri) == fingerprint

    def holds(self, uri: str) -> bool:
        """Tell whether there is an article with this URI."""
        return self._store.known(uri) is not None

    def same_text(self, text: str) -> str | None:
        """Give the URI of an article with exactly this text."""
        return self._store.same_text(text)

    def find_articles(self, name: str) -> list[str]:
        """Give the ids of the articles called ``name``: an id, a URI, or the URI of a file or folder they came from."""
        return self._store.find_articles(name)

    def uri_and_origin(self, article_id: str) -> tuple[str, str]:
        """Give an article's own URI and that of the file it came from."""
        return self._store.uri_and_origin(article_id)

    # Reading

    def search_dense(self, vector: Floats, k: int, where: Where = EVERYTHING) -> list[tuple[int, float]]:
        """Give up to ``k`` passages nearest to ``vector``: id and cosine (-1..1), best first."""
        self._catch_up()
        among = self._admitted(where)[1] if where else None
        with self._lock:
            return self._dense.search(vector, k, among)

    def search_lexical(
        self, question: str, language: str, k: int, where: Where = EVERYTHING
    ) -> list[tuple[int, float, float]]:
        """Give up to ``k`` passages by BM25: id, score (0 and more) and coverage of the question (0..1), best first."""
        self._catch_up()
        among = self._admitted(where)[0] if where else None
        return self._lexical.search(question, language, k, among)

    def _admitted(self, where: Where) -> tuple[list[int], list[int]]:
        """Give `Store.admitted`, remembered until the index changes."""
        generation = self._store.generation()
        key = (generation, where)
        found = self._filters.get(key)
        if found is None:
            found = self._store.admitted(where)
            self._filters = {
                k: v for k, v in self._filters.items() if k[0] == generation
            }  # a new dict: others may read
            if len(self._filters) < _FILTERS:
                self._filters[key] = found
        return found

    def languages(self) -> tuple[str, ...]:
        """Give the languages that the articles are in, most frequent first."""
        generation = self._store.generation()
        if self._languages[0] != generation:
            self._languages = (generation, tuple(code for code, _ in self._store.tally("language")))
        return self._languages[1]

    def vectors(self, passage_ids: Sequence[int]) -> dict[int, Floats]:
        """Give the stored vectors of passages."""
        ids, vectors = self._store.vectors(passage_ids)
        return dict(zip(ids, vectors, strict=True))

    def passages(self, passage_ids: Sequence[int]) -> dict[int, Passage]:
        """Give passages by id; those removed meanwhile are left out."""
        return self._store.passages(passage_ids)

    def article(self, article_id: str) -> Article | None:
        """Give an article by id."""
        return self._store.article(article_id)

    def revision(self, article_id: str) -> tuple[Article, str | None] | None:
        """Give an article by an id that it has or had, and the id it has now; ``None`` if it was removed."""
        article = self._store.article(article_id) or self._store.former(article_id)
        return None if article is None else (article, self._store.id_of(article.uri))

    def listing(
        self,
        where: Where = EVERYTHING,
        text: str = "",
        order: str = "fetched",
        descending: bool = True,
        limit: int = 100,
        offset: int = 0,
    ) -> tuple[int, list[Listed]]:
        """Count and list articles; see `Store.listing`."""
        return self._store.listing(where, text, order, descending, limit, offset)

    def articles(self) -> Iterator[Article]:
        """Give all articles, one at a time."""
        return self._store.articles()

    def generation(self) -> int:
        """Count the changes of the index so far."""
        return self._store.generation()

    def is_current(self) -> bool:
        """Tell whether the folder still holds the index that was opened: not another one, nor embedded anew."""
        try:
            return self._store.is_in_place() and self._store.meta("identity") == self._identity
        except IndexProblem:
            return False

    def is_empty(self) -> bool:
        """Tell whether there is no article yet."""
        return self._store.is_empty()

    def count_passages(self, where: Where = EVERYTHING) -> int:
        """Count the passages that a search goes through."""
        self._catch_up()
        return len(self._admitted(where)[1]) if where else len(self._dense)

    def status(self) -> Status:
        """Sum up what the index holds."""
        counts = self._store.counts()
        earliest, latest, undated = self._store.date_range()
        return Status(
            folder=str(self.folder),
            embedder=self._store.meta("embedder"),
            articles=counts["articles"],
            passages=counts["passages"],
            generation=self._store.generation(),
            bytes=sum(p.stat().st_size for p in self.folder.rglob("*") if p.is_file()),
            languages=self._store.tally("language"),
            sources=self._store.tally("source"),
            earliest=earliest,
            latest=latest,
            undated=undated,
        )

    # Keeping whole

    def check(self) -> list[str]:
        """List everything that is wrong with the index, each in one line; an empty list if nothing is."""
        problems = self._store.integrity_problems()
        ids = self._store.passage_ids()
        for start in range(0, len(ids), 10_000):
            _, vectors = self._store.vectors(ids[start : start + 10_000])
            off = int(
                (np.abs(np.linalg.norm(vectors, axis=1) - 1) > 0.01).sum() + (~np.isfinite(vectors)).any(axis=1).sum()
            )
            if off:
                problems.append(f"{off} vectors that are not of length 1")
        with self._lock:
            self._catch_up()
            if len(self._dense) != len(ids):
                problems.append(f"the dense index holds {len(self._dense)} passages, the store {len(ids)}")
        if self._lexical.generation() != self._store.generation():
            if self._is_being_written():
                return [*problems, f"another process is writing to {self.folder}: check again when it has finished"]
            problems.append("the lexical index is behind the store")
        elif self._lexical.count() != len(ids):
            problems.append(f"the lexical index holds {self._lexical.count()} passages, the store {len(ids)}")
        return problems

    def _is_being_written(self) -> bool:
        try:
            with self._writer.acquire(timeout=0):
                return False
        except filelock.Timeout:
            return True

    def repair(self) -> list[str]:
        """Remove what is damaged, and build the derived indexes anew. Call inside `writing`.

        Returns:
            The URIs of the articles that had to be removed, to be added anew.
        """
        lost = self._store.delete_damaged()
        for path in self.folder.glob("dense-*"):
            path.unlink()
        shutil.rmtree(self._lexical.folder, ignore_errors=True)
        self._attach()
        return lost

    def forget_unused(self) -> None:
        """Drop vectors that nothing uses any more. Call inside `writing`."""
        self._catch_up()
        self._store.forget_unused(min(self._dense_saved, self._lexical.generation()))

    def _catch_up(self) -> None:
        """Bring the derived indexes to the store's generation: FAISS in memory, the lexical one on disk."""
        with self._lock:
            generation = self._store.generation()  # in here: a thread that waited may not set the index back
            if self._dense_generation != generation:
                if self._store.meta("identity") != self._identity:
                    made_with = self._store.meta("embedder")
                    raise EmbedderMismatch(f"{self.folder} was embedded anew with {made_with} meanwhile: open it again")
                changes = self._store.changes_since(self._dense_generation, generation)
                if self._dense_generation == 0 or changes is None:
                    self._dense.build(self._store.passage_ids(generation))
                else:
                    self._dense.update(*changes)
                self._dense_generation = generation
            if self._lexical_generation() != generation:
                self._catch_up_lexical(generation)

    def _lexical_generation(self) -> int:
        if self._lexical_seen != self._store.generation():
            self._lexical.reload()
            self._lexical_seen = self._lexical.generation()
        return self._lexical_seen

    def _catch_up_lexical(self, generation: int) -> None:
        """Only one process may write; while another does, it is the one to bring the lexical index up to date."""
        try:
            with self._writer.acquire(timeout=0):
                try:
                    self._update_lexical(self._lexical.generation(), generation)
                except ValueError as error:
                    log.info("the lexical index is damaged (%s); it is built anew", error)
                    self._lexical.start_over()
                    self._update_lexical(0, generation)
                self._lexical_seen = generation
        except (filelock.Timeout, OSError, ValueError) as error:
            # Another process writes, or the disk is full or read-only: what is there still answers.
            log.info("the lexical index stays at an older generation for now: %s", error)

    def _update_lexical(self, since: int, generation: int) -> None:
        changes = self._store.changes_since(since, generation)
        if changes is None:
            self._lexical.start_over()
        removed, added = changes or ([], self._store.passage_ids(generation))
        rows = self._store.passages_with_articles(added)
        with_terms = ((p.id, number, terms(f"{title}\n{text}", p.language)) for p, number, title, text in rows)
        self._lexical.update(removed, with_terms, generation)

    def _save(self) -> None:
        """Write the FAISS file if enough has changed since it was written; otherwise opening it catches up."""
        for path in self.folder.glob("lexical-*"):
            if path != self._lexical.folder:  # left by a re-embedding that was killed at its end
                shutil.rmtree(path, ignore_errors=True)
        with self._lock:
            if self._dense_saved == self._dense_generation:
                return
            changes = self._store.changes_since(self._dense_saved, self._dense_generation)
            if self._dense_saved and changes and sum(map(len, changes)) < _SAVE_AFTER * len(self._dense):
                return
            target = self.folder / dense.file_name(self._identity, self._dense_generation)
            try:
                self._dense.save(target)
            except (OSError, RuntimeError) as error:
                log.warning("cannot write %s: %s; opening the index will take longer", target, error)
                return
            self._dense_saved = self._dense_generation
            for path in self.folder.glob("dense-*"):
                if path != target:
                    path.unlink(missing_ok=True)


def _keyed_inputs(embedder: Embedder, article: Article, spans: Sequence[Span]) -> list[tuple[bytes, str]]:
    """Give what is embedded for each passage, with the key that its vector is stored under."""
    texts = [passage_input(article.title, article.text[s.start : s.end]) for s in spans]
    return [(vector_key(embedder.name, text), text) for text in texts]
