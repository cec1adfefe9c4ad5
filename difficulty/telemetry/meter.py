"""Counters, gauges and histograms of a process, and their Prometheus text.

Format 0.0.4, which every version of Prometheus and its relatives reads:
https://prometheus.io/docs/instrumenting/exposition_formats.
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Of the text, for an HTTP answer."""
MOST_SERIES = 500
"""Of a family. What comes with further labels is counted under ``other``: a series costs memory
here and in every database that reads it, and some labels are names that others choose.
"""
OTHER = "other"


# By identity: a hash of all fields would cost each count more than the counting.
@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """Series of one name, told apart by their labels; a constant of a module.

    Attributes
    ----------
    name : str
        With its unit, and ``_total`` at the end of a counter.
    kind : {"counter", "gauge", "histogram"}
    meaning : str
        A sentence for people.
    labels : tuple of str
    bounds : tuple of float
        Upper ends of a histogram's buckets, ascending; above the last one is a bucket without end.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    meaning: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


class Recorder(Protocol):
    """What counts: :class:`Meter`, or OpenTelemetry's instruments."""

    def add(self, family: Family, *labels: str, amount: float = 1.0) -> None:
        """Add to a counter."""

    def observe(self, family: Family, value: float, *labels: str) -> None:
        """Put a value into a histogram."""


@dataclass(slots=True)
class _Spread:
    """The values of one series of a histogram."""

    counts: list[float]
    total: float = 0.0


class Meter:
    """Count from any thread, and write all of it as text.

    Labels are given in the order of the family. A value that is no number is left out.

    Examples
    --------
    >>> asked = Family("asked_total", "counter", "Requests.", ("route",))
    >>> meter = Meter()
    >>> meter.add(asked, "cheap")
    >>> print(meter.text(), end="")
    # HELP asked_total Requests.
    # TYPE asked_total counter
    asked_total{route="cheap"} 1
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[Family, dict[tuple[str, ...], float]] = {}
        self._spreads: dict[Family, dict[tuple[str, ...], _Spread]] = {}

    def add(self, family: Family, *labels: str, amount: float = 1.0) -> None:
        """Add to a counter."""
        if not math.isfinite(amount) or amount < 0.0:
            return
        with self._lock:
            series = self._values.setdefault(family, {})
            key = _place(series, labels)
            series[key] = series.get(key, 0.0) + amount

    def put(self, family: Family, value: float | None, *labels: str) -> None:
        """Set a gauge, or a counter that another one kept."""
        if value is None or not math.isfinite(value):
            return
        with self._lock:
            series = self._values.setdefault(family, {})
            series[_place(series, labels)] = value

    def clear(self, family: Family) -> None:
        """Forget all series of a gauge."""
        with self._lock:
            self._values.pop(family, None)

    def observe(self, family: Family, value: float, *labels: str) -> None:
        """Put a value into a histogram."""
        if not math.isfinite(value):
            return
        place = bisect_left(family.bounds, value)  # a bucket holds its upper end
        with self._lock:
            spread = self._spread(family, labels)
            spread.counts[place] += 1.0
            spread.total += value

    def fill(self, family: Family, counts: Sequence[float], total: float, *labels: str) -> None:
        """Add values that were sorted already: how many in each bucket, and their sum."""
        with self._lock:
            spread = self._spread(family, labels)
            spread.counts = [had + more for had, more in zip(spread.counts, counts, strict=True)]
            spread.total += total

    def _spread(self, family: Family, labels: tuple[str, ...]) -> _Spread:
        series = self._spreads.setdefault(family, {})
        key = _place(series, labels)
        if key not in series:
            series[key] = _Spread([0.0] * (len(family.bounds) + 1))
        return series[key]

    def text(self) -> str:
        """Return all series in Prometheus' text format, families in the order of their names."""
        with self._lock:
            lines = [
                (family.name, list(_value_lines(family, series)))
                for family, series in self._values.items()
            ]
            lines += [
                (family.name, list(_spread_lines(family, series)))
                for family, series in self._spreads.items()
            ]
        return "".join(f"{line}\n" for _, part in sorted(lines) for line in part)


def _place(series: Mapping[tuple[str, ...], object], labels: tuple[str, ...]) -> tuple[str, ...]:
    if labels in series or len(series) < MOST_SERIES:
        return labels
    return (OTHER,) * len(labels)


def _head(family: Family) -> Iterator[str]:
    meaning = family.meaning.replace("\\", r"\\").replace("\n", r"\n")
    yield f"# HELP {family.name} {meaning}"
    yield f"# TYPE {family.name} {family.kind}"


def _value_lines(family: Family, series: dict[tuple[str, ...], float]) -> Iterator[str]:
    yield from _head(family)
    for labels, value in sorted(series.items()):
        yield f"{family.name}{_labelled(zip(family.labels, labels, strict=True))} {_number(value)}"


def _spread_lines(family: Family, series: dict[tuple[str, ...], _Spread]) -> Iterator[str]:
    yield from _head(family)
    for labels, spread in sorted(series.items(), key=lambda entry: entry[0]):
        pairs = list(zip(family.labels, labels, strict=True))
        below = 0.0
        for bound, count in zip((*family.bounds, math.inf), spread.counts, strict=True):
            below += count
            end = _labelled([*pairs, ("le", _number(bound))])
            yield f"{family.name}_bucket{end} {_number(below)}"
        yield f"{family.name}_sum{_labelled(pairs)} {_number(spread.total)}"
        yield f"{family.name}_count{_labelled(pairs)} {_number(below)}"


def _labelled(pairs: Iterable[tuple[str, str]]) -> str:
    told = ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs)
    return f"{{{told}}}" if told else ""


def _escaped(value: str) -> str:
    # A lone surrogate is no text that could be sent.
    plain = value.encode("utf-8", "replace").decode("utf-8")
    return plain.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)
