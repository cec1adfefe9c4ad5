"""The search for nearly equal texts on an engine: all texts at once, spread over workers.

It knows copies by the same rules as :class:`~difficulty.traffic.near.near_index.NearIndex`, but for
one: a run is common for a text once 16 earlier texts had it, whether or not they were tied. So what
is common follows from how often and where runs stand, which is counted run by run on all workers at
once, and still nothing depends on what comes later. Neither does it depend on the number of
workers: texts, runs and keys have their places by number and by hash.

1. Each run goes to the worker of its hash, which finds from which text on it is common.
2. Each text keeps its 128 smallest rare runs, and its 16 smallest go to the workers of their hash:
   two texts that meet at two of them are candidates.
3. The sketches of candidates meet where the later text is, and are compared.

Runs have hashes of 32 bits: from some fifty million different texts on, chance makes them common.
"""

from __future__ import annotations

import itertools
import json
import weakref
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryFile
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty.engine import Engine, HeldShards
from difficulty.traffic.hashes import NO_HASH, Hashes
from difficulty.traffic.near.letters import Letters, bag_key, blocks, runs_of
from difficulty.traffic.near.near_index import KEYS, MOST_OF_A_BAG, SKETCH, alike_up_to
from difficulty.traffic.near.near_process import Found

COMMON_TEXTS = 16
"""Earlier texts that make a run common."""
_WINDOW_RUNS = 1 << 24
"""Runs of a worker that are sorted at once: a few hundred MiB."""
_CHUNK = 1 << 21  # runs or keys that are looked at together
_PAIRS = 1 << 17  # candidates whose sketches are sent together: 64 MiB
_COMPARED = 1 << 11
Rows = NDArray[np.uint32]
Pairs = NDArray[np.uint64]
"""Numbers of two texts in one value, the later one first."""


class CommonRuns:
    """From which text on a run is common.

    Parameters
    ----------
    hashes : ndarray of uint32
        Of runs that are common somewhere, ascending.
    last : ndarray of uint32
        The 16th text that has each: for later ones it is common.
    """

    def __init__(self, hashes: Hashes, last: Rows) -> None:
        self.hashes, self.last = hashes, last
        # Where hashes with the same first bits begin: few share them, so looking them through is
        # a tenth of the time of a search by halves.
        bits = min(24, max(8, (4 * len(hashes)).bit_length()))
        self._shift = np.uint32(32 - bits)
        counts = np.bincount(hashes >> self._shift, minlength=1 << bits)
        self._starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)

    def __reduce__(self) -> tuple[Any, ...]:
        return CommonRuns, (self.hashes, self.last)

    def among(self, runs: Hashes, texts: Rows) -> NDArray[np.bool_]:
        """Return which runs are common for the text beside each; arrays of one length."""
        common = np.zeros(len(runs), dtype=np.bool_)
        prefix = runs >> self._shift
        places, ends = self._starts[prefix], self._starts[prefix + np.uint32(1)]
        left = np.flatnonzero(places < ends)
        while len(left):
            at = places[left]
            hit = self.hashes[at] == runs[left]
            found = left[hit]
            common[found] = texts[found] > self.last[at[hit]]
            places[left] += 1
            left = left[~hit & (at + 1 < ends[left])]
        return common


class TextLines(NamedTuple):
    """Texts with numbers on end: in a file that the worker reads too, or as they are."""

    first: int
    path: str | None
    start: int
    end: int
    content: bytes = b""

    def blocks(self) -> Iterator[list[str]]:
        """Yield the texts in blocks."""
        if self.path is None:
            yield from map(json.loads, self.content.splitlines())
            return
        with open(self.path, "rb") as file:
            file.seek(self.start)
            while file.tell() < self.end:
                yield json.loads(file.readline())


