import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from eval import gate
from eval.gate import GATED, Gated, gated, main, moved, read_floors
from eval.records import Piece, Record

RIGHT = {name: 1.0 for name in GATED if name != "refusal_f1"}


def _record(number: int, scores: Mapping[str, float], status: str = "answered") -> Record:
    return Record(
        id=f"q{number}",
        question="Who signed it?",
        language="en",
        kind="fact",
        history=(),
        answers=("Ada",),
        evidence=(Piece(f"file:///{number}.txt", "en", 0, 3, "Ada"),),
        needs=((0,),),
        standalone="Who signed it?",
        status=status,
        confidence=0.9,
        answerer="reader",
        text="Ada [1]",
        short="Ada",
        found=(),
        cited=(),
        first=None,
        timings={},
        scores=dict(scores),
    )


def _refused(number: int) -> Record:
    """Give an unanswerable question that was refused, as it should be."""
    return replace(_record(number, {"right": 1.0}, "abstained"), kind="unanswerable", evidence=(), needs=())


def _records(right: int, total: int = 40, **others: float) -> list[Record]:
    """Give answerable questions, the first of them right in all, and ten unanswerable ones that were refused."""
    wrong = {**RIGHT, "recall@1": 0.0, **others}
    asked = [_record(n, RIGHT if n < right else wrong) for n in range(total)]
    return [*asked, *map(_refused, range(total, total + 10))]


@pytest.fixture
def baseline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "baseline.json"
    monkeypatch.setattr(gate, "BASELINE", path)
    return path


def _write(path: Path, **floors: float) -> None:
    path.write_text(json.dumps({"floors": {**dict.fromkeys(GATED, 1.0), **floors}}))


def _floor(path: Path, name: str) -> float:
    return float(json.loads(path.read_text())["floors"][name])


def _gate(monkeypatch: pytest.MonkeyPatch, records: Sequence[Record], *arguments: str) -> str:
    """Run the gate over records; give the message that it fails with, if it does."""
    monkeypatch.setattr(gate, "ask", lambda: list(records))
    try:
        main(arguments)
    except SystemExit as stop:
        assert isinstance(stop.code, str), "the exit status is 1 because of a message"
        return stop.code
    return ""


# Figures, margins and verdicts


