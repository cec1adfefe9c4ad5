"""The search for nearly equal texts: all at once, spread over the workers of an engine.

What is found follows from the texts and their order alone. It does not depend on what comes later,
nor on how many workers there are: texts, runs and keys have their places by number and by hash.

1. Each worker sorts the runs of its texts, window by window, and together they find from which text
   on a run is common.
2. Each text keeps its 128 smallest rare runs, and its 16 smallest go to the workers of their hash:
   two texts that meet at three of them are candidates. Of pairs that share just half of their runs
   one in 500 is missed by that (137 / 2**16), and a common phrase makes none.
3. The sketches of candidates meet where the later text is, and are compared.
4. Of texts that are made of common runs the same is done with runs of three times the length, where
   there are more than 16,384 texts: of long runs one in four stands for all.

Runs have hashes of 32 bits: from some fifty million different texts on, chance makes them common.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty.engine import Engine, HeldShards
from difficulty.traffic.near.common_runs import (
    N_BUCKETS,
    CommonRuns,
    Hashes,
    Rows,
    RunFile,
    RunShard,
    each_once,
    find_common,
)
from difficulty.traffic.near.likeness import (
    COMMON_TEXTS,
    LONG_ALIKE,
    LONG_KEYS,
    MOST_OF_A_BAG,
    MOSTLY,
    SKETCH,
    WHOLE_SKETCH,
    are_alike,
    may_be_alike,
)
from difficulty.traffic.near.sketch_file import KEY_BUCKETS, PairFile, Share, SketchFile, shares_of
from difficulty.traffic.near.text_lines import TextLines, written_line

LEAST_MET, LONG_MET = 3, 3
"""Keys that make two texts candidates, of the runs and of the long runs."""
LONG_FROM = 1 << 14
"""Texts before which none is compared by long runs: among so few hardly one is made of common ones
alone, and nearly all copies are found without.
"""
_PAIRS = 1 << 17  # candidates whose sketches are sent together: 64 MiB
_COMPARED = 1 << 11
_PART_TEXTS = 1 << 18
"""Texts whose candidates are looked for together: some hundred MiB of pairs."""
_SORTED_TEXTS, _SORTED_KEYS = 1 << 20, 1 << 22
"""Of a worker, that are sorted at once: some dozen MiB."""
_HALF = np.uint64(32)
Pairs = NDArray[np.uint64]
"""Numbers of two texts in one value, the later one first."""


class NearSearch:
    """Blocks of texts in; once all are, which earlier ones each is nearly equal to.

    Parameters
    ----------
    engine : Engine
    folder : Path, optional
        Where texts and their runs lie until they were searched, 2 KB a text of 400 characters; by
        default where temporary files do.
    """

    def __init__(self, engine: Engine, folder: Path | None = None) -> None:
        self._engine = engine
        # With a name, by which workers find it.
        self._folder = TemporaryDirectory(dir=folder, prefix="near-", ignore_cleanup_errors=True)
        self._file = (Path(self._folder.name) / "texts.jsonl").open("w+b")
        self._sizes: list[int] = []  # texts of each block
        self._ends: list[int] = []  # bytes of the file after each

    def begin(self, texts: Sequence[str]) -> None:
        """Add texts."""
        if not texts:
            return
        self._file.write(written_line(texts))
        self._sizes.append(len(texts))
        self._ends.append(self._file.tell())

    def find(self) -> Iterator[list[int]]:
        """Yield for each text the earlier ones that it is near to, oldest first; texts count from
        0.
        """
        if not self._sizes:
            return
        self._file.flush()
        pairs = search_pairs(self._engine, self._lines(), Path(self._folder.name))
        later, earlier = _parted(pairs)
        first = 0
        for size in self._sizes:
            bounds = np.searchsorted(later, np.arange(first, first + size + 1)).tolist()
            for start, end in zip(bounds, bounds[1:], strict=False):
                yield earlier[start:end].tolist() if start < end else []
            first += size

    def close(self) -> None:
        """Remove the texts."""
        self._file.close()
        self._folder.cleanup()

    def _lines(self) -> list[TextLines]:
        """Return the texts in a part for each worker, none much longer than another, none empty."""
        ends = np.array([0, *self._ends])
        firsts = np.array([0, *np.cumsum(self._sizes)])
        # One long block may be as much as several parts, of which fewer are made then.
        cuts = np.unique(np.searchsorted(ends, np.linspace(0, ends[-1], self._engine.workers + 1)))
        lines = []
        for begin, end in zip(cuts, cuts[1:], strict=False):
            start, stop = int(ends[begin]), int(ends[end])
            if self._engine.shares_files:
                lines.append(TextLines(int(firsts[begin]), self._file.name, start, stop))
                continue
            with open(self._file.name, "rb") as file:
                file.seek(start)
                content = file.read(stop - start)
            lines.append(TextLines(int(firsts[begin]), None, 0, 0, content))
        return lines


def search_pairs(engine: Engine, lines: Sequence[TextLines], folder: Path | None = None) -> Pairs:
    """Return the pairs of nearly equal texts, ascending, each text's number in 32 bits and the
    later one in the higher ones; ``folder`` is where pairs lie that may be.
    """
    firsts = np.array([each.first for each in lines], dtype=np.uint32)
    with engine.hold(RunShard, lines) as held:
        common = find_common(held, firsts)
    near = [np.empty(0, dtype=np.uint64)]
    with engine.hold(partial(_SketchShard, common, firsts), lines) as held:
        for share in shares_of(max(held(_Step("texts"))), _SORTED_TEXTS):
            near += held(_Step("bags met"), held.send(_Step("bags", share)))
        near += _compared(held, LEAST_MET, folder)
        made_of_common = np.concatenate(held(_Step("made of common")))
        made_of_common[:LONG_FROM] = False
    if made_of_common.any():
        with engine.hold(partial(RunShard, long=True), lines) as held:
            common = find_common(held, firsts)
        with engine.hold(partial(_LongShard, common, firsts), lines) as held:
            near += _compared(held, LONG_MET, folder, later=made_of_common)
    return np.unique(np.concatenate(near))


def _compared(
    held: HeldShards, least: int, folder: Path | None, *, later: NDArray[np.bool_] | None = None
) -> list[Pairs]:
    """Return the pairs of nearly equal texts among those that met at some keys or more; of pairs
    with some later texts alone, where these are told.
    """
    near: list[Pairs] = []
    with closing(PairFile(_PART_TEXTS, folder)) as met:
        for share in shares_of(max(held(_Step("keys of"))), _SORTED_KEYS):
            for pairs in held(_Step("meet"), held.send(_Step("keys", share))):
                met.add(pairs if later is None else pairs[later[_parted(pairs)[0]]])
        for pairs in met.parts():
            candidates = _met_often(pairs, least)
            for start in range(0, len(candidates), _PAIRS):
                some = candidates[start : start + _PAIRS]
                near += held(_Step("compare", some), held.send(_Step("sketches", some)))
    return near


class _Step(NamedTuple):
    """What a shard is asked."""

    name: str
    values: Any = None


class _SketchShard:
    """The sketches of some texts: their 128 smallest rare runs."""

    def __init__(self, common: CommonRuns, firsts: Rows, lines: TextLines) -> None:
        self._common, self._firsts, self._first = common, firsts, lines.first
        file = RunFile(lines)
        self._bags, self._n_texts = file.bags, file.n_texts
        folder = None if lines.path is None else Path(lines.path).parent
        self._sketches = SketchFile(file, common, folder)

    def __call__(self, step: _Step, pieces: Sequence[Any] | None = None) -> Any:
        if pieces is None:
            known = {
                "texts": self._n_texts,
                "keys of": self._sketches.n_keys,
                "made of common": self._sketches.made_of_common,
            }
            if step.name in known:
                return known[step.name]
            alone: dict[str, Callable[[Any], list[Any]]]
            alone = {"bags": self._bags_in, "keys": self._keys_in, "sketches": self._sketches_for}
            return alone[step.name](step.values)
        if step.name == "bags met":
            return _bags_met(pieces)
        return (
            _met(np.concatenate(pieces)) if step.name == "meet" else self._near(step.values, pieces)
        )

    def _bags_in(self, share: Share) -> list[Any]:
        bags, n = self._bags, np.uint64(share.n)
        # A text without a letter or digit is near to none.
        texts = np.flatnonzero((bags % n == np.uint64(share.number)) & (bags > 0))
        bags = bags[texts]
        shards = (bags // n % np.uint64(len(self._firsts))).astype(np.intp)
        numbers = (texts + self._first).astype(np.uint32)
        return [
            (bags[shards == shard], numbers[shards == shard]) for shard in range(len(self._firsts))
        ]

    def _keys_in(self, share: Share) -> list[Pairs]:
        values = self._sketches.keys_in(share)
        # Keys are the smallest hashes: by their remainder, or one worker would have them all.
        shards = (values >> _HALF) // np.uint64(KEY_BUCKETS) % np.uint64(len(self._firsts))
        return [values[shards == shard] for shard in range(len(self._firsts))]

    def _by_text(self, pairs: Pairs) -> list[NDArray[np.bool_]]:
        """Part pairs by where their later text is."""
        homes = np.searchsorted(self._firsts, _parted(pairs)[0], side="right") - 1
        return [homes == home for home in range(len(self._firsts))]

    def _own(self, texts: Rows) -> NDArray[np.bool_]:
        at = texts.astype(np.int64) - self._first
        own: NDArray[np.bool_] = (at >= 0) & (at < self._n_texts)
        return own

    def _sketches_of(self, texts: Rows) -> Hashes:
        return self._sketches.of(texts - np.uint32(self._first))

    def _sketches_for(self, candidates: Pairs) -> list[tuple[Pairs, Hashes]]:
        """Return the sketches of own texts where the later text of a candidate is, if elsewhere."""
        later, earlier = _parted(candidates)
        away = candidates[self._own(earlier) & ~self._own(later)]
        return [
            (away[home], self._sketches_of(_parted(away[home])[1])) for home in self._by_text(away)
        ]

    def _near(self, candidates: Pairs, pieces: Sequence[tuple[Pairs, Hashes]]) -> Pairs:
        """Return the candidates with an own later text that are near."""
        later, earlier = _parted(candidates)
        own = candidates[self._own(later) & self._own(earlier)]
        near = [own[:0]]
        for start in range(0, len(own), _COMPARED):
            some = own[start : start + _COMPARED]
            near.append(self._alike(some, self._sketches_of(_parted(some)[1])))
        for pairs, theirs in pieces:
            for start in range(0, len(pairs), _COMPARED):
                end = start + _COMPARED
                near.append(self._alike(pairs[start:end], theirs[start:end]))
        return np.concatenate(near)

    def _alike(self, pairs: Pairs, theirs: Hashes) -> Pairs:
        own = self._sketches_of(_parted(pairs)[0])
        may_be = may_be_alike(own, theirs)
        pairs, own, theirs = pairs[may_be], own[may_be], theirs[may_be]
        # What was rare when the earlier text came may be common now: it counts in neither.
        later = np.repeat(_parted(pairs)[0], SKETCH)
        ignored = self._common.among(theirs.ravel(), later).reshape(own.shape)
        return pairs[are_alike(own, theirs, ignored)]


class _LongShard(_SketchShard):
    """The long runs of texts that are made of common runs, and what of all their runs stands for
    them.
    """

    def __init__(self, common: CommonRuns, firsts: Rows, lines: TextLines) -> None:
        self._common, self._firsts, self._first = common, firsts, lines.first
        folder = None if lines.path is None else Path(lines.path).parent
        file = RunFile(lines, long=True)
        self._bags, self._n_texts = file.bags, file.n_texts
        self._sketches = SketchFile(file, common, folder, keys=LONG_KEYS)
        self._whole = SketchFile(
            RunFile(lines), None, folder, width=WHOLE_SKETCH, keys=0, end=N_BUCKETS // 4
        )

    def _sketches_of(self, texts: Rows) -> Hashes:
        at = texts - np.uint32(self._first)
        return np.concatenate([self._sketches.of(at), self._whole.of(at)], axis=1)

    def _alike(self, pairs: Pairs, theirs: Hashes) -> Pairs:
        own = self._sketches_of(_parted(pairs)[0])
        none = np.zeros((len(pairs), WHOLE_SKETCH), dtype=np.bool_)
        mostly = are_alike(own[:, SKETCH:], theirs[:, SKETCH:], none, least=MOSTLY)
        pairs, own, theirs = pairs[mostly], own[mostly, :SKETCH], theirs[mostly, :SKETCH]
        later = np.repeat(_parted(pairs)[0], SKETCH)
        ignored = self._common.among(theirs.ravel(), later).reshape(own.shape)
        return pairs[are_alike(own, theirs, ignored, least=LONG_ALIKE)]


def _bags_met(pieces: Sequence[tuple[NDArray[np.uint64], Rows]]) -> Pairs:
    """Return each of the first 17 texts with the same letters, with the first of them."""
    bags, texts = (np.concatenate(column) for column in zip(*pieces, strict=True))
    order = np.argsort(bags, kind="stable")  # texts ascend already
    bags, texts = bags[order], texts[order].astype(np.uint64)
    starts = np.ones(len(bags), dtype=np.bool_)
    np.not_equal(bags[1:], bags[:-1], out=starts[1:])
    first = np.maximum.accumulate(np.where(starts, np.arange(len(bags)), 0))
    rank = np.arange(len(bags)) - first
    tied = np.flatnonzero((rank > 0) & (rank < MOST_OF_A_BAG))
    pairs: Pairs = (texts[tied] << _HALF) | texts[first[tied]]
    return pairs


def _met(values: Pairs) -> Pairs:
    """Return the pairs of texts that have the same key, which is in the higher bits; ascending,
    those that have several as often.
    """
    values.sort()
    keys, texts = _parted(values)
    wide = texts.astype(np.uint64) << _HALF
    # A rare run is one of 16 texts at most.
    pairs: Pairs = np.concatenate(
        [values[:0]]
        + [
            (wide[lag:] | texts[:-lag])[keys[lag:] == keys[:-lag]]
            for lag in range(1, min(COMMON_TEXTS, len(keys)))
        ]
    )
    pairs.sort()
    return pairs


def _met_often(pairs: Pairs, least: int) -> Pairs:
    """Return the pairs that met at some keys or more, once each, ascending."""
    pairs.sort()
    n_before = max(0, len(pairs) - (least - 1))
    return each_once(pairs[:n_before][pairs[len(pairs) - n_before :] == pairs[:n_before]])


def _parted(pairs: Pairs) -> tuple[Rows, Rows]:
    """Return the higher and the lower 32 bits."""
    return (pairs >> _HALF).astype(np.uint32), pairs.astype(np.uint32)
