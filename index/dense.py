"""The dense index: FAISS over the stored vectors, exact while that is fast enough. The only file that imports faiss."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import faiss as _faiss
import numpy as np
import numpy.typing as npt

faiss: Any = _faiss  # its type information lags behind what it takes

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
GiveVectors = Callable[[Sequence[int]], tuple[list[int], Floats]]

EXACT_LIMIT = 100_000  # passages; up to here an exact search takes some 15 ms
_PROBED = 1 / 16  # of an inverted file's lists that a search looks into
_REFINED = 10  # approximate candidates scored exactly for each one wanted
_FEW = 20_000  # passages that a filter admits: up to here they are all scored exactly
_AT_ONCE = 50_000  # vectors in memory while an index is built


class DenseIndex:
    """Inner products of unit vectors (cosines, -1..1) by passage id.

    Up to ``exact_limit`` passages a flat index; beyond that an inverted file with 8-bit codes whose candidates are
    scored again from the stored vectors. Which one it is follows from the number of passages, at each rebuild.
    It is not safe to change it while another thread searches; `index.article_index` sees to that.
    """

    def __init__(self, dim: int, give_vectors: GiveVectors, exact_limit: int = EXACT_LIMIT) -> None:
        """Start empty; ``give_vectors`` gives the stored vectors of passage ids (ascending), ``(n, dim)``."""
        self._dim = dim
        self._give_vectors = give_vectors
        self._exact_limit = exact_limit
        self._index: Any = _flat(dim)
        self._trained_on = 0

    def __len__(self) -> int:
        """Count the passages."""
        return int(self._index.ntotal)

    @property
    def is_exact(self) -> bool:
        """Tell whether a search looks at every vector."""
        return isinstance(self._index, faiss.IndexIDMap2)

    def build(self, ids: Sequence[int]) -> None:
        """Build the index anew from the stored vectors of ``ids``."""
        faiss.omp_set_num_threads(os.cpu_count() or 1)
        self._trained_on = len(ids)
        if len(ids) <= self._exact_limit:
            self._index = _flat(self._dim)
        else:
            lists = int(4 * np.sqrt(len(ids)))
            sample = np.random.default_rng(0).choice(np.asarray(ids), min(len(ids), 40 * lists), replace=False)
            quantizer = faiss.IndexFlatIP(self._dim)
            index = faiss.IndexIVFScalarQuantizer(
                quantizer, self._dim, lists, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
            )
            index.train(self._give_vectors([int(i) for i in sample])[1])
            index.nprobe = max(1, int(lists * _PROBED))
            self._index = index
        self._add(ids)

    def update(self, removed: Sequence[int], added: Sequence[int]) -> None:
        """Take out and put in passages; rebuild where the number of them has outgrown the kind of index."""
        if removed:
            self._index.remove_ids(np.asarray(removed, np.int64))
        will_be = len(self) + len(added)
        if self.is_exact != (will_be <= self._exact_limit) or (not self.is_exact and will_be > 4 * self._trained_on):
            self.build(sorted({*self._ids(), *added}))
        else:
            self._add(added)

    def search(self, vector: Floats, k: int, among: Sequence[int] | None = None) -> list[tuple[int, float]]:
        """Give up to ``k`` passages nearest to ``vector``, best first, with their cosines; ``among`` restricts them."""
        if len(self) == 0 or k < 1 or (among is not None and not len(among)):
            return []
        if not self.is_exact and among is not None and len(among) <= _FEW:
            return self._scored(vector, among)[:k]  # they may stand in lists that a search would not look into
        faiss.omp_set_num_threads(1)  # one question gains nothing from more, and waits for cores that others use
        wanted = min(k if self.is_exact else k * _REFINED, len(self))
        query = np.ascontiguousarray(vector[None, :], np.float32)
        selector = None if among is None else faiss.IDSelectorBatch(np.asarray(among, np.int64))
        if self.is_exact:
            parameters = None if selector is None else faiss.SearchParameters(sel=selector)
        else:
            parameters = faiss.SearchParametersIVF(sel=selector, nprobe=self._index.nprobe)
        scores, ids = self._index.search(query, wanted, params=parameters)
        found = [(int(i), float(s)) for i, s in zip(ids[0], scores[0], strict=True) if i >= 0]
        return found if self.is_exact else self._scored(vector, [i for i, _ in found])[:k]

    def save(self, path: Path) -> None:
        """Write the index to ``path``, whole or not at all."""
        scratch = path.with_name(f"{path.name}.new")
        faiss.write_index(self._index, str(scratch))
        with scratch.open("rb") as file:
            os.fsync(file.fileno())
        scratch.replace(path)

    def load(self, path: Path) -> None:
        """Read what `save` wrote.

        Raises:
            ValueError: the file is damaged, or of another model.
        """
        try:
            index = faiss.read_index(str(path))
        except RuntimeError as error:
            raise ValueError(f"{path} is damaged") from error
        if index.d != self._dim:
            raise ValueError(f"{path} has {index.d} dimensions, not {self._dim}")
        self._index = index
        self._trained_on = index.ntotal

    def _add(self, ids: Sequence[int]) -> None:
        for start in range(0, len(ids), _AT_ONCE):
            known, vectors = self._give_vectors(ids[start : start + _AT_ONCE])
            if known:
                self._index.add_with_ids(vectors, np.asarray(known, np.int64))

    def _ids(self) -> list[int]:
        if self.is_exact:
            return [int(i) for i in faiss.vector_to_array(self._index.id_map)]
        lists = self._index.invlists
        return [int(i) for n in range(lists.nlist) for i in faiss.rev_swig_ptr(lists.get_ids(n), lists.list_size(n))]

    def _scored(self, vector: Floats, ids: Sequence[int]) -> list[tuple[int, float]]:
        """Score passages from their stored vectors, best first."""
        ids, vectors = self._give_vectors(ids)
        scores = vectors @ vector
        return sorted(((i, float(s)) for i, s in zip(ids, scores, strict=True)), key=lambda pair: -pair[1])


def _flat(dim: int) -> Any:  # noqa: ANN401
    return faiss.IndexIDMap2(faiss.IndexFlatIP(dim))


def file_name(identity: str, generation: int) -> str:
    """Name the file that holds an index as it stood at a generation."""
    return f"dense-{identity}-{generation}.faiss"


def newest_file(folder: Path, identity: str) -> tuple[Path, int] | None:
    """Find the newest file that `file_name` named in ``folder``, and its generation."""
    pattern = re.compile(rf"dense-{identity}-(\d+)\.faiss")
    found = [(int(m[1]), path) for path in folder.glob("dense-*.faiss") if (m := pattern.fullmatch(path.name))]
    if not found:
        return None
    generation, path = max(found)
    return path, generation
