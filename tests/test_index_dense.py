from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import Floats

from index.dense import DenseIndex, file_name, newest_file

DIM = 32
MakeIndex = Callable[[dict[int, Floats]], DenseIndex]


def _unit(rows: Floats) -> Floats:
    result: Floats = (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)
    return result


def _random(count: int, seed: int, dim: int = DIM) -> Floats:
    return _unit(np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32))


def _giver(vectors: dict[int, Floats], dim: int = DIM) -> Callable[[Sequence[int]], tuple[list[int], Floats]]:
    def give(ids: Sequence[int]) -> tuple[list[int], Floats]:
        known = sorted(i for i in ids if i in vectors)
        return known, np.array([vectors[i] for i in known], np.float32).reshape(len(known), dim)

    return give


@pytest.fixture(params=["exact", "IVF"])
def make(request: pytest.FixtureRequest) -> MakeIndex:
    limit = 100_000 if request.param == "exact" else 50

    def build(vectors: dict[int, Floats]) -> DenseIndex:
        index = DenseIndex(DIM, _giver(vectors), limit)
        index.build(list(vectors))
        assert index.is_exact is (request.param == "exact")
        return index

    return build


@pytest.fixture
def vectors() -> dict[int, Floats]:
    """Give 400 vectors under ids that do not follow on one another."""
    return {7 + 3 * n: vector for n, vector in enumerate(_random(400, seed=1))}


def test_scores_are_cosines_best_first(make: MakeIndex, vectors: dict[int, Floats]) -> None:
    index = make(vectors)
    assert len(index) == 400
    for target in (7, 7 + 3 * 200, 7 + 3 * 399):
        query = _unit(vectors[target] + 0.3 * _random(1, seed=target)[0])
        found = index.search(query, 10)
        assert len(found) == 10
        assert found[0][0] == target
        assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
        for i, score in found:
            cosine = sum(float(a) * float(b) for a, b in zip(query, vectors[i], strict=True))
            assert score == pytest.approx(cosine, abs=1e-3)


def test_a_passage_finds_itself_with_a_cosine_of_one(make: MakeIndex, vectors: dict[int, Floats]) -> None:
    index = make(vectors)
    for target in list(vectors)[::20]:
        ((found, score),) = index.search(vectors[target], 1)
        assert found == target
        assert score == pytest.approx(1, abs=1e-3)


def test_no_passage_is_given_twice_or_beyond_what_there_is(make: MakeIndex, vectors: dict[int, Floats]) -> None:
    index = make(vectors)
    found = [i for i, _ in index.search(_random(1, seed=5)[0], 10_000)]
    assert len(found) == len(set(found)) <= 400
    assert set(found) <= set(vectors)
    assert index.search(_random(1, seed=5)[0], 0) == []


def test_what_is_removed_is_gone_and_what_stays_keeps_its_id(make: MakeIndex, vectors: dict[int, Floats]) -> None:
    index = make(vectors)
    gone = list(vectors)[::3]
    index.update(gone, [])
    assert len(index) == 400 - len(gone)
    for i, vector in vectors.items():
        found = index.search(vector, 5)
        assert not {j for j, _ in found} & set(gone)
        if i not in gone:
            assert found[0][0] == i
            assert found[0][1] == pytest.approx(1, abs=1e-3)


def test_what_is_removed_and_added_again_is_found_under_its_id(make: MakeIndex, vectors: dict[int, Floats]) -> None:
    index = make(vectors)
    moved = list(vectors)[100:140]
    index.update(moved, [])
    fresh = _random(len(moved), seed=9)
    vectors.update(zip(moved, fresh, strict=True))
    index.update([], moved)
    assert len(index) == 400
    for i, vector in zip(moved, fresh, strict=True):
        ((found, score),) = index.search(vector, 1)
        assert found == i
        assert score == pytest.approx(1, abs=1e-3)
    index.update(moved[:10], moved[:10])  # out and in, in one step
    assert len(index) == 400
    for i in list(vectors)[::7]:
        assert index.search(vectors[i], 1)[0][0] == i


def test_removing_what_is_not_there_changes_nothing(make: MakeIndex, vectors: dict[int, Floats]) -> None:
    index = make(vectors)
    index.update([1, 2, 10_000_000], [])
    assert len(index) == 400


def test_among_restricts_a_search_to_those_passages(make: MakeIndex, vectors: dict[int, Floats]) -> None:
    index = make(vectors)
    some = list(vectors)[::2]
    for target in some[::20]:
        found = index.search(vectors[target], 10, some)
        assert found[0][0] == target
        assert {i for i, _ in found} <= set(some)
    assert index.search(vectors[7], 10, []) == []
    assert index.search(vectors[7], 10, [1, 2]) == []


