"""Draw a risk-coverage curve as an SVG that loads nothing from elsewhere."""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from eval.metrics import Floats, Truths

_WIDTH, _HEIGHT = 640, 400
_LEFT, _TOP, _RIGHT, _BOTTOM = 64, 28, 150, 52  # margins
_COLOURS = ("#1b1b1f", "#1f6feb", "#c2410c", "#15803d", "#7e22ce", "#a16207")
_HIGHEST = 0.6  # of the risk axis
_FEWEST = 10  # answers that a point has to stand on


def risk_coverage_svg(curves: Mapping[str, tuple[Floats, Truths]], marks: Sequence[tuple[float, float, str]]) -> str:
    """Draw the share of wrong answers against the share of questions answered, the most confident first.

    Args:
        curves: by name, the confidence of each question's answer and whether it is right.
        marks: points to show, as coverage, risk and label.
    """
    parts = [_frame()]
    for number, (name, (confidence, right)) in enumerate(curves.items()):
        order = np.argsort(-confidence, kind="stable")
        counts = np.arange(1, len(order) + 1)
        risk = np.cumsum(~right[order]) / counts
        line = " ".join(
            f"{_x(c / len(order)):.1f},{_y(r):.1f}" for c, r in zip(counts, risk, strict=True) if c >= _FEWEST
        )
        colour, at = _COLOURS[number % len(_COLOURS)], _TOP + 16 + 20 * number
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="{2.5 - (number > 0)}"/>')
        parts.append(
            f'<path d="M{_WIDTH - _RIGHT + 14} {at - 4}h20" stroke="{colour}" stroke-width="2.5"/>'
            f'<text x="{_WIDTH - _RIGHT + 40}" y="{at}">{escape(name)}</text>'
        )
    for coverage, risk_there, label in marks:
        x, y = _x(coverage), _y(risk_there)
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{_COLOURS[0]}"/>')
        parts.append(f'<text x="{x:.1f}" y="{y - 9:.1f}" text-anchor="end">{escape(label)}</text>')
    inner = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'font-family="system-ui, sans-serif" font-size="13" role="img" aria-label="Risk-coverage curve">\n'
        f'<rect width="100%" height="100%" fill="#fff"/>\n{inner}\n</svg>\n'
    )


def _frame() -> str:
    lines = []
    for tenth in range(0, 11, 2):
        x = _x(tenth / 10)
        lines.append(f'<path d="M{x:.1f} {_TOP}V{_HEIGHT - _BOTTOM}" stroke="#ddd"/>')
        lines.append(f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{10 * tenth} %</text>')
    for tenth in range(int(10 * _HIGHEST) + 1):
        y = _y(tenth / 10)
        lines.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
        lines.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{10 * tenth} %</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    lines.append(f'<text x="{middle}" y="{_HEIGHT - 12}" text-anchor="middle">questions answered</text>')
    lines.append(f'<text transform="translate(16 {_HEIGHT / 2}) rotate(-90)" text-anchor="middle">wrong answers</text>')
    return "\n".join(lines)


def _x(coverage: float) -> float:
    return _LEFT + coverage * (_WIDTH - _RIGHT - _LEFT)


def _y(risk: float) -> float:
    return _HEIGHT - _BOTTOM - min(risk, _HIGHEST) / _HIGHEST * (_HEIGHT - _BOTTOM - _TOP)
