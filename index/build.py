"""The write path on one screen: files become articles, articles become passages, passages become an index."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from index.article_index import ArticleIndex, Chunked
from index.articles import Skipped, Source, list_files, read_sources, readable
from index.chunk import chunk
from index.clean import clean, fingerprint
from index.errors import ModelUnavailable, NotAnArticle

_BATCH_CHARACTERS = 100_000  # of text in one transaction: some 30 seconds of embedding on a slow machine
_BATCH_ARTICLES = 64
_COPY = "same text as "


@dataclass
class Report:
    """What `add_articles` did, for the summary at its end."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0
    passages_embedded: int = 0
    skipped: list[Skipped] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Progress:
    """One step forward: bytes read of the total, and the counts so far."""

    bytes_done: int
    bytes_total: int
    report: Report


def add_articles(
    index: ArticleIndex, paths: Iterable[Path], *, sync: bool = False, show: Callable[[Progress], None] = lambda _: None
) -> Report:
    """Add files and folders to an index; what it holds already is neither cleaned nor embedded again.

    One bad file never stops it: what cannot be indexed is in the report with its reason. What the report counts as
    added or updated is on disk.

    Args:
        index: open for writing by this process alone.
        paths: files and folders.
        sync: also remove the articles that came from these folders and are there no more.
        show: called after each file.

    Raises:
        IndexLocked: another process is writing.
    """
    paths = list(paths)
    report = Report()
    seen: set[str] = set()
    with index.writing():
        files = list(list_files(paths))
        _take_in(index, files, seen, report, show)
        if sync:
            _remove_gone(index, paths, seen, report)
        if report.removed or report.updated:
            _take_in_former_copies(index, files, report)
        if report.updated or report.removed:
            index.forget_unused()
    return report


def _take_in(
    index: ArticleIndex, files: list[Path | Skipped], seen: set[str], report: Report, show: Callable[[Progress], None]
) -> None:
    for batch in _batches(_changed(index, files, seen, report, show)):
        known = sum(index.holds(chunked.article.uri) for chunked in batch)
        report.passages_embedded += index.add(batch)
        report.updated += known
        report.added += len(batch) - known


def _take_in_former_copies(index: ArticleIndex, files: list[Path | Skipped], report: Report) -> None:
    """Look again at what was skipped as a copy: what it is a copy of may just have been removed or changed."""
    if any(skipped.reason.startswith(_COPY) for skipped in report.skipped):
        again = Report()
        _take_in(index, files, set(), again, lambda _: None)
        report.added += again.added
        report.passages_embedded += again.passages_embedded
        report.skipped = again.skipped


def _changed(
    index: ArticleIndex, files: list[Path | Skipped], seen: set[str], report: Report, show: Callable[[Progress], None]
) -> Iterator[Chunked]:
    """Read, clean and chunk the articles that are new or changed; count the rest."""
    sizes = [0 if isinstance(file, Skipped) else _size(file) for file in files]
    done, total = 0, sum(sizes)
    texts: dict[str, str] = {}
    for file, size in zip(files, sizes, strict=True):
        inside = 0
        for source in [file] if isinstance(file, Skipped) else read_sources(file):
            if isinstance(source, Skipped):
                made: Chunked | Skipped | None = source
            elif source.uri in seen:
                made = Skipped(source.uri, f"the same URL twice; the second time in {readable(source.origin)}")
            else:
                made = _chunk_if_changed(index, source, texts)
            seen.add(source.uri)
            if isinstance(made, Skipped):
                report.skipped.append(made)
            elif made is None:
                report.unchanged += 1
            else:
                yield made
            inside += 0 if isinstance(source, Skipped) else len(source.data)
            show(Progress(done + min(inside, size), total, report))
        done += size
        show(Progress(done, total, report))


def _chunk_if_changed(index: ArticleIndex, source: Source, texts: dict[str, str]) -> Chunked | Skipped | None:
    """Give the article of a source in passages, ``None`` if the index has it as it is, or why it is not indexed."""
    if index.is_unchanged(source.uri, fingerprint(source)):
        return None
    try:
        article = clean(source)
        spans = chunk(article, index.embedder.count_tokens, index.embedder.max_tokens)
    except NotAnArticle as reason:
        return Skipped(source.uri, str(reason))
    except ModelUnavailable:
        raise
    except Exception as error:  # a parser that fails on hostile input must not end the run
        detail = " ".join(str(error).split())[:200]
        return Skipped(source.uri, f"cannot be parsed ({type(error).__name__}: {detail})")
    twin = texts.get(article.text) or index.same_text(article.text)
    if twin not in (None, source.uri) and not index.holds(source.uri):
        return Skipped(source.uri, f"{_COPY}{readable(str(twin))}")
    texts[article.text] = source.uri
    if len(texts) > _BATCH_ARTICLES:  # what is older is in the index by now
        del texts[next(iter(texts))]
    return Chunked(article, spans, source.origin)


def _batches(articles: Iterable[Chunked]) -> Iterator[list[Chunked]]:
    batch: list[Chunked] = []
    characters = 0
    for chunked in articles:
        batch.append(chunked)
        characters += len(chunked.article.text)
        if characters >= _BATCH_CHARACTERS or len(batch) == _BATCH_ARTICLES:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _remove_gone(index: ArticleIndex, paths: list[Path], seen: set[str], report: Report) -> None:
    """Remove the articles that came from ``paths`` and were not met there this time.

    A file that is there but could not be read, or no longer holds an article, keeps what the index has of it.
    """
    gone = []
    out_of_reach = {skipped.uri for skipped in report.skipped}
    for path in paths:
        for article_id in index.find_articles(path.resolve().as_uri()):
            uri, origin = index.uri_and_origin(article_id)
            is_out_of_reach = any(origin == place or origin.startswith(f"{place}/") for place in out_of_reach)
            if uri not in seen and not is_out_of_reach:
                gone.append(article_id)
    if gone:
        index.remove(gone)
    report.removed = len(gone)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