class NearShuffle:
    """Blocks of texts in; once all are, what was found of each: a
    :class:`~difficulty.traffic.near.near_process.NearSearch` that answers at the end.

    Parameters
    ----------
    engine : Engine
    folder : Path, optional
        Where the texts lie until they were searched; by default where temporary files do.
    """

    ahead = 1 << 62

    def __init__(self, engine: Engine, folder: Path | None = None) -> None:
        self._engine = engine
        # With a name, by which workers find it.
        self._file = NamedTemporaryFile(dir=folder, suffix=".texts.jsonl")
        self._sizes: list[int] = []  # texts of each block
        self._ends: list[int] = []  # bytes of the file after each
        self._answers: Iterator[list[list[int]]] | None = None

    def begin(self, texts: Sequence[str]) -> None:
        """Add texts."""
        self._file.write(json.dumps(list(texts)).encode("ascii") + b"\n")
        self._sizes.append(len(texts))
        self._ends.append(self._file.tell())

    def finish(self) -> Found:
        """Return what was found of the oldest block that was not asked back yet; the first call
        searches.
        """
        if self._answers is None:
            self._file.flush()
            pairs = search_pairs(self._engine, self._lines())
            self._answers = _by_block(pairs, self._sizes)
        return next(self._answers)

    def close(self) -> None:
        """Remove the texts."""
        self._file.close()

    def _lines(self) -> list[TextLines]:
        """Return the texts in as many parts as there are workers, none much longer than another."""
        ends = np.array([0, *self._ends])
        firsts = np.array([0, *np.cumsum(self._sizes)])
        n = max(1, min(self._engine.workers, len(self._ends)))
        cuts = np.searchsorted(ends, np.linspace(0, ends[-1], n + 1))
        cuts[-1] = len(ends) - 1
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


def search_pairs(engine: Engine, lines: Sequence[TextLines]) -> Pairs:
    """Return the pairs of nearly equal texts, ascending, each text's number in 32 bits and the
    later one in the higher ones.
    """
    firsts = np.array([each.first for each in lines], dtype=np.uint32)
    with engine.hold(_RunShard, lines) as held:
        common = _count_common(held, len(lines))
    with engine.hold(partial(_SketchShard, common, firsts), lines) as held:
        bags = held(_Step("bags met"), held.send(_Step("bags")))
        met = held.send(_Step("meet"), held.send(_Step("keys")))
        candidates = np.concatenate(held(_Step("candidates"), met))
        near = [*bags]
        for start in range(0, len(candidates), _PAIRS):
            some = candidates[start : start + _PAIRS]
            near += held(_Step("compare"), held.send(_Step("sketches", some)))
    return np.unique(np.concatenate([np.empty(0, dtype=np.uint64), *near]))


