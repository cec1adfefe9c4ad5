"""Which of the models in a log is the cheap one and which the frontier one, as the user named
them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import get_args

from difficulty.errors import InvalidValueError, TrafficError
from difficulty.routes import Route

_MOST_TOLD = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPair:
    """The names of two models, exact or as patterns such as ``gpt-4*``; a model that was renamed
    has several.
    """

    cheap: tuple[str, ...] = ()
    frontier: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if both := sorted({*self.cheap} & {*self.frontier}):
            raise InvalidValueError(
                "a model", both[0], rule="be the cheap or the frontier one, not both"
            )

    @property
    def named(self) -> bool:
        """Whether either model is named."""
        return bool(self.cheap or self.frontier)

    @property
    def exact(self) -> dict[Route, str]:
        """The name of each model that has one and no pattern."""
        named = {route: self._names(route) for route in get_args(Route)}
        return {
            route: names[0]
            for route, names in named.items()
            if len(names) == 1 and not set("*?[") & set(names[0])
        }

    def side(self, model: str | None) -> Route | None:
        """Return which one a model is, ``None`` for a third; an exact name counts before a
        pattern.

        Raises
        ------
        InvalidValueError
            If patterns of both sides match.
        """
        if not model:
            return None
        for route in get_args(Route):
            if model in self._names(route):
                return route  # type: ignore[no-any-return]
        matched = [
            route
            for route in get_args(Route)
            if any(fnmatchcase(model, name) for name in self._names(route))
        ]
        if len(matched) > 1:
            raise InvalidValueError(
                "a model",
                model,
                rule="match --cheap or --frontier, not both",
                hint="Name one of them exactly.",
            )
        return matched[0] if matched else None

    def refuse_absent(self, models: Iterable[str]) -> None:
        """Refuse names that none of the models has; ``models`` are those of the rows, the most
        frequent first.
        """
        seen = list(models)
        sides = {self.side(model) for model in seen}
        for route in get_args(Route):
            if self._names(route) and route not in sides:
                names = " or ".join(map(repr, self._names(route)))
                raise TrafficError(
                    f"a row must be of the {route} model {names}: got none. {told_models(seen)}"
                    f"{_nearest(self._names(route), seen)} Name it by --{route}, exactly or as a"
                    " pattern such as 'gpt-4*'."
                )

    def _names(self, route: str) -> tuple[str, ...]:
        return self.cheap if route == "cheap" else self.frontier


def told_models(models: Iterable[str]) -> str:
    """Return a sentence with the models that rows name."""
    names = [f"{name!r:.80}" for name in models]
    more = f" and {len(names) - _MOST_TOLD:,} more" if len(names) > _MOST_TOLD else ""
    return f"Models of the rows: {', '.join(names[:_MOST_TOLD]) or 'none'}{more}."


def _nearest(names: Iterable[str], seen: list[str]) -> str:
    near = [match for name in names for match in get_close_matches(name, seen, n=1, cutoff=0.5)]
    return f" Nearest: {near[0]!r:.80}." if near else ""