def test_a_filter_that_admits_few_passages_still_finds_all_of_them(make: MakeIndex, vectors: dict[int, Floats]) -> None:
    index = make(vectors)
    few = list(vectors)[5:400:80]
    query = _random(1, seed=3)[0]
    expected = sorted(few, key=lambda i: -float(vectors[i] @ query))
    assert [i for i, _ in index.search(query, 10, few)] == expected


def test_an_index_is_the_same_after_saving_and_loading(
    make: MakeIndex, vectors: dict[int, Floats], tmp_path: Path
) -> None:
    index = make(vectors)
    file = tmp_path / "dense.faiss"
    index.save(file)
    assert [p.name for p in tmp_path.iterdir()] == ["dense.faiss"]
    loaded = make(vectors)
    loaded.build([])
    loaded.load(file)
    assert len(loaded) == 400
    assert loaded.is_exact == index.is_exact
    query = _random(1, seed=4)[0]
    assert loaded.search(query, 10) == index.search(query, 10)
    loaded.update([7], [])
    assert len(loaded) == 399
    assert 7 not in [i for i, _ in loaded.search(vectors[7], 5)]


@pytest.mark.parametrize("part", [0, 3, 0.2, 0.5, 0.9, -1])
def test_a_truncated_file_is_told(make: MakeIndex, vectors: dict[int, Floats], tmp_path: Path, part: float) -> None:
    file = tmp_path / "dense.faiss"
    make(vectors).save(file)
    data = file.read_bytes()
    file.write_bytes(data[: int(part * len(data)) if 0 < part < 1 else int(part)])
    with pytest.raises(ValueError, match="damaged"):
        make(vectors).load(file)


def test_a_file_of_garbage_or_of_another_model_is_told(
    make: MakeIndex, vectors: dict[int, Floats], tmp_path: Path
) -> None:
    file = tmp_path / "dense.faiss"
    file.write_bytes(b"not an index" * 100)
    with pytest.raises(ValueError, match="damaged"):
        make(vectors).load(file)
    other = DenseIndex(8, _giver({1: _random(1, 0, 8)[0]}, 8))
    other.build([1])
    other.save(file)
    with pytest.raises(ValueError, match="8 dimensions, not 32"):
        make(vectors).load(file)


def test_an_empty_index_finds_nothing() -> None:
    index = DenseIndex(DIM, _giver({}))
    assert index.search(_random(1, 0)[0], 5) == []
    index.build([])
    assert len(index) == 0
    assert index.search(_random(1, 0)[0], 5) == []
    index.update([3], [])
    assert len(index) == 0


def test_the_kind_of_index_follows_the_number_of_passages_both_ways(vectors: dict[int, Floats]) -> None:
    ids = list(vectors)
    index = DenseIndex(DIM, _giver(vectors), exact_limit=100)
    index.build(ids[:100])
    assert index.is_exact
    index.update([], ids[100:101])
    assert not index.is_exact
    assert len(index) == 101
    index.update([], ids[101:])  # four times as many: trained anew
    assert len(index) == 400
    for i in ids[::9]:
        assert index.search(vectors[i], 1)[0][0] == i
    index.update(ids[50:], [])
    assert index.is_exact
    assert len(index) == 50
    assert sorted(i for i, _ in index.search(vectors[ids[0]], 400)) == ids[:50]


def test_the_inverted_file_finds_98_percent_of_what_an_exact_search_finds() -> None:
    random = np.random.default_rng(0)
    centres = _random(100, seed=2, dim=128)
    points = _unit(centres[random.integers(0, 100, 5000)] + 0.06 * random.normal(size=(5000, 128)).astype(np.float32))
    vectors = dict(enumerate(points))
    index = DenseIndex(128, _giver(vectors, 128), exact_limit=1000)
    index.build(list(vectors))
    assert not index.is_exact
    queries = _unit(points[::50] + 0.06 * random.normal(size=(100, 128)).astype(np.float32))
    hits = 0
    for query in queries:
        exact = set(np.argsort(-(points @ query))[:10].tolist())
        hits += len(exact & {i for i, _ in index.search(query, 10)})
    assert hits / 1000 >= 0.98


def test_the_newest_file_of_this_index_is_chosen(tmp_path: Path) -> None:
    assert newest_file(tmp_path, "abc") is None
    for name in (
        file_name("abc", 9),
        file_name("abc", 10),
        file_name("xyz", 99),
        "dense-abc-11.faiss.new",
        "dense-abc-x.faiss",
    ):
        (tmp_path / name).touch()
    assert newest_file(tmp_path, "abc") == (tmp_path / "dense-abc-10.faiss", 10)
