"""The lexical index: BM25 (tantivy) over terms that `index.language` makes. The only file that imports tantivy."""

import math
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import tantivy

from index.language import terms

_K1 = 1.2  # tantivy's BM25 constant; b is 0.75
_HEAP = 64_000_000  # bytes a writer may hold
_MOST_TERMS = 256  # different terms of one question
_STATE = "generation"


class LexicalIndex:
    """BM25 by passage id, and how much of the question a passage covers.

    The generation that the index stands at is a document of its own, replaced in the same commit as the passages.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        """Open the index of that identity inside ``folder``, or start an empty one."""
        self._folder = folder / f"lexical-{identity}"
        self._schema = _schema()
        try:
            self._index = self._open()
        except ValueError:  # damaged: it is derived, and is built again
            self.start_over()

    def _open(self) -> tantivy.Index:
        self._folder.mkdir(parents=True, exist_ok=True)
        return tantivy.Index(self._schema, path=str(self._folder), reuse=True)

    @property
    def folder(self) -> Path:
        """Where the index is stored."""
        return self._folder

    def start_over(self) -> None:
        """Throw everything away."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._index = self._open()

    def reload(self) -> None:
        """See what another process has committed."""
        self._index.reload()

    def generation(self) -> int:
        """Give the generation that the last commit brought the index to; 0 if there was none."""
        searcher = self._index.searcher()
        hits = searcher.search(tantivy.Query.term_query(self._schema, "state", _STATE), 1).hits
        return int(searcher.doc(hits[0][1])["generation"][0]) if hits else 0

    def count(self) -> int:
        """Count the passages."""
        searcher = self._index.searcher()
        return int(searcher.num_docs) - (1 if self.generation() else 0)

    def update(self, removed: Iterable[int], added: Iterable[tuple[int, int, Sequence[str]]], generation: int) -> None:
        """Take out and put in passages and say what generation that is, in one commit.

        Args:
            removed: passage ids.
            added: passage id, article number and terms of each; a passage that is there already is replaced.
            generation: of the store, with these changes.

        Raises:
            ValueError: the files are damaged; `start_over` and add everything.
        """
        writer = self._index.writer(_HEAP, 1)
        writer.garbage_collect_files()  # what a killed commit left would be in the way of this one
        for passage_id in removed:
            writer.delete_documents_by_term("id", passage_id)
        for passage_id, article, words in added:
            writer.delete_documents_by_term("id", passage_id)
            writer.add_document(tantivy.Document(id=passage_id, article=article, terms=" ".join(words)))
        writer.delete_documents_by_term("state", _STATE)
        writer.add_document(tantivy.Document(state=_STATE, generation=generation))
        writer.commit()
        writer.wait_merging_threads()
        self._index.reload()

    def search(
        self, question: str, language: str, k: int, among: Sequence[int] | None = None
    ) -> list[tuple[int, float, float]]:
        """Give up to ``k`` passages, best first: id, BM25 score (0 and more), and coverage of the question (0..1).

        Coverage is the score divided by the highest that a passage could reach: that of one in which every term of
        the question, also those that no passage has, occurs without end. It compares across questions.

        Args:
            question: any text.
            language: in which its words are stemmed.
            k: how many.
            among: numbers of the articles to search; ``None`` for all.
        """
        words = list(dict.fromkeys(terms(question, language)))[:_MOST_TERMS]
        if not words or k < 1 or (among is not None and not len(among)):
            return []
        searcher = self._index.searcher()
        total = int(searcher.num_docs)
        if not total:
            return []
        frequencies = {word: searcher.doc_freq("terms", word) for word in words}
        known = [word for word in words if frequencies[word]]
        if not known:
            return []
        clauses = [
            (tantivy.Occur.Should, tantivy.Query.term_query(self._schema, "terms", word, "freq")) for word in known
        ]
        query = tantivy.Query.boolean_query(clauses)
        if among is not None:
            admitted = tantivy.Query.const_score_query(
                tantivy.Query.term_set_query(self._schema, "article", list(among)), 0.0
            )
            query = tantivy.Query.boolean_query([(tantivy.Occur.Must, query), (tantivy.Occur.Must, admitted)])
        highest = sum(idf(total, frequency) for frequency in frequencies.values()) * (_K1 + 1)
        found = []
        for score, address in searcher.search(query, k).hits:
            found.append((int(searcher.doc(address)["id"][0]), float(score), float(score) / highest))
        return found


def idf(documents: int, frequency: int) -> float:
    """Weigh a term by its rarity, as Lucene's and tantivy's BM25 do: ln(1 + (N - n + 0.5) / (n + 0.5))."""
    return math.log(1 + (documents - frequency + 0.5) / (frequency + 0.5))


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_integer_field("id", stored=True, indexed=True)
    builder.add_integer_field("article", indexed=True)
    builder.add_text_field("terms", tokenizer_name="whitespace", index_option="freq")
    builder.add_text_field("state", tokenizer_name="raw", index_option="basic")
    builder.add_integer_field("generation", stored=True)
    return builder.build()
