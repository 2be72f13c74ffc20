"""Recall@1 on XQuAD, question language by paragraph language: dense alone, lexical alone, fused.

Every set of paragraphs goes through the real write path into an index of its own.

    python -m eval.bench.xquad_retrieval FOLDER [--embedder NAME_OR_PATH]
"""

import argparse
import tempfile
from pathlib import Path

from tqdm import tqdm

from eval.squad import SquadSet, read_squad, write_records
from index.article_index import ArticleIndex
from index.build import add_articles
from index.language import detect
from index.types import Where
from rag.retrieve import HybridRetriever
from rag.types import Question

_FLOORS = {"en": 0.955, "de": 0.94, "es": 0.94, "zh": 0.90}
_CROSS_LOSS = 0.005


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="holds en.json, de.json, es.json and zh.json")
    parser.add_argument("--embedder", help="sentence-transformers model (default: the assistant's)")
    options = parser.parse_args()
    sets = {language: read_squad(options.folder / f"{language}.json") for language in _FLOORS}
    with tempfile.TemporaryDirectory() as scratch:
        indexes = {
            language: _index(data, Path(scratch) / language, options.embedder) for language, data in sets.items()
        }
        embed = indexes["en"].embedder.embed_query
        questions = {
            language: [
                Question(q, detect(q), embed(q))
                for q in tqdm(data.questions, desc=f"questions {language}", leave=False)
            ]
            for language, data in sets.items()
        }
        print(f"{'question → paragraph':<22}{'dense':>8}{'lexical':>9}{'fused':>8}  fused - dense")
        for asked, data in sets.items():
            for found, index in indexes.items():
                dense, lexical, fused = _recalls(index, questions[asked], data.gold)
                wanted = _FLOORS[asked] if asked == found else dense - _CROSS_LOSS
                verdict = "" if fused >= wanted else f"  BELOW {wanted:.3f}"
                print(f"{asked} → {found:<17}{dense:>8.3f}{lexical:>9.3f}{fused:>8.3f}{fused - dense:>+10.3f}{verdict}")


def _index(data: SquadSet, folder: Path, embedder: str | None) -> ArticleIndex:
    records = folder.with_suffix(".jsonl")
    write_records(data, records)
    index = ArticleIndex.open(folder, embedder, create=True, say=print)
    add_articles(index, [records])
    return index


def _recalls(index: ArticleIndex, questions: list[Question], gold: list[int]) -> tuple[float, float, float]:
    uris = {article.id: article.uri for article in index.articles()}
    right = [0, 0, 0]
    for question, number in zip(questions, gold, strict=True):
        best = [i for i, _ in index.search_dense(question.vector, 1)]
        lexical = [i for i, _, _ in index.search_lexical(question.text, question.language, 1)]
        fused = [hit.passage.id for hit in HybridRetriever(index, 3, Where()).retrieve(question, 1)]
        for n, found in enumerate((best, lexical, fused)):
            right[n] += any(uris[p.article_id] == f"paragraph:{number}" for p in index.passages(found).values())
    dense, lexical_share, fused_share = (count / len(gold) for count in right)
    return dense, lexical_share, fused_share


if __name__ == "__main__":
    main()
