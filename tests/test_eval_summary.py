"""Records of a run, the figures made of them, and two runs compared, by values worked out by hand."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from eval.compare import compare, differences
from eval.records import Cited, Found, Piece, Record, line_of, read_json, read_records, write_json
from eval.scores import score
from eval.summary import RATIOS, figures, groups, ratio, risk_coverage, summarise, table
from index.errors import BadRequest

RIGHT = Cited("https://ex.org/en", "X", 0, 9, "40 pounds", "40", True, True, (0,))
WRONG = replace(RIGHT, quote="50 pounds", answer="50", is_right=False, pieces=())
RECORD = Record(
    id="q",
    question="What does it cost?",
    language="en",
    kind="number",
    history=(),
    answers=("40 pounds", "40"),
    evidence=(Piece("https://ex.org/en", "en", 0, 9, "40 pounds"),),
    needs=((0,),),
    standalone="What does it cost?",
    status="answered",
    confidence=0.9,
    answerer="reader",
    text="40 [1]",
    short="40",
    found=(Found("https://ex.org/en", "X", 0, 9, "en", 0.9, "40 pounds", (0,)),),
    cited=(RIGHT,),
    first=RIGHT,
    timings={"retrieve_ms": 10.0, "total_ms": 100.0},
)


def _record(
    id: str,
    *,
    is_right: bool = True,
    status: str = "answered",
    confidence: float = 0.9,
    language: str = "en",
    articles: Sequence[str] = ("en",),
) -> Record:
    """Make a record, scored, whose evidence is in an article of each language; without any it is unanswerable."""
    evidence = tuple(Piece(f"https://ex.org/{id}/{article}", article, 0, 9, "40 pounds") for article in articles)
    first = RIGHT if is_right else WRONG
    record = replace(
        RECORD,
        id=id,
        question=f"{RECORD.question} ({id})",
        language=language,
        kind="number" if evidence else "unanswerable",
        answers=RECORD.answers if evidence else (),
        evidence=evidence,
        needs=(tuple(range(len(evidence))),) if evidence else (),
        status=status,
        confidence=confidence,
        text=f"{first.answer} [1]" if status in ("answered", "partial") else "",
        short=first.answer if status in ("answered", "partial") else "",
        cited=(first,) if status in ("answered", "partial") else (),
        first=first if status != "failed" else None,
    )
    return replace(record, scores=score(record))


def _figures(records: Sequence[Record], group: str = "all") -> dict[str, tuple[float, int]]:
    return {f.figure: (f.value, f.count) for f in figures(records) if f.group == group}


# Records

SPANS = st.integers(0, 10**6)
SHARES = st.floats(0, 1)
NUMBERS = st.lists(st.integers(0, 9), max_size=3).map(tuple)
PIECES = st.builds(Piece, st.text(), st.text(), SPANS, SPANS, st.text())
FOUND = st.builds(Found, st.text(), st.text(), SPANS, SPANS, st.text(), st.none() | SHARES, st.text(), NUMBERS)
CITED = st.builds(
    Cited, st.text(), st.text(), SPANS, SPANS, st.text(), st.text(), st.booleans(), st.booleans(), NUMBERS
)
RECORDS = st.builds(
    Record,
    id=st.text(),
    question=st.text(),
    language=st.text(),
    kind=st.text(),
    history=st.lists(st.text(), max_size=2).map(tuple),
    answers=st.lists(st.text(), max_size=2).map(tuple),
    evidence=st.lists(PIECES, max_size=2).map(tuple),
    needs=st.lists(NUMBERS, max_size=2).map(tuple),
    standalone=st.text(),
    status=st.sampled_from(["answered", "partial", "abstained", "failed"]),
    confidence=SHARES,
    answerer=st.text(),
    text=st.text(),
    short=st.text(),
    found=st.lists(FOUND, max_size=2).map(tuple),
    cited=st.lists(CITED, max_size=2).map(tuple),
    first=st.none() | CITED,
    timings=st.dictionaries(st.text(), st.floats(0, 1e6), max_size=2),
    error=st.text(),
    scores=st.dictionaries(st.text(), SHARES, max_size=2),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(RECORDS, max_size=3))
@example([replace(RECORD, text='a\u2028b\u2029c\x85d\r\ne\nf\x00\x1c"\\\ufeff', answers=("🚋", "ё", "e\u0301"))] * 2)
def test_records_are_read_as_they_were_written(tmp_path_factory: pytest.TempPathFactory, records: list[Record]) -> None:
    path = tmp_path_factory.mktemp("run") / "records.jsonl"
    for record in records:
        with path.open("a", encoding="utf-8") as file:
            file.write(line_of(record))
    path.touch()
    assert list(read_records(path)) == records
    assert path.read_bytes().count(b"\n") == len(records)


def test_half_a_surrogate_pair_becomes_a_question_mark(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(line_of(replace(RECORD, text="half \ud83d of a pair 🚋")), "utf-8")
    assert [record.text for record in read_records(path)] == ["half ? of a pair 🚋"]


def test_a_last_line_is_passed_over_wherever_it_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    whole, last = line_of(RECORD).encode() * 2, line_of(replace(RECORD, text="трамвай")).encode()
    for cut in range(0, len(last) - 1, 7):  # within characters, too
        path.write_bytes(whole + last[:cut])
        assert list(read_records(path)) == [RECORD, RECORD]
    path.write_bytes(whole + last[:-1])  # all but the end of the line
    assert len(list(read_records(path))) == 3


@pytest.mark.parametrize(
    "line", ["{", "[]", "null", '{"id": "q"}', "\xff", line_of(RECORD)[: len(line_of(RECORD)) // 2]]
)
def test_a_line_that_is_no_record_is_refused_with_its_number(tmp_path: Path, line: str) -> None:
    path = tmp_path / "records.jsonl"
    good = line_of(RECORD).encode()
    for lines, number in ((good + b"\n" + line.encode("latin-1") + b"\n" + good, 3), (good + line.encode() + b"\n", 2)):
        path.write_bytes(lines)
        with pytest.raises(ValueError, match=rf"records\.jsonl, line {number}: not a record"):
            list(read_records(path))


def test_an_object_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_json(path, {"gold": "ё\u2028", "questions": 3})
    assert read_json(path) == {"gold": "ё\u2028", "questions": 3}
    with pytest.raises(TypeError):
        write_json(path, {"gold": "other", "questions": {3}})
    assert read_json(path) == {"gold": "ё\u2028", "questions": 3}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("text", ["[1]", "", "{", "null"])
def test_what_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError):
        read_json(tmp_path / "run.json")


def test_an_article_in_the_language_of_the_question_gives_the_pair() -> None:
    both = _record("q", language="ru", articles=("en", "de", "ru", "en"))
    assert both.pairs == ("ru→en", "ru→de", "ru→ru")
    assert both.pair == "ru→ru"
    assert _record("q", language="zh", articles=("en", "de")).pair == "zh→en"
    nowhere = _record("q", articles=())
    assert (nowhere.pairs, nowhere.pair) == ((), "")


# Figures


def test_refusals_are_counted_by_hand() -> None:
    unanswerable = {"abstained": 2, "failed": 1, "answered": 1}
    answerable = {"abstained": 1, "failed": 1, "answered": 3, "partial": 1}
    records = [
        _record(f"{status} {n} {articles}", status=status, articles=articles)
        for articles, counts in (((), unanswerable), (("en",), answerable))
        for status, count in counts.items()
        for n in range(count)
    ]
    found = _figures(records)
    assert found["refusal_precision"] == pytest.approx((2 / 3, 3))  # a failure is no refusal
    assert found["refusal_recall"] == pytest.approx((2 / 4, 4))
    assert found["refusal_f1"] == pytest.approx((2 * (2 / 3) * (1 / 2) / (2 / 3 + 1 / 2), 5))
    assert found["answered"] == pytest.approx((4 / 6, 6))
    assert summarise(records)["failed"] == 2


STATUSES = st.sampled_from(["answered", "partial", "abstained", "failed"])


@given(st.lists(st.tuples(STATUSES, st.booleans()), min_size=1, max_size=12))
def test_the_f1_of_refusals_is_the_harmonic_mean_of_their_precision_and_recall(cases: list[tuple[str, bool]]) -> None:
    records = [
        _record(str(n), status=status, articles=("en",) if is_answerable else ())
        for n, (status, is_answerable) in enumerate(cases)
    ]
    f1, precision, recall = (ratio(RATIOS[f"refusal_{name}"], records).value for name in ("f1", "precision", "recall"))
    if precision + recall > 0:
        assert f1 == pytest.approx(2 * precision * recall / (precision + recall))
    else:  # nothing was rightly refused, or there was nothing to refuse
        assert not f1 > 0


@pytest.mark.parametrize("articles", [(), ("en",)])
def test_where_all_questions_are_of_one_sort_only_the_recall_of_refusals_tells_something(
    articles: tuple[str, ...],
) -> None:
    records = [_record("a", articles=articles), _record("b", status="abstained", articles=articles)]
    found = {figure.figure for figure in figures(records) if figure.figure.startswith(("refusal", "aurc"))}
    assert found == ({"aurc"} if articles else {"refusal_recall"})
    other = _record("c", articles=() if articles else ("en",))
    assert {f.group for f in figures([*records, other]) if f.figure == "refusal_f1"} == {"all", "language en"}


def test_means_are_of_the_questions_that_a_metric_has_a_meaning_for() -> None:
    records = [
        _record("right"),
        _record("wrong", is_right=False),
        _record("refused", status="abstained"),
        _record("failed", status="failed"),
        _record("russian", language="ru"),
        _record("unanswerable", articles=(), is_right=False),
    ]
    found = _figures(records)
    assert found["recall@1"] == (1, 5)
    assert found["containment"] == found["f1"] == pytest.approx((2 / 5, 5))
    assert found["containment_if_answered"] == found["f1_if_answered"] == pytest.approx((2 / 3, 3))
    assert found["citation_precision"] == found["citation_recall"] == pytest.approx((2 / 3, 3))
    assert found["verbatim"] == (1, 4)
    assert found["lemma_f1"] == (1, 1)
    assert "lemma_f1" not in _figures(records, "language en")
    assert "judged" not in found and "judge_agreement" not in found


def test_a_judge_agrees_where_it_says_what_containment_says() -> None:
    judged = [(_record("a"), 1.0), (_record("b"), 0.0), (_record("c", is_right=False), 0.0)]
    records = [replace(record, scores={**record.scores, "f1": 0.5, "judged": verdict}) for record, verdict in judged]
    found = _figures([*records, _record("not judged")])
    assert found["judged"] == pytest.approx((1 / 3, 3))
    assert found["judge_agreement"] == pytest.approx((2 / 3, 3))


def test_the_area_under_risk_is_of_first_quotes_shown_or_held_back() -> None:
    records = [
        _record("sure and right", confidence=0.9),
        _record("sure and wrong", confidence=0.9, is_right=False),
        _record("unanswerable", confidence=0.5, articles=(), is_right=False, status="abstained"),
        _record("held back and right", confidence=0.2, status="abstained"),
        _record("failed", confidence=0.0, status="failed"),
    ]
    # the two that are equally sure count half each: risks 1/2, 1/2, 2/3, 2/4
    assert _figures(records)["aurc"] == pytest.approx(((1 / 2 + 1 / 2 + 2 / 3 + 2 / 4) / 4, 4))
    assert risk_coverage(records) == [(0.5, 0.5), (0.75, 0.6667), (1, 0.5)]
    assert risk_coverage(list(reversed(records))) == risk_coverage(records)


def test_a_curve_of_nothing_has_no_points_and_failures_have_no_area() -> None:
    failed = [_record("a", status="failed"), _record("b", status="failed")]
    assert risk_coverage([]) == risk_coverage(failed) == []
    assert "aurc" not in _figures(failed)
    assert list(figures([])) == []


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.9]), st.booleans()), min_size=1, max_size=15))
def test_a_curve_has_a_point_for_each_confidence_and_ends_with_the_share_of_wrong_ones(
    cases: list[tuple[float, bool]],
) -> None:
    records = [_record(str(n), confidence=c, is_right=right) for n, (c, right) in enumerate(cases)]
    curve = risk_coverage(records)
    for (coverage, risk), confidence in zip(curve, sorted({c for c, _ in cases}, reverse=True), strict=True):
        answered = [right for c, right in cases if c >= confidence]
        assert coverage == pytest.approx(len(answered) / len(cases), abs=1e-4)
        assert risk == pytest.approx(answered.count(False) / len(answered), abs=1e-4)


def test_questions_are_grouped_by_language_pair_and_kind() -> None:
    records = [
        _record("a", language="ru", articles=("en", "ru")),
        _record("b", language="ru", articles=("en", "de")),
        _record("c", articles=("en",)),
        _record("d", articles=(), status="abstained"),
    ]
    assert {name: [record.id for record in members] for name, members in groups(records).items()} == {
        "all": ["a", "b", "c", "d"],
        "language en": ["d", "c"],
        "language ru": ["b", "a"],
        "pair en→en": ["c"],
        "pair ru→en": ["b"],
        "pair ru→ru": ["a"],
        "kind number": ["a", "b", "c"],
        "kind unanswerable": ["d"],
    }
    assert groups([]) == {}


def test_an_interval_draws_all_questions_about_an_article_together() -> None:
    same = replace(RECORD.evidence[0], uri="https://ex.org/same")
    apart = [_record(str(n), is_right=n % 2 == 0) for n in range(40)]
    together = [replace(record, evidence=(same,)) for record in apart]
    wide = next(f for f in figures(apart) if f.figure == "containment")
    whole = next(f for f in figures(together) if f.figure == "containment")
    assert wide.value == 0.5 and wide.low is not None and wide.high is not None
    assert wide.high - wide.low == pytest.approx(2 * 1.96 * 0.5 / math.sqrt(40), rel=0.15)
    assert (whole.low, whole.value, whole.high) == (None, 0.5, None)  # of one article nothing can be drawn


@pytest.mark.parametrize(("articles", "is_told"), [(9, False), (10, True)])
def test_there_is_no_interval_where_too_few_articles_are_asked_about(articles: int, is_told: bool) -> None:
    records = [_record(str(n), is_right=n % 2 == 0) for n in range(articles)]
    found = next(f for f in figures(records) if f.figure == "containment")
    assert (found.low is not None) == (found.high is not None) == is_told
    shown = next(line for line in table(summarise(records)).splitlines() if line.startswith("containment "))
    assert ("[" in shown) == is_told


def test_where_all_questions_come_out_alike_the_interval_is_wilsons() -> None:
    found = {f.figure: f for f in figures([_record(str(n)) for n in range(20)])}["containment"]
    assert found.value == found.high == 1
    assert found.low == pytest.approx(1 / (1 + 1.96**2 / 20), abs=1e-4)


def test_the_same_records_give_the_same_summary_and_it_is_json() -> None:
    records = [
        _record(str(n), is_right=n % 3 > 0, status=status, confidence=n / 20, articles=("en",) if n % 4 else ())
        for n, status in enumerate(["answered", "abstained", "failed", "partial"] * 5)
    ]
    written = json.dumps(summarise(records), allow_nan=False)
    assert json.dumps(summarise(records), allow_nan=False) == written
    for figure in json.loads(written)["figures"]:
        assert figure["low"] is figure["high"] is None or 0 <= figure["low"] <= figure["high"] <= 1
        assert 0 <= figure["value"] <= 1 and figure["count"] > 0


def test_stages_take_their_median_and_their_95th_percentile() -> None:
    records = [replace(_record(str(n)), timings={"total_ms": float(n)}) for n in range(101)]
    records[0] = replace(records[0], timings={"total_ms": 0.0, "rewrite_ms": 7.25})
    assert summarise(records)["stages"] == [
        {"stage": "total", "p50_ms": 50.0, "p95_ms": 95.0},
        {"stage": "rewrite", "p50_ms": 7.2, "p95_ms": 7.2},
    ]


def test_the_table_has_each_figure_over_all_questions_once() -> None:
    records = [_record("a"), _record("b", is_right=False, language="ru"), _record("c", articles=(), status="abstained")]
    header, *lines = table(summarise(records)).splitlines()
    assert header.split() == ["value", "95", "%", "interval", "questions"]
    given = [figure for figure in figures(records) if figure.group == "all"]
    assert [line.split()[0] for line in lines] == [figure.figure for figure in given]
    row = next(line for line in lines if line.startswith("containment "))
    assert row.split() == ["containment", "0.500", "2"], "two articles give no interval"


# Two runs

RUN: dict[str, Any] = {
    "gold": {"name": "gold.jsonl", "sha256": "9f2c", "questions": 3, "left_out": []},
    "index": {"folder": "index", "articles": 3, "fingerprint": "a3f0"},
    "settings": {"passages": 16, "llm": ""},
    "versions": {"python": "3.11.2"},
}


def _run(folder: Path, records: Sequence[Record], run: dict[str, Any] = RUN) -> Path:
    folder.mkdir()
    write_json(folder / "run.json", run)
    (folder / "records.jsonl").write_text("".join(map(line_of, records)), "utf-8")
    return folder


def _rows(told: str) -> dict[str, list[str]]:
    """Give the cells of each figure's row."""
    return {cells[0]: cells[1:] for line in told.splitlines() if (cells := line.split()) and cells[0] in RATIOS}