def test_a_figure_may_fall_by_what_two_questions_weigh_and_no_further() -> None:
    for total in range(10, 120):
        for right in (total, total - 1, total // 2):
            floors = {f.name: f.value for f in gated(_records(right, total), {})}
            fell = {
                lost: next(f for f in gated(_records(right - lost, total), floors) if f.name == "recall@1").fell
                for lost in (0, 1, 2, 3)
            }
            assert fell == {0: False, 1: False, 2: False, 3: True}, f"{right} of {total}"


def test_every_figure_has_a_value_a_floor_and_a_verdict() -> None:
    floors = {"recall@1": 0.5, "recall@5": 1.0, "containment": 1.0}
    by_name = {f.name: f for f in gated(_records(30, containment=0.0), floors)}
    assert tuple(by_name) == GATED
    assert by_name["recall@1"].value == 0.75 and by_name["recall@1"].verdict == "rose"
    assert by_name["recall@5"].verdict == "holds" and by_name["containment"].verdict == "FELL"
    assert by_name["refusal_f1"].value == 1.0 and by_name["refusal_f1"].verdict == "new"
    assert by_name["recall@1"].margin == 2 / 40  # of 40 questions that count


def test_one_refusal_weighs_more_in_an_f1() -> None:
    records = [
        *_records(40),
        *(_record(n, RIGHT, "abstained") for n in range(90, 95)),
    ]
    refusal = next(f for f in gated(records, {}) if f.name == "refusal_f1")
    assert refusal.value == round(2 * 10 / (15 + 10), 4) and refusal.margin == round(2 * 2 / 25, 4)


def test_a_quote_that_is_not_verbatim_is_never_noise() -> None:
    records = [*_records(40)[:-1], _record(99, {**RIGHT, "verbatim": 0.99})]
    verbatim = next(f for f in gated(records, {"verbatim": 1.0}) if f.name == "verbatim")
    assert verbatim.margin == 0
    assert not verbatim.fell, "less than rounding is no fall"
    records[-1] = _record(99, {**RIGHT, "verbatim": 0.5})
    assert next(f for f in gated(records, {"verbatim": 1.0}) if f.name == "verbatim").fell


def test_a_figure_without_a_value_has_fallen() -> None:
    figure = Gated("f1", math.nan, 0.8, 0.02)
    assert figure.fell and figure.verdict == "FELL"
    assert Gated("f1", 0.8, 0.8, math.nan).fell


# Floors


def test_floors_rise_only_when_asked_to_and_never_fall_by_it() -> None:
    rose, holds, fell = Gated("recall@1", 0.9, 0.8, 0.1), Gated("f1", 0.75, 0.8, 0.1), Gated("mrr@10", 0.1, 0.8, 0.1)
    new = Gated("containment", 0.7, None, 0.1)
    figures = [rose, holds, fell, new]
    assert moved(figures, is_raising=False, lowered=()) == {}
    assert moved(figures, is_raising=True, lowered=()) == {"recall@1": 0.9, "containment": 0.7}
    assert moved(figures, is_raising=False, lowered=["mrr@10"]) == {"mrr@10": 0.1}


def test_the_gate_passes_where_all_holds_and_writes_nothing(
    baseline: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _write(baseline, **{"recall@1": 0.9})
    before = baseline.read_bytes()
    assert _gate(monkeypatch, _records(40)) == ""
    assert baseline.read_bytes() == before
    shown = capsys.readouterr().out
    assert "rose" in shown and "holds" in shown and "FELL" not in shown


def test_the_gate_fails_by_name_where_a_figure_fell(baseline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(baseline)
    before = baseline.read_bytes()
    message = _gate(monkeypatch, _records(30))
    assert message.startswith("below the floor: recall@1.") and "--lower recall@1" in message
    assert baseline.read_bytes() == before


def test_raising_writes_what_rose_and_keeps_the_rest(baseline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(baseline, **{"recall@1": 0.8, "recall@5": 0.7})
    assert _gate(monkeypatch, _records(30), "--raise") == ""
    assert _floor(baseline, "recall@5") == 1.0, "it rose"
    assert _floor(baseline, "recall@1") == 0.8, "it is at .75, within the margin, and its floor stays"
    _write(baseline, **{"recall@5": 0.7})
    assert "recall@1" in _gate(monkeypatch, _records(30), "--raise"), "what fell still fails"
    assert (_floor(baseline, "recall@1"), _floor(baseline, "recall@5")) == (1.0, 1.0)


def test_only_a_floor_that_is_named_is_lowered(baseline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(baseline)
    records = _records(20, containment=0.0)
    assert "below the floor: containment." in _gate(monkeypatch, records, "--lower", "recall@1")
    assert (_floor(baseline, "recall@1"), _floor(baseline, "containment")) == (0.5, 1.0)
    assert _gate(monkeypatch, records, "--lower", "containment") == ""


def test_no_other_figure_can_be_lowered(baseline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--lower", "recall@10"])
    assert stop.value.code == 2 and "recall@10" in capsys.readouterr().err


def test_without_floors_the_gate_fails_until_they_are_written(baseline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _gate(monkeypatch, _records(30)).startswith("without a floor: recall@1, ")
    assert not baseline.exists()
    assert _gate(monkeypatch, _records(30), "--raise") == ""
    assert read_floors(baseline) == {f.name: f.value for f in gated(_records(30), {})}
    assert _gate(monkeypatch, _records(30)) == ""


def test_a_floor_that_is_missing_is_not_written_by_itself(baseline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    baseline.write_text(json.dumps({"floors": {name: 1.0 for name in GATED if name != "recall@1"}}))
    assert _gate(monkeypatch, _records(1)) == "without a floor: recall@1. Write it with --raise"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"floors": [1]}',
        '{"floors": {"f1": "high"}}',
        '{"floors": {"f1": null}}',
        '{"floors": {"f1": NaN}}',
        '{"floors": {"f1": 96.5}}',
        '{"floors": {"recal@1": 0.9}}',
        '{"floors": {"f1": 0.9}',
    ],
)
def test_a_broken_baseline_stops_the_gate_before_anything_is_asked(
    text: str, baseline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    baseline.write_text(text)

    def ask() -> list[Record]:
        raise AssertionError("asked")

    monkeypatch.setattr(gate, "ask", ask)
    with pytest.raises(SystemExit, match=r"baseline\.json is not"):
        main(["--raise"])
    assert baseline.read_text() == text
