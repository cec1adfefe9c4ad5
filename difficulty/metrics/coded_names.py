"""Names of many requests as numbers: a list of Python's takes eight bytes a request and some sixty
more where each name is a string of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, SupportsIndex, TypeVar, cast, overload

import numpy as np
from numpy.typing import DTypeLike, NDArray

Value = TypeVar("Value")
_BLOCK = 65_536


class CodedNames(Sequence["str | None"]):
    """n names, each as its place among the different ones; read as a sequence.

    Parameters
    ----------
    codes : ndarray of shape (n,), int
        Places among the names, -1 where there is none.
    names : sequence of str or callable
        The different names, ascending: codes then sort as names do. Of many a callable gives them,
        which is asked whenever they are read.
    """

    def __init__(
        self, codes: NDArray[np.integer[Any]], names: Sequence[str] | Callable[[], Sequence[str]]
    ) -> None:
        self.codes = codes
        self._names = names

    @classmethod
    def of(cls, values: Sequence[str | None]) -> CodedNames:
        """Return names of a sequence."""
        if isinstance(values, CodedNames):
            return values
        names = sorted({value for value in values if value is not None})
        place = {name: code for code, name in enumerate(names)}
        codes = np.fromiter(
            (-1 if value is None else place[value] for value in values), np.int32, len(values)
        )
        return cls(codes, names)

    @property
    def names(self) -> Sequence[str]:
        """The different names, ascending; some may be left that no request has any more."""
        return self._names() if callable(self._names) else self._names

    def __len__(self) -> int:
        return len(self.codes)

    def __iter__(self) -> Iterator[str | None]:
        names = [*self.names, None]
        for start in range(0, len(self), _BLOCK):
            yield from (names[code] for code in self.codes[start : start + _BLOCK].tolist())

    @overload
    def __getitem__(self, place: SupportsIndex) -> str | None: ...  # type: ignore[overload-overlap]
    @overload
    def __getitem__(self, place: slice | NDArray[Any]) -> CodedNames: ...
    def __getitem__(self, place: SupportsIndex | slice | NDArray[Any]) -> str | CodedNames | None:
        """Return a name, or some of the requests."""
        if isinstance(place, slice | np.ndarray):
            return CodedNames(self.codes[place], self._names)
        self._names = self.names  # one is hardly ever asked for alone
        code = int(self.codes[place])
        return None if code < 0 else self.names[code]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str) or not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(
            one == another for one, another in zip(self, other, strict=True)
        )

    __hash__ = None  # type: ignore[assignment]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        names = [*self.names, None] if (self.codes < 0).any() else [*self.names]
        return np.asarray(np.array(names)[self.codes], dtype=dtype)

    def without(self, rows: NDArray[np.bool_]) -> CodedNames:
        """Return the names with none where a mask of shape (n,) says so."""
        return CodedNames(np.where(rows, -1, self.codes).astype(self.codes.dtype), self._names)

    def joined(self, other: Sequence[str | None]) -> CodedNames:
        """Return these names and others after them."""
        other = CodedNames.of(other)
        if other._names is self._names:
            return CodedNames(np.concatenate([self.codes, other.codes]), self._names)
        names = sorted({*self.names, *other.names})
        place = {name: code for code, name in enumerate(names)}
        moved = [
            np.array([*(place[name] for name in each.names), -1], np.int32)[each.codes]
            for each in (self, other)
        ]
        return CodedNames(np.concatenate(moved), names)


def pick_names(names: Sequence[Value], rows: NDArray[np.intp]) -> Sequence[Value]:
    """Return some of the names."""
    if isinstance(names, CodedNames):
        return cast("Sequence[Value]", names[rows])
    return [names[row] for row in rows.tolist()]


def join_names(first: Sequence[Any], second: Sequence[Any]) -> Sequence[Any]:
    """Return both, one after the other."""
    return first.joined(second) if isinstance(first, CodedNames) else [*first, *second]


def codes_of(names: Sequence[Any]) -> NDArray[np.int64]:
    """Return a number for each name, in the order of the names, from 0 on without a gap; shape
    (n,).
    """
    values = names.codes if isinstance(names, CodedNames) else np.asarray(names)
    return np.asarray(np.unique(values, return_inverse=True)[1], dtype=np.int64)


def look_up(
    names: Sequence[str | None], find: Callable[[str | None], Any], dtype: DTypeLike
) -> NDArray[Any]:
    """Return what is found for each name, of shape (n,); of coded ones each is asked for once."""
    if isinstance(names, CodedNames):
        return np.asarray(np.array([*map(find, names.names), find(None)], dtype)[names.codes])
    return np.fromiter(map(find, names), dtype, len(names))


def count_names(
    names: Sequence[str | None], chosen: NDArray[np.bool_] | None = None
) -> Counter[str | None]:
    """Return how often each name is there, of the chosen ones alone where that is said; in the
    order in which they come first.
    """
    if not isinstance(names, CodedNames):
        if chosen is None:
            return Counter(names)
        return Counter(name for name, among in zip(names, chosen.tolist(), strict=True) if among)
    codes = names.codes if chosen is None else names.codes[chosen]
    there, first, counts = np.unique(codes, return_index=True, return_counts=True)
    different = names.names
    return Counter(
        {
            None if there[each] < 0 else different[int(there[each])]: int(counts[each])
            for each in np.argsort(first).tolist()
        }
    )