QUESTIONS = [_record(f"q-{n:02}", is_right=n % 2 == 0) for n in range(30)]


def test_the_same_run_differs_in_nothing(tmp_path: Path) -> None:
    told = compare(_run(tmp_path / "a", QUESTIONS), _run(tmp_path / "b", QUESTIONS))
    rows = _rows(told)
    assert rows["containment"] == ["0.500", "0.500", "+0.000", "[+0.000,", "+0.000]"]
    assert {tuple(row[2:]) for row in rows.values()} == {("+0.000", "[+0.000,", "+0.000]")}
    assert "30 questions\n" in told and "They differ" not in told
    assert "0 became right\n" in told and told.endswith("0 became wrong")


def test_one_question_that_turned_is_named_and_may_be_chance(tmp_path: Path) -> None:
    changed = [_record("q-01"), *(record for record in QUESTIONS if record.id != "q-01")]  # in another order
    told = compare(_run(tmp_path / "a", QUESTIONS), _run(tmp_path / "b", changed))
    assert _rows(told)["containment"][:3] == ["0.500", "0.533", "+0.033"]
    assert _rows(told)["containment"][-1] != "*"
    assert _rows(told)["recall@1"] == ["1.000", "1.000", "+0.000", "[+0.000,", "+0.000]"]
    assert "1 became right:\n  q-01: What does it cost? (q-01)\n    40 [1]" in told
    assert told.endswith("0 became wrong")
    back = compare(tmp_path / "b", tmp_path / "a")
    assert _rows(back)["containment"][:3] == ["0.533", "0.500", "-0.033"]
    assert "0 became right\n" in back and "1 became wrong:\n  q-01: What does it cost? (q-01)\n    50 [1]" in back


