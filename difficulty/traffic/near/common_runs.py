"""Which runs are common, and from which text on.

The runs of a worker's texts lie in a file, each block of texts ascending by hash, so those of a
window of hashes are read in pieces and sorted together. A run is common once 16 texts had it: of
n workers one then has it in a 16th of n at least. So each tells the few that it has so often, and
only of those it is asked how often the others have them.
"""

from __future__ import annotations

import os
import weakref
from array import array
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from difficulty.engine import HeldShards
from difficulty.traffic.near.letters import MOST_TEXTS, Letters, bag_key, blocks, runs_by_hash
from difficulty.traffic.near.likeness import COMMON_TEXTS
from difficulty.traffic.near.text_lines import TextLines

WINDOW_RUNS = 1 << 22
"""Runs of a worker that are sorted at once: some hundred MiB."""
_PLACE_BITS = MOST_TEXTS.bit_length() - 1  # of a text in its block
_LOW_BITS = 32 - _PLACE_BITS  # of a hash that are written; the others stand in where it is written
N_BUCKETS = 1 << _PLACE_BITS
_HALF = np.uint64(32)
_LOWER = np.uint64(0xFFFFFFFF)
Number = TypeVar("Number", np.uint32, np.uint64)
Rows = NDArray[np.uint32]
Hashes = NDArray[np.uint32]
Runs = NDArray[np.uint64]
"""A hash in the higher 32 bits, the number of a text in the lower ones."""


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

    def rare_of(self, runs: Runs) -> Runs:
        """Return the runs of a window, ascending, that are not common for their text."""
        if not len(runs):
            return runs
        first, end = np.searchsorted(
            self.hashes, [runs[0] >> _HALF, (runs[-1] >> _HALF) + np.uint64(1)]
        )
        hashes = self.hashes[first:end].astype(np.uint64) << _HALF
        # Few are common: each is looked for among the runs, and not each run among them.
        begins = np.searchsorted(runs, hashes | self.last[first:end], side="right")
        ends = np.searchsorted(runs, hashes | _LOWER, side="right")
        turns = np.zeros(len(runs) + 1, dtype=np.int8)
        np.add.at(turns, begins, 1)
        np.add.at(turns, ends, -1)
        rare: Runs = runs[np.cumsum(turns[:-1], dtype=np.int8) == 0]
        return rare


class Window(NamedTuple):
    """Hashes from one bucket to before another."""

    first: int
    end: int


