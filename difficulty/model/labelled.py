"""What a model is fitted on: token ids, outcomes and groups of the same requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from difficulty.channels import Tasks
from difficulty.errors import InvalidValueError
from difficulty.metrics.coded_names import codes_of, join_names, pick_names
from difficulty.tokens import join, pick
from difficulty.traffic.outcomes import Outcomes


@dataclass(frozen=True, kw_only=True)
class LabelledTokens:
    """n tokenized requests with their outcomes.

    Attributes
    ----------
    ids : sequence of n sequences of int
        Token ids, already cut to the scorer's limit.
    outcomes : Outcomes
        What is known of both models.
    groups : sequence of n str
        Requests of one group stay in one fold.
    tasks : sequence of n str or None, optional
        Task of each request, ``None`` where it is not known.
    """

    ids: Sequence[Sequence[int]]
    outcomes: Outcomes
    groups: Sequence[str]
    tasks: Tasks | None = None

    def __post_init__(self) -> None:
        if not len(self.ids) == len(self.outcomes) == len(self.groups) or len(
            self.tasks or self.ids
        ) != len(self.ids):
            sizes = (len(self.ids), len(self.outcomes), len(self.groups))
            raise InvalidValueError(
                "labelled tokens", sizes, rule="have as many ids as outcomes and groups"
            )

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def group_codes(self) -> NDArray[np.int64]:
        """A number for each group, in the order of their names; shape (n,)."""
        return codes_of(self.groups)

    def __getitem__(self, rows: NDArray[np.intp]) -> LabelledTokens:
        """Return some rows."""
        return LabelledTokens(
            ids=pick(self.ids, rows),
            outcomes=self.outcomes[rows],
            groups=pick_names(self.groups, rows),
            tasks=None if self.tasks is None else pick_names(self.tasks, rows),
        )

    def joined(self, other: LabelledTokens) -> LabelledTokens:
        """Return these rows and those of another after them."""
        unknown = self.tasks is None and other.tasks is None
        tasks = None if unknown else join_names(_each(self), _each(other))
        return LabelledTokens(
            ids=join(self.ids, other.ids),
            outcomes=self.outcomes.joined(other.outcomes),
            groups=join_names(self.groups, other.groups),
            tasks=tasks,
        )


def _each(data: LabelledTokens) -> Tasks:
    return [None] * len(data) if data.tasks is None else data.tasks
