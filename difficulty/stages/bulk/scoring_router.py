"""A router for blocks of requests: it scores every row, and decides those alike together.

What the rule looks at in a plain request is whether it is short, its task, on which side of the
threshold its score lies and whether it is familiar enough. Requests that have these in common get
the same route, model and reason, so the rule is asked about one of them: by :class:`Router` itself,
which stays the one place where it stands.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty.needs.takers import NOT_STATED
from difficulty.request import RequestRow
from difficulty.runtime.decision import Decision
from difficulty.runtime.router import Router
from difficulty.runtime.rule import threshold_of
from difficulty.runtime.scorer import Score, kept
from difficulty.stages.bulk.block_requests import BlockRequests
from difficulty.tokens import NumberedIds, TokenRows
from difficulty.views.second_view import is_plain
from difficulty.views.text_blocks import LEAST_SCANNED

SCORES = Score._fields
_NO_TASK = -1


class QuickReading(NamedTuple):
    """What the scorer reads of plain requests, each list as long as ``places``."""

    places: list[int]
    """Which rows of the block they are."""
    packed: list[bytes]
    """Token ids, as they lie in an array of int32."""
    totals: list[int]
    """Tokens of the whole request."""
    estimated: list[bool]
    truncated: list[bool]
    masked: list[float]


class PlainDecisions(NamedTuple):
    """Scores and decisions of plain requests, by the order of a reading."""

    scores: Mapping[str, NDArray[np.float32]]
    decisions: list[Decision]
    """Each stands for all requests of its group, but for what is a row's own: scores and tokens."""
    groups: NDArray[np.intp]
    """The decision of each request."""


