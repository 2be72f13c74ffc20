"""How well the check of cited sentences tells true claims from false ones, over the sample articles.

    python -m eval.verification [CLAIMS.jsonl ...] [--gold FILE] [--failures] [--out RECORDS.jsonl]

Each true claim cites the passages that hold its quote, and should pass; each false one that `eval.perturb` makes of it
should be flagged. Pairs are the claim's language and its article's. All shares have Wilson's 95 % intervals. The time
is that of five claims checked as one answer, by a checker that has seen none of their passages, and once more.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from tqdm import tqdm

from eval.bench.measure import percentile, timed
from eval.gold import SAMPLES, named_articles, read_gold
from eval.metrics import Estimate, share
from eval.perturb import Case, Corpus, SourcedClaim, perturb, read_claims, true_case, verbatim_claims
from index.chunk import chunk
from index.embed import Embedder, OnnxE5
from index.errors import BadRequest
from index.types import Article, Passage
from rag.types import Claim, Hit, Sentence
from rag.verify import Verifier

_CLAIMS = SAMPLES.parent / "claims.jsonl"
_ANSWER = 5  # sentences


class Checker(Protocol):
    """Tells for each claim whether the passages that it cites support it."""

    def check(self, claims: Sequence[Claim], hits: Sequence[Hit]) -> list[Sentence]:
        """Give one sentence a claim; a claim cites hits by their places, from 1."""


@dataclass(frozen=True, slots=True)
class Record:
    """What the check said of a case."""

    id: str
    kind: str
    claim_kind: str
    pair: str
    language: str
    claim: str
    article: str
    quote: str
    verdict: str
    detail: str

    @property
    def is_right(self) -> bool:
        """Whether a true claim passed, or a false one did not."""
        return (self.verdict == "supported") == (self.kind == "true")


def corpus_of(articles: Mapping[str, Article], claims: Sequence[SourcedClaim], embedder: Embedder) -> Corpus:
    """Cut articles into passages as the index does."""
    cut = {name: chunk(article, embedder.count_tokens, embedder.max_tokens) for name, article in articles.items()}
    return Corpus(articles, cut, claims)


def as_answer(group: Sequence[Case], corpus: Corpus) -> tuple[list[Claim], list[Hit]]:
    """Give cases as the claims of one answer, and the passages that they cite, each once."""
    cited = list(dict.fromkeys((case.article, n) for case in group for n in case.passages))
    places = {place: number for number, place in enumerate(cited, 1)}
    claims = [
        Claim(case.claim, case.origin.language, tuple(places[case.article, n] for n in case.passages)) for case in group
    ]
    return claims, [_hit(corpus, name, n, places[name, n]) for name, n in cited]


def _hit(corpus: Corpus, name: str, ordinal: int, rank: int) -> Hit:
    article, span = corpus.articles[name], corpus.passages[name][ordinal]
    passage = Passage(rank, article.id, ordinal, span.start, span.end, span.language)
    return Hit(passage, article, 0.0, rank, 0.0, 0.0)


def check(case: Case, checker: Checker, corpus: Corpus) -> Record:
    """Check one case by itself."""
    (sentence,) = checker.check(*as_answer([case], corpus))
    origin = case.origin
    return Record(
        origin.id,
        case.kind,
        origin.kind,
        f"{origin.language} → {origin.quote_language}",
        origin.language,
        case.claim,
        case.article,
        origin.quote,
        sentence.verdict,
        sentence.detail,
    )


def shares(records: Sequence[Record], by: Callable[[Record], str]) -> dict[str, Estimate]:
    """Give the share of right verdicts for each group of records, in the order of their names."""
    groups = sorted({by(record) for record in records})
    right = {group: [record.is_right for record in records if by(record) == group] for group in groups}
    return {group: share(sum(own), len(own)) for group, own in right.items()}


def times(true: Sequence[Case], corpus: Corpus, make: Callable[[], Checker]) -> tuple[list[float], list[float]]:
    """Time answers of five claims, by a checker that sees their passages for the first time and again, in seconds."""
    first, again = [], []
    for start in tqdm(range(0, len(true) - _ANSWER + 1, _ANSWER), desc="timing"):
        answer = as_answer(true[start : start + _ANSWER], corpus)
        checker = make()
        first.append(timed(checker.check, *answer)[1])
        again.append(timed(checker.check, *answer)[1])
    return first, again


def main() -> None:
    """Check, time and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, default=[_CLAIMS], help="true claims (eval/data/claims.jsonl)")
    parser.add_argument("--gold", type=Path, help="also take the quotes that answer these gold questions as claims")
    parser.add_argument("--failures", action="store_true", help="print every verdict that is wrong")
    parser.add_argument("--out", type=Path, help="write every verdict as JSON, one a line")
    options = parser.parse_args()
    embedder = OnnxE5(print)
    embedder.warm_up()
    try:
        claims = [claim for file in options.files for claim in read_claims(file)]
        articles = named_articles(SAMPLES)
        if options.gold:
            claims += verbatim_claims(read_gold(options.gold), articles)
        corpus = corpus_of(articles, claims, embedder)
        true = [true_case(claim, corpus) for claim in claims]
    except BadRequest as error:
        raise SystemExit(str(error)) from error
    cases = [case for own in true for case in (own, *perturb(own.origin, corpus))]
    checker = Verifier(embedder)
    records = [check(case, checker, corpus) for case in tqdm(cases, desc="checking")]
    if options.failures:
        _print_failures(records)
    _print_shares(records)
    _print_times(*times(true, corpus, lambda: Verifier(embedder)))
    if options.out:
        lines = (json.dumps(asdict(record), ensure_ascii=False) for record in records)
        options.out.write_text("\n".join(lines) + "\n", "utf-8")


def _print_failures(records: Sequence[Record]) -> None:
    for record in records:
        if not record.is_right:
            print(f"{record.id} {record.kind} ({record.pair}, {record.claim_kind}): {record.claim}")
            print(f"   {record.verdict}: {record.detail}")
            print(f"   cited: {record.article}; quote: {record.quote}\n")


def _print_shares(records: Sequence[Record]) -> None:
    true = [record for record in records if record.kind == "true"]
    false = [record for record in records if record.kind != "true"]
    for title, own, kind in (
        ("true claims that pass", true, lambda record: record.claim_kind),
        ("false claims that are flagged", false, lambda record: record.kind),
    ):
        print(f"\n{title}")
        groups: tuple[Callable[[Record], str], ...] = (
            lambda _: "all",
            kind,
            lambda record: f"in {record.language}",
            lambda record: record.pair,
        )
        for by in groups:
            for group, estimate in shares(own, by).items():
                print(f"  {group:<20} {estimate} of {estimate.count}")


def _print_times(first: Sequence[float], again: Sequence[float]) -> None:
    print(f"\n{_ANSWER} sentences of one answer, {len(first)} times")
    for name, seconds in (("new passages", first), ("the same again", again)):
        if seconds:
            middle, late = (round(1000 * percentile(seconds, percent)) for percent in (50, 95))
            print(f"  {name:<20} median {middle} ms, p95 {late} ms")


if __name__ == "__main__":
    main()
