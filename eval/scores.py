"""The metrics of one question, made from its record."""

import re

import ir_measures
from ir_measures import RR, R, nDCG

from eval.metrics import contains, exact_match, lemma_f1, token_f1
from eval.records import FOUND, Record

_RETRIEVAL = {f"recall@{k}": R @ k for k in (1, 3, 5, 10)} | {"mrr@10": RR @ 10, "ndcg@10": nDCG @ 10}
_MARKER = re.compile(r"\s*\[\d+\]")


def score(record: Record) -> dict[str, float]:
    """Give the metrics of a question, 0..1 each; those without a meaning for it are absent.

    - ``recall@k, mrr@10, ndcg@10``: see `retrieval_scores`.
    - ``answered``: whether an answerable question was answered at all.
    - ``containment``: whether a right answer stands in what was shown: the answer's text and the sentences it quotes.
      A yes-no question is answered in other words than yes or no where sentences are quoted: there the evidence counts.
    - ``exact_match, f1, lemma_f1``: of the first answer; 0 where none was given; the last for Russian questions alone.
    - ``citation_precision, citation_recall, verbatim``: see `citation_scores`.
    - ``right``: whether an answerable question's ``containment`` is 1, or an unanswerable one was refused.
    """
    refused = float(record.is_refused)
    scores = citation_scores(record)
    if not record.is_answerable:
        return {**scores, "right": refused}
    shown = " ".join([_MARKER.sub("", record.text), *(cited.quote for cited in record.cited)])
    if record.is_refused:
        contained = 0.0
    elif record.kind == "yes-no" and record.answerer == "reader":
        contained = float(any(cited.pieces for cited in record.cited))
    else:
        contained = float(any(contains(shown, answer, record.language) for answer in record.answers))
    words = (record.short, record.answers, record.language)
    return {
        **retrieval_scores(record),
        "answered": 1 - refused,
        "containment": contained,
        "exact_match": exact_match(*words),
        "f1": token_f1(*words),
        **({"lemma_f1": lemma_f1(*words)} if record.language == "ru" else {}),
        **scores,
        "right": contained,
    }


def retrieval_scores(record: Record) -> dict[str, float]:
    """Give recall@k, MRR@10 and nDCG@10 of a question that the articles answer.

    The documents that are judged are its needs (`Record.needs`), so that passages may be cut in any way: a passage
    that covers a need first is that need, every other passage is nothing. Recall is then the share of needs that are
    met among the first k (nugget recall, Voorhees 2003, TREC QA); MRR and nDCG (Järvelin & Kekäläinen 2002,
    https://doi.org/10.1145/582415.582418) are those of trec_eval, by ir-measures (MacAvaney et al. 2022,
    https://arxiv.org/abs/2111.13466).
    """
    wanted = [ir_measures.Qrel("q", f"need {n}", 1) for n in range(len(record.needs))]
    met: set[int] = set()
    run = []
    for rank, found in enumerate(record.found[:FOUND], 1):
        new = [n for n, need in enumerate(record.needs) if n not in met and set(need) & set(found.pieces)]
        met.update(new)
        names = [f"need {n}" for n in new] or [f"rank {rank}"]
        run += [ir_measures.ScoredDoc("q", name, -rank - place / 10) for place, name in enumerate(names)]
    nothing = [ir_measures.ScoredDoc("q", "nothing", 0.0)]
    values = {m.measure: m.value for m in ir_measures.iter_calc(_RETRIEVAL.values(), wanted, run or nothing)}
    return {name: float(values[measure]) for name, measure in _RETRIEVAL.items()}


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
    uris = [record.evidence[n].uri for need in record.needs for n in need[:1]]
    met = [
        any(c.is_right and (set(c.pieces) & set(need) or (not c.pieces and c.uri == uri)) for c in cited)
        for need, uri in zip(record.needs, uris, strict=True)
    ]
    right = sum(c.is_right for c in cited)
    return {"citation_precision": right / len(cited), "citation_recall": sum(met) / len(met), **verbatim}