def windows_of(size: int, *, end: int = N_BUCKETS) -> list[Window]:
    """Return windows in which as many runs of a worker stand as are sorted at once, of ``size`` up
    to some bucket.
    """
    n = min(end, -(-size // WINDOW_RUNS) or 1)
    cuts = [end * number // n for number in range(n + 1)]
    return [Window(first, end) for first, end in pairwise(cuts)]


class TextPart(NamedTuple):
    """Some texts of a worker."""

    blocks: slice
    first: int
    """Among those of the worker."""
    end: int


class RunFile:
    """The runs of texts in a file, and a hash of the letters of each.

    Parameters
    ----------
    lines : TextLines
        The texts. Where they lie in a file, the runs lie beside it, and are there for who asks
        again.
    long : bool
        Whether the runs are the long ones, of which one in four stands for all; without letters.

    Attributes
    ----------
    bags : ndarray of uint64
        Of each text, equal where letters are; 0 for a text that is compared with none.
    size, n_texts : int
        Number of runs and of texts.
    """

    def __init__(self, lines: TextLines, *, long: bool = False) -> None:
        self.first, self._long = lines.first, long
        self._file: IO[bytes]
        path = (
            None
            if lines.path is None
            else Path(f"{lines.path}.{lines.first}.{'long' if long else 'runs'}")
        )
        if path is None:
            self._file = TemporaryFile()
            self._hash(lines)
        elif (notes := path.with_suffix(f"{path.suffix}.npz")).exists():
            self._file = path.open("rb")
            with np.load(notes) as arrays:
                self._starts, self._firsts = arrays["starts"], arrays["firsts"]
                self.bags, self.n_texts = arrays["bags"], int(arrays["n_texts"])
        else:
            self._write_beside(path, notes, lines)
        weakref.finalize(self, self._file.close)
        self._offsets = np.concatenate([[0], np.cumsum(self._starts[:, -1])])
        self.size = int(self._offsets[-1])

    def _write_beside(self, path: Path, notes: Path, lines: TextLines) -> None:
        # Under a name of its own, and the notes last: a worker that is lost leaves no half file.
        own = path.with_suffix(f".{os.getpid()}.part")
        self._file = own.open("w+b")
        self._hash(lines)
        self._file.flush()
        own.replace(path)
        with own.open("wb") as file:
            arrays = {"starts": self._starts, "firsts": self._firsts, "bags": self.bags}
            np.savez(file, **arrays, n_texts=np.array(self.n_texts))
        own.replace(notes)

    def _hash(self, lines: TextLines) -> None:
        starts, firsts, bags = [np.zeros((0, N_BUCKETS + 1), np.int32)], [0], array("Q")
        done = 0
        for texts in lines.blocks():
            bare = list(map(Letters.of, texts))
            if not self._long:
                bags.extend(int.from_bytes(bag_key(each)[:8]) if each.text else 0 for each in bare)
            done += len(texts)
            for start, end in blocks(bare):
                hashes, places = runs_by_hash(bare[start:end], long=self._long)
                edges = np.arange(N_BUCKETS, dtype=np.uint32) << np.uint32(_LOW_BITS)
                begun = np.searchsorted(hashes, edges)
                starts.append(np.append(begun, len(hashes)).astype(np.int32)[None])
                firsts.append(firsts[-1] + end - start)
                self._file.write(((hashes << np.uint32(_PLACE_BITS)) | places).tobytes())
        self._starts = np.concatenate(starts)
        self._firsts = np.array(firsts[:-1], dtype=np.uint64) + np.uint64(self.first)
        self.bags = np.array(bags, dtype=np.uint64)
        self.n_texts = done

    def parts(self, most: int) -> Iterator[TextPart]:
        """Yield blocks on end, of so many texts together or few more, with their texts."""
        ends = np.append(self._firsts[1:] - self._firsts[:1], np.uint64(self.n_texts))
        first = begin = 0
        while begin < len(self._starts):
            end = int(np.searchsorted(ends, first + most)) + 1
            after = int(ends[min(end, len(ends)) - 1])
            yield TextPart(slice(begin, end), first, after)
            first, begin = after, end

    def size_of(self, part: TextPart, *, end: int = N_BUCKETS) -> int:
        """Return the number of runs of a part, up to some bucket."""
        return int(self._starts[part.blocks, end].sum())

    def runs_in(self, window: Window, part: TextPart | None = None) -> Runs:
        """Return the runs of a window, ascending; those of all texts or of a part."""
        some = part.blocks if part else slice(None)
        starts = self._starts[some, window.first : window.end + 1].astype(np.int64)
        sizes = np.diff(starts, axis=1)
        begins, counts = self._offsets[:-1][some] + starts[:, 0], sizes.sum(axis=1)
        buckets = np.arange(window.first, window.end, dtype=np.uint64) << np.uint64(_LOW_BITS)
        runs = np.empty(int(counts.sum()), dtype=np.uint64)
        done = 0
        # A block at a time: what is worked on stays in the processor's cache.
        for begin, count, own, first in zip(
            begins.tolist(), counts.tolist(), sizes, self._firsts[some], strict=True
        ):
            self._file.seek(4 * begin)
            packed = np.frombuffer(self._file.read(4 * count), dtype=np.uint32)
            hashes = np.repeat(buckets, own)
            hashes |= packed >> np.uint32(_PLACE_BITS)
            hashes <<= _HALF
            hashes |= (packed & np.uint32(MOST_TEXTS - 1)) + first
            runs[done : done + count] = hashes
            done += count
        runs.sort()
        return runs


class RunStep(NamedTuple):
    """What a shard of runs is asked of a window."""

    name: str
    window: Window
    values: Any = None


class RunShard:
    """The runs of some texts."""

    def __init__(self, lines: TextLines, *, long: bool = False) -> None:
        self._file = RunFile(lines, long=long)
        self._latest: tuple[Window, Runs] | None = None

    def __call__(self, step: RunStep) -> Any:
        """Return what is asked."""
        if step.name == "size":
            return self._file.size
        runs = self._runs(step.window)
        if step.name == "often":
            return _often(runs, step.values)
        return (
            _counts(runs, step.values) if step.name == "counts" else self._texts(runs, *step.values)
        )

    def _runs(self, window: Window) -> Runs:
        if self._latest is None or self._latest[0] != window:
            self._latest = None  # both at once would be twice the memory
            self._latest = window, self._file.runs_in(window)
        return self._latest[1]

    def _texts(self, runs: Runs, firsts: Rows, hashes: Hashes, nth: Rows) -> Rows:
        """Return the text that has a hash as the n-th, of those that are asked of this shard."""
        own = firsts == self._file.first
        places = np.searchsorted(runs, hashes[own].astype(np.uint64) << _HALF)
        texts: Rows = runs[places + nth[own]].astype(np.uint32)
        return texts


def _often(runs: Runs, least: int) -> Hashes:
    """Return the hashes that some texts or more have, each once."""
    hashes = (runs >> _HALF).astype(np.uint32)
    if len(hashes) < least:
        return hashes[:0]
    n_before = len(hashes) - (least - 1)
    return each_once(hashes[:n_before][hashes[least - 1 :] == hashes[:n_before]])


def each_once(values: NDArray[Number]) -> NDArray[Number]:
    """Return each of some ascending values once."""
    first = np.ones(len(values), dtype=np.bool_)
    np.not_equal(values[1:], values[:-1], out=first[1:])
    return values[first]


def _counts(runs: Runs, hashes: Hashes) -> NDArray[np.uint8]:
    """Return how many texts have each hash, 16 for more."""
    wide = hashes.astype(np.uint64) << _HALF
    counts = np.searchsorted(runs, wide | _LOWER, side="right") - np.searchsorted(runs, wide)
    few: NDArray[np.uint8] = np.minimum(counts, COMMON_TEXTS).astype(np.uint8)
    return few


def find_common(held: HeldShards, firsts: Rows) -> CommonRuns:
    """Return which runs are common, counted in as many windows of hashes as memory asks for;
    ``firsts`` are the numbers of the shards' first texts.
    """
    size = max(held(RunStep("size", Window(0, 0))), default=0)
    tables = [
        (np.empty(0, np.uint32), np.empty(0, np.uint32)),
        *_common_in(held, firsts, windows_of(size)),
    ]
    hashes, last = (np.concatenate(column) for column in zip(*tables, strict=True))
    return CommonRuns(hashes, last)


def _common_in(
    held: HeldShards, firsts: Rows, windows: Sequence[Window]
) -> Iterator[tuple[Hashes, Rows]]:
    """Yield the common runs of each window, and the 16th text of each."""
    least = -(-COMMON_TEXTS // len(firsts))
    for window in windows:
        hashes = np.unique(np.concatenate(held(RunStep("often", window, least))))
        counts = np.cumsum(held(RunStep("counts", window, hashes)), axis=0, dtype=np.int32)
        common = counts[-1] >= COMMON_TEXTS
        hashes, counts = hashes[common], counts[:, common]
        homes = np.argmax(counts >= COMMON_TEXTS, axis=0)  # where its 16th text is
        before = np.concatenate([np.zeros_like(counts[:1]), counts])[homes, np.arange(len(homes))]
        nth = (COMMON_TEXTS - 1 - before).astype(np.uint32)
        answers = held(RunStep("texts", window, (firsts[homes], hashes, nth)))
        last = np.empty(len(hashes), dtype=np.uint32)
        for number, texts in enumerate(answers):
            last[homes == number] = texts
        yield hashes, last