class ScoringRouter(Router):
    """A router that scores what it would decide without the score, too."""

    def score_and_decide(
        self, rows: Sequence[RequestRow]
    ) -> tuple[list[Score | None], list[Decision]]:
        """Return the score of each request, where it has one, and the decision."""
        looks, scored = self._look_at_all(rows)
        self._score_at_once([look for look in scored if look.error is None and look.ids])
        return [look.score for look in scored], [self._conclude(look) for look in looks]

    def decide_block(
        self, block: BlockRequests
    ) -> tuple[QuickReading, PlainDecisions, list[Score | None], list[Decision]] | None:
        """Return what is read of plain requests, their scores and decisions; then score and
        decision of each other one, in order. ``None`` where they cannot be scored together.
        """
        reading = self._read_plain(block)
        plain = {*reading.places}
        others = [block[place] for place in range(len(block)) if place not in plain]
        looks, scored = self._look_at_all(others)
        open_ones = [look for look in scored if look.error is None and look.ids]
        packed = [*reading.packed, *(array("i", look.ids).tobytes() for look in open_ones)]
        numbers = {
            len(reading.packed) + place: look.ids.numbers
            for place, look in enumerate(open_ones)
            if isinstance(look.ids, NumberedIds)
        }
        try:
            columns = self.scorer.score_many(TokenRows.packed(packed, "", numbers))
        except Exception:
            return None
        n = len(reading.places)
        if not all(np.isfinite(column[:n]).all() for column in columns.values()):
            return None  # one at a time, so that each says what is wrong with it
        if "familiarity" in columns:
            np.minimum(columns["familiarity"], 1.0, out=columns["familiarity"])
        self._note_scores(open_ones, {name: column[n:] for name, column in columns.items()})
        ours = {name: column[:n] for name, column in columns.items()}
        return (
            reading,
            self._decide_alike(block, reading, ours),
            [look.score for look in scored],
            [self._conclude(look) for look in looks],
        )

    def _read_plain(self, block: BlockRequests) -> QuickReading:
        """Return what the scorer reads of the requests that both models can take at a glance and of
        which it reads something, as :meth:`_look_at` finds it.
        """
        reading = QuickReading([], [], [], [], [], [])
        view, tokenizer, task_ids = self.scorer.view, self.scorer.tokenizer, self.scorer.task_ids
        policy = self.policy
        left = (policy.eligibility or NOT_STATED).least_room
        glance = min(LEAST_SCANNED - 1, view.max_chars) if view.version == 2 else -1
        firsts = {task: array("i", [number]).tobytes() for task, number in task_ids.items()}
        rows = zip(block.texts, block.tasks, block.counts, strict=True)
        for place, (text, task, count) in enumerate(rows):
            if text is None or 4 * len(text) > left or (count is not None and count > left):
                continue
            try:
                if len(text) <= glance and is_plain("user", text, view.learned):
                    ids, total = tokenizer.pack(text)
                    cut, is_estimate, masked = total > tokenizer.max_tokens, False, 0.0
                    seen = text
                else:
                    shown = view(text)
                    seen = shown.text
                    ids, total = tokenizer.pack(seen)
                    cut = shown.truncated or total > tokenizer.max_tokens
                    is_estimate, masked = shown.shortened, shown.masked_share
                    total = shown.whole(total)
            except BaseException as error:  # the tokenizer's panics are no Exceptions
                kept(error)
                continue
            if not ids or not seen.strip():
                continue
            reading.places.append(place)
            reading.packed.append(firsts[task] + ids if task in firsts else ids)
            reading.totals.append(total)
            reading.estimated.append(is_estimate)
            reading.truncated.append(cut)
            reading.masked.append(masked)
        return reading

    def _decide_alike(
        self, block: BlockRequests, reading: QuickReading, scores: Mapping[str, NDArray[np.float32]]
    ) -> PlainDecisions:
        """Ask the rule about one request of each group."""
        if not reading.places:
            return PlainDecisions(scores, [], np.zeros(0, np.intp))
        policy = self._policy_for(block[reading.places[0]].request)
        named = sorted({*policy.easy_tasks, *policy.hard_tasks, *policy.task_thresholds})
        codes = {task: code for code, task in enumerate(named)}
        tasks = np.array(
            [codes.get(block.tasks[place] or "", _NO_TASK) for place in reading.places]
        )
        thresholds = np.array([*(threshold_of(policy, task) for task in named), policy.threshold])
        counts = (block.counts[place] for place in reading.places)
        tokens = np.array(
            [
                total if count is None else count
                for count, total in zip(counts, reading.totals, strict=True)
            ]
        )
        is_above = scores["difficulty_score"].astype(np.float64) > thresholds[tasks]
        familiarity = scores.get("familiarity", np.ones(1, np.float32)).astype(np.float64)
        is_odd = familiarity < policy.min_familiarity
        keys = ((tasks * 2 + (tokens < policy.max_cheap_tokens)) * 2 + is_above) * 2 + is_odd
        _, firsts, groups = np.unique(keys, return_index=True, return_inverse=True)
        decisions = []
        for first in firsts.tolist():
            look = self._look_at(block[reading.places[first]].request)
            if look.is_open:
                values = {name: float(column[first]) for name, column in scores.items()}
                look.score = Score.of(values)
            decisions.append(self._conclude(look))
        return PlainDecisions(scores, decisions, groups)

    def _look_at_all(self, rows: Sequence[RequestRow]) -> tuple[list[Any], list[Any]]:
        """Return a look at each request, and the one that is to be scored: itself, where it is not
        decided already.
        """
        looks = [self._look_at(row.request) for row in rows]
        return looks, [look if look.is_open else self._apart(look) for look in looks]

    def _score_at_once(self, looks: list[Any]) -> None:
        """Score in batches, as :meth:`_score_all` does, in a third of its time a row."""
        try:
            columns = self.scorer.score_many([look.ids for look in looks])
        except Exception:
            self._score_all(looks)  # one at a time, so that none takes others along
            return
        self._note_scores(looks, columns)

    def _note_scores(
        self, looks: Sequence[Any], columns: Mapping[str, NDArray[np.float32]]
    ) -> None:
        none = [None] * len(looks)
        read = [columns[name].tolist() if name in columns else none for name in SCORES]
        read[-1] = [share if share is None else min(share, 1.0) for share in read[-1]]
        is_whole = np.all([np.isfinite(column) for column in columns.values()], axis=0).tolist()
        for look, values, whole in zip(looks, zip(*read, strict=True), is_whole, strict=True):
            if whole:
                look.score = Score(*values)
            else:
                self._score_all([look])  # says what is wrong with it

    def _apart(self, look: Any) -> Any:
        """Return a look at a request that is decided already, to score it without a bearing on
        that.
        """
        apart = replace(look, verdict=None)
        if apart.error is None and not apart.ids:
            try:
                request = look.request
                encoded = self.scorer.encode(request.messages, request.task, request.tools)
                apart.ids = encoded.ids
            except Exception as error:
                apart.error = error
        return apart
