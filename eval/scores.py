"""The metrics of one question, made from its record."""

import ir_measures
from ir_measures import RR, nDCG

from eval.metrics import contains, exact_match, lemma_f1, token_f1
from eval.records import Cited, Record

_DEPTHS = (1, 3, 5, 10)
_RANKED = {"mrr@10": RR @ 10, "ndcg@10": nDCG @ 10}


def score(record: Record) -> dict[str, float]:
    """Give the metrics of a question, 0..1 each; those without a meaning for it are absent.

    - ``recall@k, mrr@10, ndcg@10``: see `retrieval_scores`.
    - ``answered``: whether an answerable question was answered at all.
    - ``containment``: whether a right answer stands in what was shown: the answer's text and the sentences it quotes.
      A yes-no question is answered in other words than yes or no where sentences are quoted: there the evidence counts.
      Where a chat model answers it, its own words alone count, as "no" stands in many a quote.
    - ``exact_match, f1, lemma_f1``: of the first answer; 0 where none was given; the last for Russian questions alone.
    - ``citation_precision, citation_recall, verbatim``: see `citation_scores`.
    - ``right``: whether an answerable question's ``containment`` is 1, or the assistant abstained from another.
    """
    scores = citation_scores(record)
    if not record.is_answerable:
        return {**scores, "right": float(record.status == "abstained")}  # an error is no right answer
    contained = float(not record.is_refused and _is_contained(record))
    words = (record.short, () if record.is_refused else record.answers, record.language)
    return {
        **retrieval_scores(record),
        "answered": float(not record.is_refused),
        "containment": contained,
        "exact_match": exact_match(*words),
        "f1": token_f1(*words),
        **({"lemma_f1": lemma_f1(*words)} if record.language == "ru" else {}),
        **scores,
        "right": contained,
    }


def _is_contained(record: Record) -> bool:
    if record.kind == "yes-no" and record.answerer == "reader":
        return any(cited.pieces for cited in record.cited)
    quotes = [cited.quote for cited in record.cited] if record.kind != "yes-no" else []
    shown = [record.said, *quotes]
    return any(contains(each, answer, record.language) for each in shown for answer in record.answers)


def retrieval_scores(record: Record) -> dict[str, float]:
    """Give recall@k, MRR@10 and nDCG@10 of a question that the articles answer.

    What is judged are its needs (`Record.needs`), so that passages may be cut in any way. Recall is the share of needs
    that the first k passages meet (nugget recall, Voorhees 2003, TREC QA). MRR and nDCG (Järvelin & Kekäläinen 2002,
    https://doi.org/10.1145/582415.582418) are those of trec_eval, by ir-measures (MacAvaney et al. 2022,
    https://arxiv.org/abs/2111.13466): there a passage that covers a need first is that need, one that covers several
    is one after the other, every other passage is nothing.
    """
    wanted = [ir_measures.Qrel("q", f"need {n}", 1) for n in range(len(record.needs))]
    met: dict[int, int] = {}  # the rank at which each need is met
    ranking: list[str] = []
    for rank, found in enumerate(record.found, 1):
        new = [n for n, need in enumerate(record.needs) if n not in met and set(need) & set(found.pieces)]
        met.update(dict.fromkeys(new, rank))
        ranking += [f"need {n}" for n in new] or [f"rank {rank}"]
    run = [ir_measures.ScoredDoc("q", name, -place) for place, name in enumerate(ranking)]
    values = {m.measure: float(m.value) for m in ir_measures.iter_calc(_RANKED.values(), wanted, run)}
    recall = {f"recall@{k}": sum(rank <= k for rank in met.values()) / len(wanted) for k in _DEPTHS}
    return recall | {name: values[measure] for name, measure in _RANKED.items()}


def citation_scores(record: Record) -> dict[str, float]:
    """Give precision and recall of the citations, after ALCE (Gao et al. 2023, https://arxiv.org/abs/2305.14627).

    There a model judges whether a citation supports; here gold evidence does (`eval.evidence.cited_of`). Precision is
    the share of citations that are right; recall the share of needs that a right citation meets, where ALCE has the
    share of sentences that are supported. Both are of answerable questions that were answered. ``verbatim`` is the
    share of citations whose quote is, character by character, what stands at its offsets in the stored article.
    """
    cited = record.cited
    if not cited:
        return {}
    verbatim = {"verbatim": sum(c.is_verbatim for c in cited) / len(cited)}
    if not record.is_answerable or record.is_refused:
        return verbatim
    right = [c for c in cited if c.is_right]
    met = [any(_meets(record, c, need) for c in right) for need in record.needs]
    return {"citation_precision": len(right) / len(cited), "citation_recall": sum(met) / len(met), **verbatim}


def _meets(record: Record, cited: Cited, need: tuple[int, ...]) -> bool:
    """Tell whether a right citation is evidence of a need, or quotes the answer elsewhere in an article of it."""
    if cited.pieces:
        return not set(cited.pieces).isdisjoint(need)
    return any(record.evidence[n].uri == cited.uri for n in need)
