"""What of some traffic a bundle was made from: its training and calibration samples, and those that
its threshold was chosen on.

Of the very traffic of its training a bundle finds the splits again. Of other traffic it knows texts
by ``seen.bin``; a bundle without that file knows nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from difficulty.bundle import Bundle
from difficulty.bundle.seen import Part
from difficulty.engine import LocalEngine
from difficulty.engine.threads import count_cores
from difficulty.evaluation.findings import may_be_chance
from difficulty.text import part_text
from difficulty.traffic.duplicates import bare_key, comparable_text
from difficulty.traffic.stored.splits import SplitNames
from difficulty.traffic.table import Traffic
from difficulty.views.wrapped import wrapped_ask

_MANY_ROWS = 32_768
"""From so many on other processes pay for their start."""
_LEFT_OUT = ("fit", "calibration", "aside")
CHOSE = "chose the threshold"
_REASONS: dict[Part, str] = {"training": "same text", "threshold": CHOSE}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BundleOverlap:
    """Which of n requests a bundle has seen."""

    bundle: str
    """Name and version."""
    seen: NDArray[np.bool_]
    """Shape (n,)."""
    splits: SplitNames | None = None
    """Split of each request in training; ``None`` where that was on other traffic."""
    counts: Mapping[str, int] | None = None
    """Requests that were seen, by how that is known; ``None``: not known."""
    by_chance: int | None = None
    """How many strangers the filters name among n requests, where those that were seen may all be
    such; ``None``: they are known to be seen.
    """

    strange: float = 0.0
    """Chance that a request which was never seen is named all the same; 0 where nothing is named
    by a filter.
    """

    @property
    def of_strangers(self) -> str:
        """How many strangers are named too, in words; empty where none can be."""
        if not self.strange:
            return ""
        return f"about 1 in {float(f'{1.0 / self.strange:.1g}'):,.0f} strangers looks so too"

    @property
    def left_out(self) -> int:
        """How many requests were seen, or look so."""
        return int(self.seen.sum())

    @property
    def warning(self) -> str | None:
        """What is wrong with the traffic: it holds requests that it should not."""
        if self.splits is not None or not self.left_out or self.by_chance is not None:
            return None
        reasons = ", ".join(f"{n:,} {name}" for name, n in (self.counts or {}).items() if n)
        return (
            f"{part_text(self.left_out, len(self.seen), 'request', 'was', 'were')} seen when"
            f" {self.bundle} was made ({reasons}"
            f"{f'; {self.of_strangers}' if self.of_strangers else ''}): left out. Traffic to"
            " judge by should hold none: see how it was drawn."
        )

    @property
    def note(self) -> str:
        """What is known of the overlap."""
        if self.splits is not None:
            return f"{self.bundle} was trained on this traffic: only its test samples count"
        if self.counts is None:
            return (
                f"{self.bundle} was trained on other traffic; whether single samples overlap is"
                " not known, as it has no seen.bin"
            )
        if self.warning:
            strangers = f" ({self.of_strangers})" if self.of_strangers else ""
            return (
                f"{self.bundle} has seen {self.left_out:,} of these samples: they are left out"
                f"{strangers}"
            )
        if self.left_out:
            return (
                f"{self.bundle} was trained on other traffic; {self.left_out:,} samples look seen"
                f" and are left out, and chance alone names about {self.by_chance:,}"
            )
        return f"{self.bundle} was trained on other traffic and saw none of these samples"


def overlap_of(
    bundle: Bundle, traffic: Traffic, *, parts: Sequence[Part] = ("training",)
) -> BundleOverlap:
    """Return which requests of some traffic a bundle has seen; of the traffic of its training those
    outside of the test split.

    Parameters
    ----------
    bundle : Bundle
    traffic : Traffic
    parts : sequence of {"training", "threshold"}
        What counts as seen. The choice of a threshold flatters figures at that threshold alone.
    """
    splits = training_splits(bundle, traffic)
    if splits is None:
        return _named(bundle, traffic, parts)
    counts = {f"{name} split": int((splits == name).sum()) for name in _LEFT_OUT}
    seen = splits != "test"
    chose = _named(bundle, traffic, [part for part in parts if part != "training"])
    # Of its own traffic little is to be named: what chance may have named stays in.
    if chose.left_out and chose.by_chance is None:
        counts |= {CHOSE: int((chose.seen & ~seen).sum())}
        seen |= chose.seen
    return BundleOverlap(bundle=bundle.label, seen=seen, splits=splits, counts=counts)


def threshold_rows(bundle: Bundle, traffic: Traffic, judged: Traffic) -> int | None:
    """Return how many of the judged requests of some traffic chose the threshold; ``None``: not
    known.
    """
    if any(one.part == "threshold" for one in bundle.seen or ()):
        chose = _named(bundle, judged, ["threshold"])
        return chose.left_out if chose.by_chance is None else 0
    chosen = bundle.policy.chosen
    # One hash is kept: it knows all of the judged requests, or of the file, and no part.
    certain = any(
        chosen.n == len(file) and chosen.calibration_data == hash_of_texts(file)
        for file in (judged, traffic)
    )
    return len(judged) if certain else None


def hash_of_texts(traffic: Traffic) -> str:
    """Return the hash by which a policy remembers the requests that its threshold was chosen on,
    whatever their order.
    """
    return joined_hash(traffic.text_hashes())


def joined_hash(text_hashes: Iterable[str]) -> str:
    """Return one hash of the hashes of texts, whatever their order."""
    return sha256("".join(sorted(text_hashes)).encode()).hexdigest()


def training_splits(bundle: Bundle, traffic: Traffic) -> SplitNames | None:
    """Return each sample's split in training; ``None`` where that was on other traffic."""
    manifest = bundle.manifest
    # The manifest remembers no samples, but how to split its own traffic again.
    if traffic.data_hash != manifest.training_data:
        return None
    return traffic.splits(manifest.split.fractions, manifest.split.seed)


