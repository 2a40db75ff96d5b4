"""How numbers and times read on every page."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from hemix.components.evaluate.results import Interval
from hemix.serving.experiments.results import MetricResult
from hemix.verdict import Check

MISSING = "–"


def count(value: float | None) -> str:
    """``12,345``."""
    return MISSING if value is None else f"{value:,.0f}"


def big(value: float) -> str:
    """``1.2 M``, ``830 k``, ``412``."""
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g} {letter}"
    return f"{value:.0f}"


def percent(value: float | None, digits: int = 1) -> str:
    """``44.2 %``."""
    return MISSING if value is None else f"{100 * value:.{digits}f} %"


def number(value: float | None) -> str:
    """Four decimals; whole numbers without, very small ones as ``3e-08``."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value == round(value):
        text = f"{value + 0.0:,.0f}"  # no minus before zero
    elif abs(value) >= 1000:
        text = f"{value:,.1f}"
    else:
        text = f"{value:.4f}" if abs(value) >= 0.0005 else f"{value:.2g}"
    return text.replace("-", "−", 1) if value < 0 else text


def brief(value: float | None) -> str:
    """Three digits, or thousands: ``0.083``, ``29``, ``1,204``."""
    if value is None or value != value:
        return MISSING
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def level(value: float | None) -> str:
    """Four significant places: ``0.4213``, ``12.5``."""
    if value is None:
        return MISSING
    text = f"{value:,.1f}" if abs(value) >= 10 else f"{value:.4f}"
    return text.replace("-", "−")


def effect(value: float | None, result: MetricResult) -> str:
    """``+1.23 %`` on a relative scale, ``+0.0123`` on an absolute one; an open end is ``–``."""
    if value is None:
        return MISSING
    text = f"{100 * value:+.2f} %" if result.metric.scale == "relative" else f"{value:+.4f}"
    return text.replace("-", "−")


def limit(value: float) -> str:
    """A threshold as it was written: no zeros behind."""
    return f"{value:g}".replace("-", "−", 1) if value < 0 else f"{value:g}"


def metric(value: float | None) -> str:
    """A metric with four decimals."""
    return MISSING if value is None else f"{value:.4f}"


def signed(value: float | None) -> str:
    """A difference with its sign: ``+0.0123``, with a true minus."""
    return MISSING if value is None else f"{value:+.4f}".replace("-", "−")


def span(interval: Interval) -> str:
    """``low – high``; empty when the interval is undefined."""
    if interval.low is None or interval.high is None:
        return ""
    return f"{metric(interval.low)} – {metric(interval.high)}"


def signed_span(interval: Interval) -> str:
    """The interval of a difference: ``[+0.0142, +0.0174]``."""
    if interval.low is None or interval.high is None:
        return ""
    return f"[{signed(interval.low)}, {signed(interval.high)}]"


def threshold(check: Check) -> str:
    """``≥ 0.6``, ``≤ 50``, ``0.8 to 1.25``, ``= 0``."""
    if check.threshold is None:
        return MISSING
    if isinstance(check.threshold, tuple):
        return f"{limit(check.threshold[0])} to {limit(check.threshold[1])}"
    sign = {"at_least": "≥", "at_most": "≤"}.get(check.direction, "=")
    return f"{sign} {limit(check.threshold)}"


def seconds(value: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min 20 s``."""
    if value < 60:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    return f"{int(value // 60)} min {int(value % 60)} s"


def day(value: datetime | str) -> str:
    """``25 Apr 2022``, with the hour when it is not midnight (UTC)."""
    if not value:
        return MISSING
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    clock = "" if (moment.hour, moment.minute) == (0, 0) else f" {moment:%H:%M}"
    return f"{moment:%-d %b %Y}{clock}"


def moment(value: int | None) -> str:
    """``1 May 2022 07:12`` (UTC) of Unix milliseconds."""
    if value is None:
        return MISSING
    return f"{datetime.fromtimestamp(value / 1000, UTC):%-d %b %Y %H:%M}"


def words(value: str) -> str:
    """``user_activity`` as ``user activity``."""
    return value.replace("_", " ")


def short(value: str) -> str:
    """The first twelve characters of a digest."""
    return value[:12]


FILTERS: dict[str, Any] = {
    name: function
    for name, function in list(globals().items())
    if callable(function) and getattr(function, "__module__", "") == __name__
}
