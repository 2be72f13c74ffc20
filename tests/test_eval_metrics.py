"""Measures by values worked out by hand."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from eval.curve import risk_coverage_svg
from eval.metrics import (
    area_under_risk,
    auroc,
    estimate,
    exact_match,
    mean_of,
    normalise,
    operating_points,
    token_f1,
)
from eval.squad import read_squad


@pytest.mark.parametrize(
    ("text", "language", "words"),
    [
        ("The «Denver» Broncos!", "en", ["denver", "broncos"]),
        ("der Rhein-Main, die Ruhr", "de", ["der", "rheinmain", "die", "ruhr"]),
        ("¿Cuántos? $1,5", "es", ["cuántos", "1.5"]),
        ("8.900, 9 640, 1,234,567: 3.1", "de", ["8900", "9640", "1234567", "3.1"]),
        ("am 31.05.2024", "de", ["am", "31052024"]),
        ("ฝนตก 3 วัน", "th", [*"ฝนตก", "3", *"วัน"]),
        ("東京タワー", "ja", [*"東京タワー"]),
        ("卡罗莱纳黑豹队，308分", "zh", ["卡", "罗", "莱", "纳", "黑", "豹", "队", "308", "分"]),
        ("Anna and another", "en", ["anna", "and", "another"]),  # an article is a word of its own
        ("The, —", "en", []),
    ],
)
def test_words_to_compare(text: str, language: str, words: list[str]) -> None:
    assert normalise(text, language) == words


def test_an_exact_match_looks_past_case_punctuation_and_articles() -> None:
    assert exact_match("the Broncos.", ["Panthers", "Broncos"], "en") == 1
    assert exact_match("Denver Broncos", ["Broncos"], "en") == 0
    assert exact_match("die Broncos", ["Broncos"], "de") == 0


def test_f1_is_of_the_words_shared_with_the_best_of_the_right_answers() -> None:
    # two of three words and two of two: precision 2/3, recall 1
    assert token_f1("the mighty Denver Broncos", ["Denver Broncos", "Panthers"], "en") == pytest.approx(0.8)
    assert token_f1("to be", ["to be or not to be"], "en") == pytest.approx(2 * 1 * (2 / 6) / (1 + 2 / 6))
    assert token_f1("to to", ["to be"], "en") == pytest.approx(0.5)  # a word counts as often as both have it
    assert token_f1("豹队", ["黑豹队"], "zh") == pytest.approx(0.8)
    assert token_f1("Panthers", ["Broncos"], "en") == 0
    assert token_f1("", ["Broncos"], "en") == token_f1("Broncos", [], "en") == 0


def test_auroc_counts_pairs_and_ties_half() -> None:
    # positives 3, 1; negatives 2, 1: 3>2, 3>1, 1<2, 1=1
    assert auroc(np.array([3.0, 1, 2, 1]), np.array([True, True, False, False])) == pytest.approx(2.5 / 4)
    assert auroc(np.array([1.0, 2, 3]), np.array([False, False, True])) == 1
    assert auroc(np.array([5.0, 5, 5]), np.array([False, True, True])) == 0.5
    assert math.isnan(auroc(np.array([1.0, 2]), np.array([True, True])))


def test_a_threshold_answers_what_reaches_it() -> None:
    confidence, right = np.array([0.9, 0.5, 0.4, 0.1]), np.array([True, False, True, False])
    low, middle, high = operating_points(confidence, right, (0.1, 0.5, 0.95))
    assert (low.coverage, low.precision) == (1, 0.5)
    assert (middle.coverage, middle.precision) == (0.5, 0.5)
    assert high.coverage == 0 and math.isnan(high.precision)


def test_the_area_is_the_mean_risk_over_all_coverages() -> None:
    right = np.array([True, False, True, False])
    # risks when answering 1, 2, 3, 4 of them: 0, 1/2, 1/3, 1/2
    assert area_under_risk(np.array([0.9, 0.5, 0.4, 0.1]), right) == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    assert area_under_risk(np.array([0.9, 0.1, 0.8, 0.0]), right) == pytest.approx((0 + 0 + 1 / 3 + 1 / 2) / 4)
    assert area_under_risk(np.full(4, 0.3), right) == pytest.approx(0.5)


def test_an_interval_draws_whole_clusters() -> None:
    found = estimate(mean_of([1, 1, 1, 0]), [5, 5, 5, 9])
    # two clusters drawn: both the first (mean 1), both the second (0), or one of each (3/4)
    assert (found.value, found.low, found.high, found.count) == (0.75, 0, 1, 4)
    assert estimate(mean_of([1, 0]), [3, 3]).low == 0.5  # one cluster is always drawn whole


def test_an_interval_is_that_of_the_mean_and_the_same_each_time() -> None:
    values = [float(n % 2) for n in range(400)]
    found = estimate(mean_of(values), range(400))
    assert found.value == 0.5
    assert found.high - found.low == pytest.approx(2 * 1.96 * 0.5 / math.sqrt(400), rel=0.15)
    assert estimate(mean_of(values), range(400)) == found
    assert str(estimate(mean_of([1, 1]), [0, 1])) == "1.000 [1.000, 1.000]"


def test_a_question_set_has_answers_and_articles(tmp_path: Path) -> None:
    def paragraph(text: str, *answers: str) -> dict[str, object]:
        qas = [
            {"id": a, "question": f"{a}?", "answers": [{"text": a, "answer_start": text.index(a)}] * 2} for a in answers
        ]
        return {"context": text, "qas": qas}

    data = [{"paragraphs": [paragraph("a b", "a", "b"), paragraph("c", "c")]}, {"paragraphs": [paragraph("d", "d")]}]
    path = tmp_path / "set.json"
    path.write_text(json.dumps({"data": data}))
    found = read_squad(path)
    assert found.gold == [0, 0, 1, 2]
    assert found.answers == [("a",), ("b",), ("c",), ("d",)]
    assert found.articles == [0, 0, 1]


def test_a_risk_coverage_curve_falls_where_the_sure_answers_are_right_and_loads_nothing() -> None:
    confidence = np.linspace(1, 0, 40)
    right = np.arange(40) < 20
    svg = risk_coverage_svg({"all <b>": (confidence, right)}, [(0.5, 0.0, "from 0.5 on")])
    points = re.search(r'points="([^"]+)"', svg)
    assert points is not None
    heights = [float(point.split(",")[1]) for point in points.group(1).split()]
    assert len(heights) == 31 and heights == sorted(heights, reverse=True) and heights[0] == heights[10] > heights[-1]
    assert "all &lt;b&gt;" in svg and "from 0.5 on" in svg and "href" not in svg and "url(" not in svg