def known_keys(traffic: Traffic) -> list[tuple[bytes, bytes]]:
    """Return the keys by which ``seen.bin`` knows each request: of its text, and of its ask where
    that stands on its own, else the same one again. Many are read by a process a core.
    """
    processes = count_cores() if len(traffic) >= _MANY_ROWS else 1
    blocks = LocalEngine(processes=processes).map_blocks(_open_keys, traffic.blocks("messages"))
    return list(chain.from_iterable(blocks))


def _open_keys() -> Callable[[Sequence[Sequence[Mapping[str, str]]]], list[tuple[bytes, bytes]]]:
    return _keys_of


def _keys_of(block: Sequence[Sequence[Mapping[str, str]]]) -> list[tuple[bytes, bytes]]:
    keys = []
    for messages in block:
        pairs = [(message["role"], message["content"]) for message in messages]
        key, ask = bare_key(comparable_text(pairs)), wrapped_ask(pairs)
        keys.append((key, key if ask is None else bare_key(comparable_text([("user", ask)]))))
    return keys


def _named(bundle: Bundle, traffic: Traffic, parts: Sequence[Part]) -> BundleOverlap:
    """Return what the bundle's filters name."""
    if bundle.seen is None:
        return BundleOverlap(bundle=bundle.label, seen=np.zeros(len(traffic), dtype=bool))
    filters = [one for one in bundle.seen if one.part in parts]
    if not filters:  # then no text has to be read
        nothing = np.zeros(len(traffic), dtype=bool)
        return BundleOverlap(bundle=bundle.label, seen=nothing, counts={}, by_chance=0)
    # One text asked often is named once or never, so chance is reckoned over different ones.
    both = list(chain.from_iterable(known_keys(traffic)))
    keys, places = np.unique(np.array(both, dtype=object), return_inverse=True)
    of_text, of_ask = places.reshape(-1, 2).T
    named, counts, strange = np.zeros(len(keys), dtype=bool), {}, 1.0
    for one in filters:
        new = one.holds(keys.tolist()) & ~named
        counts[_REASONS[one.part]] = int((new[of_text] | new[of_ask]).sum())
        named, strange = named | new, strange * (1.0 - one.chance)
    chance = 1.0 - strange
    is_chance = may_be_chance(int(named.sum()), len(keys), chance)
    return BundleOverlap(
        bundle=bundle.label,
        seen=named[of_text] | named[of_ask],
        counts=counts,
        by_chance=round(chance * len(of_text)) if is_chance else None,
        strange=chance,
    )