def test_many_that_turned_are_more_than_chance_and_not_all_named(tmp_path: Path) -> None:
    worse = [_record(record.id, is_right=False) for record in QUESTIONS]
    better = [_record(record.id) for record in QUESTIONS]
    told = compare(_run(tmp_path / "a", better), _run(tmp_path / "b", worse))
    assert _rows(told)["containment"] == ["1.000", "0.000", "-1.000", "[-1.000,", "-1.000]", "*"]
    assert "30 became wrong:\n  q-00" in told and "  q-19" in told and "  q-20" not in told
    assert told.endswith("  … and 10 more")


def test_questions_that_only_one_run_asked_or_with_other_gold_are_left_out(tmp_path: Path) -> None:
    same, reworded, regraded, requoted, older, only_a, only_b = QUESTIONS[:7]
    quote = replace(requoted.evidence[0], quote="other")
    moved = replace(same, evidence=(replace(same.evidence[0], uri="file:///elsewhere", start=5, end=14),))
    a = [same, reworded, regraded, requoted, older, only_a]
    b = [
        moved,
        replace(reworded, question="What?"),
        replace(regraded, answers=("41",)),
        replace(requoted, evidence=(quote,)),
        replace(older, history=("What is it?",)),
        only_b,
    ]
    told = compare(_run(tmp_path / "a", a), _run(tmp_path / "b", b))
    assert told.splitlines()[0].endswith("; 1 questions, 6 left out")