def _count_common(held: HeldShards, n_shards: int) -> CommonRuns:
    """Return which runs are common, counted in as many windows of hashes as memory asks for."""
    most = max(held(_Step("size")))
    n_windows = -(-most // _WINDOW_RUNS) or 1
    edges = np.linspace(0, 1 << 32, n_windows * n_shards + 1).astype(np.uint64)
    tables = []
    for window in range(n_windows):
        cuts = edges[window * n_shards : (window + 1) * n_shards + 1]
        tables += held(_Step("common"), held.send(_Step("runs", cuts)))
    hashes, last = (np.concatenate(column) for column in zip(*tables, strict=True))
    return CommonRuns(hashes, last)


def _by_block(pairs: Pairs, sizes: Sequence[int]) -> Iterator[list[list[int]]]:
    """Yield for each block of texts the earlier texts near to each of its texts."""
    later, earlier = _parted(pairs)
    first = 0
    for size in sizes:
        bounds = np.searchsorted(later, np.arange(first, first + size + 1))
        yield [earlier[start:end].tolist() for start, end in zip(bounds, bounds[1:], strict=False)]
        first += size


class _Step(NamedTuple):
    """What a shard is asked."""

    name: str
    values: Any = None


class _RunShard:
    """The runs of some texts, in a file without a name."""

    def __init__(self, lines: TextLines) -> None:
        self._first = lines.first
        self._file = TemporaryFile()
        weakref.finalize(self, self._file.close)
        lengths: list[int] = []
        for _, runs, bounds in _hashed(lines.blocks()):
            self._file.write(runs.tobytes())
            lengths += np.diff(bounds).tolist()
        self._lengths = np.array(lengths, dtype=np.int64)
        self._size = int(self._lengths.sum())

    def __call__(self, step: _Step, pieces: Sequence[Any] | None = None) -> Any:
        if step.name == "size":
            return self._size
        return self._runs(step.values) if step.name == "runs" else _common_of(pieces or ())

    def _runs(self, cuts: NDArray[np.uint64]) -> list[Pairs]:
        """Return the runs between each two cuts, with the number of their text."""
        parts: list[list[Pairs]] = [[] for _ in cuts[1:]]
        self._file.seek(0)
        for texts, lengths in self._some_texts():
            read = self._file.read(4 * int(lengths.sum()))
            runs = np.frombuffer(read, dtype=np.uint32).astype(np.uint64)
            texts = np.repeat(texts, lengths)
            for part, low, high in zip(parts, cuts, cuts[1:], strict=False):
                inside = (runs >= low) & (runs < high)
                part.append((runs[inside] << np.uint64(32)) | texts[inside])
        return [np.concatenate(part) if part else np.empty(0, np.uint64) for part in parts]

    def _some_texts(self) -> Iterator[tuple[Pairs, NDArray[np.int64]]]:
        """Yield the numbers of some texts at a time, and how many runs each has."""
        ends = np.cumsum(self._lengths)
        cuts = np.searchsorted(ends, np.arange(0, self._size, _CHUNK))
        for start, stop in itertools.pairwise([*cuts, len(ends)]):
            numbers = np.arange(start, stop, dtype=np.uint64) + np.uint64(self._first)
            yield numbers, self._lengths[start:stop]


def _common_of(pieces: Sequence[Pairs]) -> tuple[Hashes, Rows]:
    """Return the hashes that 16 texts or more have, and the 16th of them."""
    values = np.concatenate(pieces)
    values.sort()
    hashes, texts = _parted(values)
    nth = COMMON_TEXTS - 1
    if len(hashes) <= nth:
        return hashes[:0], texts[:0]
    starts = np.ones(len(hashes), dtype=np.bool_)
    np.not_equal(hashes[1:], hashes[:-1], out=starts[1:])
    places = np.flatnonzero(starts)
    places = places[places < len(hashes) - nth]
    places = places[hashes[places + nth] == hashes[places]]
    return hashes[places], texts[places + nth]


class _SketchShard:
    """The sketches of some texts: their 128 smallest rare runs."""

    def __init__(self, common: CommonRuns, firsts: Rows, lines: TextLines) -> None:
        self._common, self._firsts, self._first = common, firsts, lines.first
        sketches, bags = [np.empty((0, SKETCH), np.uint32)], []
        n_texts = 0
        for bare, runs, bounds in _hashed(lines.blocks()):
            texts = np.repeat(np.arange(len(bare)), np.diff(bounds))
            numbers = (texts + lines.first + n_texts).astype(np.uint32)
            rare = ~common.among(runs, numbers)
            sketches.append(_sketched(runs[rare], texts[rare], len(bare)))
            bags += [int.from_bytes(bag_key(each)[:8]) if each.text else 0 for each in bare]
            n_texts += len(bare)
        self._sketches = np.concatenate(sketches)
        self._bags = np.array(bags, dtype=np.uint64)

    def __call__(self, step: _Step, pieces: Sequence[Any] | None = None) -> Any:
        values = step.values
        if pieces is None:
            if step.name == "bags":
                return self._bags_by_hash()
            return self._keys_by_hash() if step.name == "keys" else self._sketches_for(values)
        if step.name == "bags met":
            return _bags_met(pieces)
        if step.name == "meet":
            return self._by_text(_met(np.concatenate(pieces)))
        return _met_twice(pieces) if step.name == "candidates" else self._compared(pieces)

    def _bags_by_hash(self) -> list[Any]:
        texts = np.flatnonzero(self._bags)  # a text without a letter or digit is near to none
        bags = self._bags[texts]
        shards = (bags % np.uint64(len(self._firsts))).astype(np.intp)
        numbers = (texts + self._first).astype(np.uint32)
        return [
            (bags[shards == shard], numbers[shards == shard]) for shard in range(len(self._firsts))
        ]

    def _keys_by_hash(self) -> list[Pairs]:
        keys = self._sketches[:, :KEYS]
        texts, _ = np.nonzero(keys != NO_HASH)
        values = keys[keys != NO_HASH].astype(np.uint64) << np.uint64(32)
        values |= (texts + self._first).astype(np.uint64)
        # Keys are the smallest hashes: by their remainder, or one worker would have them all.
        shards = (values >> np.uint64(32)) % np.uint64(len(self._firsts))
        return [values[shards == shard] for shard in range(len(self._firsts))]

    def _by_text(self, pairs: Pairs) -> list[Pairs]:
        """Part pairs by where their later text is."""
        homes = np.searchsorted(self._firsts, _parted(pairs)[0], side="right") - 1
        return [pairs[homes == home] for home in range(len(self._firsts))]

    def _sketches_for(self, candidates: Pairs) -> list[tuple[Pairs, Hashes]]:
        """Return the sketches of own texts where the later text of a candidate is."""
        _, earlier = _parted(candidates)
        at = earlier.astype(np.int64) - self._first
        own = candidates[(at >= 0) & (at < len(self._sketches))]
        return [
            (pairs, self._sketches[_parted(pairs)[1] - np.uint32(self._first)])
            for pairs in self._by_text(own)
        ]

    def _compared(self, pieces: Sequence[tuple[Pairs, Hashes]]) -> Pairs:
        """Return the candidates that are near."""
        near = []
        for pairs, theirs in pieces:
            for start in range(0, len(pairs), _COMPARED):
                some = pairs[start : start + _COMPARED]
                sketches = theirs[start : start + _COMPARED]
                later = _parted(some)[0]
                own = self._sketches[later - np.uint32(self._first)]
                # What was rare when the earlier text came may be common now: it counts in neither.
                ignored = self._common.among(sketches.ravel(), np.repeat(later, SKETCH))
                near.append(some[_are_alike(own, sketches, ignored.reshape(own.shape))])
        return np.concatenate(near) if near else np.empty(0, dtype=np.uint64)


def _hashed(texts: Iterable[list[str]]) -> Iterator[tuple[list[Letters], Hashes, Sequence[int]]]:
    """Yield some texts at a time, bare, with the hashes of their runs and where those of each text
    begin.
    """
    for block in texts:
        bare = list(map(Letters.of, block))
        for start, end in blocks([len(each.text) for each in bare]):
            some = bare[start:end]
            yield (some, *runs_of([each.text for each in some]))


def _sketched(runs: Hashes, texts: NDArray[np.intp], n_texts: int) -> Hashes:
    """Return the smallest runs of each text, which are ascending, shape (n_texts, 128)."""
    counts = np.bincount(texts, minlength=n_texts)
    within = np.arange(len(runs)) - np.repeat(np.cumsum(counts) - counts, counts)
    few = within < SKETCH
    sketches = np.full((n_texts, SKETCH), NO_HASH, dtype=np.uint32)
    sketches[texts[few], within[few]] = runs[few]
    return sketches


def _bags_met(pieces: Sequence[tuple[NDArray[np.uint64], Rows]]) -> Pairs:
    """Return each of the first 17 texts with the same letters, with the first of them."""
    bags, texts = (np.concatenate(column) for column in zip(*pieces, strict=True))
    order = np.argsort(bags, kind="stable")  # texts ascend already
    bags, texts = bags[order], texts[order].astype(np.uint64)
    pairs = [np.empty(0, dtype=np.uint64)]
    starts = np.ones(len(bags), dtype=np.bool_)
    np.not_equal(bags[1:], bags[:-1], out=starts[1:])
    first = np.maximum.accumulate(np.where(starts, np.arange(len(bags)), 0))
    rank = np.arange(len(bags)) - first
    tied = np.flatnonzero((rank > 0) & (rank < MOST_OF_A_BAG))
    pairs.append((texts[tied] << np.uint64(32)) | texts[first[tied]])
    return np.concatenate(pairs)


def _met(values: Pairs) -> Pairs:
    """Return the pairs of texts that have the same key, which is in the higher bits."""
    values.sort()
    keys, texts = _parted(values)
    wide = texts.astype(np.uint64) << np.uint64(32)
    # A rare run is one of 16 texts at most.
    return np.concatenate(
        [
            (wide[lag:] | texts[: len(texts) - lag])[keys[lag:] == keys[: len(keys) - lag]]
            for lag in range(1, COMMON_TEXTS)
            if lag < len(keys)
        ]
        or [values[:0]]
    )


def _met_twice(pieces: Sequence[Pairs]) -> Pairs:
    """Return the pairs that met at two keys or more, once each, ascending."""
    pairs = np.concatenate(pieces)
    pairs.sort()
    return np.unique(pairs[1:][pairs[1:] == pairs[:-1]])


def _are_alike(own: Hashes, theirs: Hashes, ignored: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which of n pairs of sketches, shape (n, 128), are of nearly equal texts."""
    end = np.minimum(own[:, -1], theirs[:, -1])
    n_own = ((own <= end[:, None]) & (own != NO_HASH)).sum(axis=1)
    return alike_up_to(end, n_own, theirs, ignored, _shared_by_row(own, theirs))


def _shared_by_row(own: Hashes, theirs: Hashes) -> NDArray[np.bool_]:
    """Return which hashes of each row are in the same row of ``own``; rows ascend."""
    both = np.concatenate([own.astype(np.uint64) << 1, (theirs.astype(np.uint64) << 1) | 1], axis=1)
    both.sort(axis=1)  # one of theirs stands right behind the same of ours
    same = np.zeros(both.shape, dtype=np.bool_)
    np.equal(both[:, 1:] >> 1, both[:, :-1] >> 1, out=same[:, 1:])
    shared: NDArray[np.bool_] = same[(both & 1).astype(np.bool_)].reshape(theirs.shape)
    shared &= theirs != NO_HASH
    return shared


def _parted(pairs: Pairs) -> tuple[Rows, Rows]:
    """Return the higher and the lower 32 bits."""
    return (pairs >> np.uint64(32)).astype(np.uint32), pairs.astype(np.uint32)
