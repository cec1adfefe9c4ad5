"""Requests that came before with another outcome: equal text, equal models, another verdict.

They are kept, since both verdicts were given; they are counted, since no score can predict both.
Unlike the keys of the split (:mod:`difficulty.traffic.duplicates`) the instructions count as text
here: the same question with other tools on offer is another request.
"""

from __future__ import annotations

from difficulty.records import Sample
from difficulty.traffic.fingerprint import comparable_text, text_hash

_OUTCOMES = ("cheap_quality", "frontier_quality", "cheap_passed", "preference")


class Contradictions:
    """Count the samples of a stream that contradict an earlier one.

    Attributes
    ----------
    count : int
        Samples of which an outcome differs from the one that was known first of the same request
        and models.
    """

    def __init__(self) -> None:
        self.count = 0
        self._first: dict[bytes, tuple[object, ...]] = {}

    def add(self, sample: Sample) -> None:
        """Look at the next sample."""
        key, outcomes = _key(sample), tuple(getattr(sample, name) for name in _OUTCOMES)
        before = self._first.setdefault(key, outcomes)
        pairs = list(zip(before, outcomes, strict=True))
        self.count += any(None not in pair and pair[0] != pair[1] for pair in pairs)
        self._first[key] = tuple(old if old is not None else new for old, new in pairs)


def _key(sample: Sample) -> bytes:
    """Return 16 bytes that stand for the text of all messages and the two models."""
    text = comparable_text(("user", message.content) for message in sample.messages)
    return bytes.fromhex(text_hash(f"{sample.cheap_model}\n{sample.frontier_model}\n{text}"))