def test_what_else_differs_is_told(tmp_path: Path) -> None:
    other = {
        **RUN,
        "gold": {**RUN["gold"], "name": "elsewhere/gold.jsonl"},
        "index": {**RUN["index"], "folder": "other", "fingerprint": "b7"},
        "settings": {"passages": 8, "llm": "", "per_article": 3},
    }
    told = compare(_run(tmp_path / "a", QUESTIONS), _run(tmp_path / "b", QUESTIONS, other))
    assert (
        "They differ in\n"
        "  index.fingerprint: 'a3f0' in A, 'b7' in B\n"
        "  settings.passages: 16 in A, 8 in B\n"
        "  settings.per_article: None in A, 3 in B\n\n"
    ) in told


def test_folders_without_a_run_are_refused(tmp_path: Path) -> None:
    good = _run(tmp_path / "good", QUESTIONS)
    empty, broken, lone, other = (tmp_path / name for name in ("empty", "broken", "lone", "other"))
    empty.mkdir()
    _run(broken, QUESTIONS)
    (broken / "records.jsonl").write_text("{}\n")
    _run(lone, QUESTIONS)
    (lone / "run.json").unlink()
    _run(other, [_record("another")])
    for folder, why in (
        (tmp_path / "missing", "holds no run"),
        (empty, "holds no run"),
        (broken, "line 1: not a record"),
        (lone, r"run\.json"),
        (other, "no question in common"),
    ):
        for pair in ((good, folder), (folder, good)):
            with pytest.raises(BadRequest, match=why):
                compare(*pair)


def test_differences_are_paired_and_turn_with_the_runs() -> None:
    chance = np.random.default_rng(3)
    before, after = (
        [
            _record(
                str(n),
                is_right=bool(chance.integers(2)),
                status=str(chance.choice(["answered", "abstained"])),
                articles=("en",) if n % 4 else (),
            )
            for n in range(60)
        ]
        for _ in range(2)
    )
    there, back = differences(before, after), differences(after, before)
    assert set(there) == set(back) >= {"recall@1", "containment", "refusal_f1", "f1_if_answered"}
    for name, (old, new, change) in there.items():
        assert change.value == pytest.approx(new - old)
        assert change.low <= change.value <= change.high
        assert asdict(back[name][2]) == pytest.approx(
            {"value": -change.value, "low": -change.high, "high": -change.low, "count": back[name][2].count}
        )
