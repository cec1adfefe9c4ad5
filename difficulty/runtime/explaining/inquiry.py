"""Why a request is decided as it is.

Parts of the text are weighed by occlusion: each is taken out, the rest is tokenized as any text is,
and the scorer says what it would say of it. That is exact as a statement about the scorer that
decides ("without this part the score would be ..."), for every recipe, int8 and calibration
included, and can be checked by scoring the rest by hand. The weights of n-grams would say less:
they are of hashed pairs that share buckets, of vectors brought to unit length, and only the first
of several sums that a score is made of; and routers have the graph alone. What occlusion is not: a
sum. Two parts that say the same push little each, and together much.

Parts are looked for from the coarse to the fine: messages, then paragraphs, lines, sentences,
clauses and words of those that push most, so that a long text costs no more calls than a short one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import ceil, floor, nextafter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from difficulty.conversation.request_numbers import NUMBERS, NumberedIds, numbered, with_first
from difficulty.request import Request, read_held
from difficulty.routes import Route
from difficulty.runtime.explaining.explanation import (
    DecisionChange,
    Explanation,
    FeaturePush,
    PartPush,
    SimilarTraffic,
)
from difficulty.runtime.explaining.text_spans import Span, by_message, message_spans, split, without
from difficulty.runtime.rule import Ruling
from difficulty.runtime.scorer import Encoded, Score, describe, kept
from difficulty.runtime.sticking import hold, is_held
from difficulty.text import one_line

if TYPE_CHECKING:
    from difficulty.bundle.traffic_kinds import NearKind
    from difficulty.runtime.decision import Decision
    from difficulty.runtime.router import Router

_FIRST_PARTS = 12
_PARTS = 6
"""Most parts that a part is taken apart into."""
_ROUNDS = 4
_DEEPENED = 3
"""Parts that are taken apart in a round: those that push most."""
_LEAST_PUSH = 1e-3
_MOST_TOGETHER = 8
_MOST_TASKS = 64
_LONGEST_QUOTE = 160
_BY_RULE = ("easy_task", "hard_task", "ineligible")
_TAKEN = {
    "context_window": "a prompt of this length",
    "image": "images",
    "file": "files",
    "unknown_part": "parts of unknown types",
    "json_schema": "a JSON schema",
    "language": "its language",
    "residency": "its residency tags",
}
"""What a model takes, by the rule that it would break else; other rules are named by it."""
_DIGITS = 7  # those that float32 has
_STEPS = 10_000
"""Thresholds are named in steps of a ten-thousandth."""


def explain(router: Router, request: Request) -> Explanation:
    """Return the explanation of what a router decides; see
    :meth:`~difficulty.runtime.router.Router.explain`.
    """
    decision = router.consider(request)
    try:
        return _Inquiry(router, request, decision).explanation()
    except BaseException as error:  # whatever a request holds
        notes = [decision.error or describe(kept(error))]
        if decision.error is None:
            notes[0] = f"what moved the score cannot be told: {notes[0]}"
        return Explanation(
            decision=decision,
            difficulty_score=None,
            familiarity=None,
            parts=(),
            features=(),
            nearest=(),
            changes=tuple(_changes_unscored(decision)),
            notes=tuple(notes),
        )


def _changes_unscored(decision: Decision) -> Iterator[DecisionChange]:
    if decision.reason == "scorer_error":
        yield DecisionChange(
            by="text",
            route=_other(decision.route),
            sentence="text that can be scored: then the score decides",
        )


class _Weighed(NamedTuple):
    """What the scorer and the rule make of a variant of the request."""

    score: Score
    route: Route


class _Inquiry:
    """One request, and what is asked about it."""

    def __init__(self, router: Router, request: Request, decision: Decision) -> None:
        self.router, self.request, self.decision = router, request, decision
        self.scorer = router.scorer
        task = request.task if isinstance(request.task, str) else None
        self.encoded: Encoded = self.scorer.encode(request.messages, task, request.tools)
        self.view = self.scorer.view(request.messages)
        self.text = self.view.text
        self.messages = message_spans(self.text, request.messages)
        (whole,) = self._weigh([self.encoded.ids])
        if whole is None:
            raise ValueError("no score")
        self.whole = whole
        self.by_rule = decision.reason in _BY_RULE

    def explanation(self) -> Explanation:
        """Return all that there is to say."""
        parts = [] if self.by_rule else self._parts()
        features = [] if self.by_rule else list(self._features())
        changes = list(self._changes(parts))
        return Explanation(
            decision=self.decision,
            difficulty_score=round(self.whole.score.difficulty_score, _DIGITS),
            familiarity=_rounded(self.whole.score.familiarity),
            parts=tuple(parts),
            features=tuple(features),
            nearest=tuple(self._nearest()),
            changes=tuple(changes),
            notes=tuple(self._notes()),
        )

    # Variants of the request.

    def _weigh(self, rows: Sequence[Sequence[int]]) -> list[_Weighed | None]:
        return [
            None if score is None else _Weighed(score, decision.route)
            for score, decision in self.router.rescore(self.request, rows)
        ]

    def _ids(self, text: str) -> list[int]:
        """Return what the scorer would read of another text, with the request's task and
        numbers.
        """
        ids = self.encoded.ids
        numbers = ids.numbers if isinstance(ids, NumberedIds) else None
        row = numbered(self.scorer.tokenizer.encode(text).ids, numbers)
        return with_first(ids[0], row) if self.encoded.with_task else row

    # Parts of the text.

    def _parts(self) -> list[PartPush]:
        found: dict[Span, PartPush] = {}
        level = by_message(self.text, self.messages, most=_FIRST_PARTS)
        while len(level) == 1 and (parts := split(self.text, level[0], most=_FIRST_PARTS)) != level:
            level = parts
        self._occlude(level, found)
        leaves = {span for span in level if span in found}
        for _ in range(_ROUNDS):
            pushing = sorted(leaves, key=lambda span: -abs(found[span].push))[:_DEEPENED]
            level = []
            for span in pushing:
                parts = split(self.text, span, most=_PARTS)
                if len(parts) > 1 and abs(found[span].push) >= _LEAST_PUSH:
                    level += parts
                    leaves.discard(span)
            self._occlude(level, found)
            leaves |= {span for span in level if span in found}
        # The longer one first where two begin together.
        order = sorted(found, key=lambda span: (span.start, -span.end))
        return [_finest(found[span], span in leaves) for span in order]

    def _occlude(self, spans: Sequence[Span], found: dict[Span, PartPush]) -> None:
        """Weigh the request without each span; what leaves no text behind is left out."""
        rest = [span.taken_from(self.text) for span in spans]
        kept_ones = [place for place, text in enumerate(rest) if text.strip()]
        rows = [self._ids(rest[place]) for place in kept_ones]
        read = [(place, row) for place, row in zip(kept_ones, rows, strict=True) if row]
        for (place, _), weighed in zip(read, self._weigh([row for _, row in read]), strict=True):
            if weighed is not None:
                found[spans[place]] = self._part(spans[place], weighed)

    def _part(self, span: Span, weighed: _Weighed) -> PartPush:
        return PartPush(
            text=_quoted(span.of(self.text)),
            start=span.start,
            end=span.end,
            message=next(
                (
                    place
                    for place, other in self.messages
                    if other.start <= span.start < max(other.end, other.start + 1)
                ),
                None,
            ),
            score=round(weighed.score.difficulty_score, _DIGITS),
            push=self._push(weighed),
            familiarity=_rounded(weighed.score.familiarity),
            route=weighed.route,
            finest=True,
        )

    def _push(self, weighed: _Weighed) -> float:
        mine = self.whole.score.difficulty_score
        return round(mine - weighed.score.difficulty_score, _DIGITS)

    # What stands beside the words.

    def _features(self) -> Iterator[FeaturePush]:
        names: list[str] = []
        values: list[str | float | None] = []
        rows: list[Sequence[int]] = []

        def ask(name: str, value: str | float | None, row: Sequence[int]) -> None:
            names.append(name)
            values.append(value)
            rows.append(row)

        ids = self.encoded.ids
        if self.encoded.with_task:
            ask("task", self.request.task, self.encoded.without_task)
        if isinstance(ids, NumberedIds):
            unknown = np.full_like(ids.numbers, np.nan)
            ask("functions", None, NumberedIds(ids, unknown))
            for place in np.flatnonzero(np.isfinite(ids.numbers)).tolist():
                numbers = ids.numbers.copy()
                numbers[place] = np.nan
                ask(NUMBERS[place], float(ids.numbers[place]), NumberedIds(ids, numbers))
        own = self.encoded.tokens
        # Not where a text said twice would be cut, and so be another text.
        if not self.encoded.truncated and 2 * own <= self.scorer.tokenizer.max_tokens:
            ask("length", own, self._ids(f"{self.text}\n{self.text}"))
        for name, value, weighed in zip(names, values, self._weigh(rows), strict=True):
            if weighed is not None:
                yield FeaturePush(
                    name=name,
                    value=value,
                    score=round(weighed.score.difficulty_score, _DIGITS),
                    push=self._push(weighed),
                    route=weighed.route,
                )

    def _nearest(self) -> Iterator[SimilarTraffic]:
        if self.router.kinds is None:
            return
        ids = self.encoded.ids[1:] if self.encoded.with_task else self.encoded.ids
        for near in self.router.kinds.nearest(ids):
            yield _similar(near)

    # What would change the decision.

    def _changes(self, parts: Sequence[PartPush]) -> Iterator[DecisionChange]:
        decision, score = self.decision, self.whole.score
        other = _other(decision.route)
        if self.by_rule:
            yield from self._change_of_rule()
        elif decision.reason == "unfamiliar":
            bound = self.router.policy.min_familiarity
            # An ask in a medium is unfamiliar too, whatever the bound.
            is_below = score.familiarity is not None and score.familiarity < bound
            if is_below and self._route_at(decision.threshold) == "cheap":
                # Rounded down, or the bound that is named would still be above it.
                most = floor((score.familiarity or 0.0) * _STEPS) / _STEPS
                yield DecisionChange(
                    by="familiarity",
                    route="cheap",
                    sentence=f"a familiarity of {bound:g} or more, or a min_familiarity of at"
                    f" most {most:g}: the score of"
                    f" {score.difficulty_score:.4f} would keep it cheap",
                )
        elif decision.reason == "stick":
            yield DecisionChange(
                by="session",
                route=other,
                sentence=f"no session that goes on: the score of {score.difficulty_score:.4f}"
                f" against the threshold of {decision.threshold:.4f} decides",
            )
        if not self.by_rule and decision.reason != "unfamiliar":
            yield from self._change_of_threshold()
        yield from self._change_of_parts(parts)
        yield from self._change_of_task()

    def _route_at(self, threshold: float) -> Route:
        """Return the route that the score and the session would have by another threshold."""
        score, stick = self.whole.score.difficulty_score, self.router.policy.stick
        alone = (
            Ruling("frontier", "above_threshold")
            if score > threshold
            else Ruling("cheap", "within_threshold")
        )
        held = read_held(self.request.held)
        return hold(stick, held, alone, score=score, threshold=threshold).route

    def _session_shift(self) -> float:
        """Return how far from the score the threshold turns the route, for its session's sake."""
        stick, held = self.router.policy.stick, read_held(self.request.held)
        if stick is None or held is None or not is_held(stick, held):
            return 0.0
        return stick.back if held.route == "frontier" else -stick.margin

    def _change_of_threshold(self) -> Iterator[DecisionChange]:
        score, cut = self.whole.score.difficulty_score, self.decision.threshold
        route, other = self.decision.route, _other(self.decision.route)
        if self.decision.scored_by == "early" and (score > cut) != (route == "frontier"):
            # The small graph decided, and the scorer would not have.
            if self._route_at(cut) == other:
                yield DecisionChange(
                    by="threshold",
                    route=other,
                    sentence=f"no early exit: the scorer says {score:.4f}, on the other side of the"
                    f" threshold of {cut:.4f}",
                )
            return
        turns = score + self._session_shift()
        # Rounded so that what is said holds of each threshold that it names.
        steps = ceil(turns * _STEPS) if route == "frontier" else floor(turns * _STEPS)
        for step in (steps, steps + (1 if route == "frontier" else -1)):  # of float64's last digit
            named = step / _STEPS
            asked = named if route == "frontier" else nextafter(named, 0.0)
            if 0.0 < named <= 1.0 and self._route_at(asked) == other:
                way = f"of {named:.4f} or more" if route == "frontier" else f"below {named:.4f}"
                far = f"{abs(named - cut):.4f} from the present {cut:.4f}"
                yield DecisionChange(
                    by="threshold", route=other, sentence=f"a threshold {way}, {far}"
                )
                return

    def _change_of_rule(self) -> Iterator[DecisionChange]:
        """What the score would decide, were the rule not there or the request a longer one."""
        if self.decision.reason == "ineligible":
            yield from self._change_of_models()
        policy, score = self.router.policy, self.whole.score.difficulty_score
        at_length = self._route_at(self.decision.threshold)
        if self.decision.reason == "easy_task" and at_length == "frontier":
            yield DecisionChange(
                by="tokens",
                route="frontier",
                sentence=f"{policy.max_cheap_tokens:,} tokens or more: then the score decides, and"
                f" {score:.4f} against the threshold of {self.decision.threshold:.4f} sends it on",
            )

    def _change_of_models(self) -> Iterator[DecisionChange]:
        """What the model that is not called would have to take, to be called."""
        other = _other(self.decision.route)
        rules = (rule.partition(".") for rule in self.decision.ineligible)
        missing = [_TAKEN.get(name, name) for side, _, name in rules if side == other]
        why = "it alone can take the request then"
        if self.decision.can_take != "neither":
            alone = self.router.consider(self.request, eligible=False)
            if alone.route != other:
                return
            why = f"{alone.reason} decides then"
        yield DecisionChange(
            by="eligibility",
            route=other,
            sentence=f"a {other} model that takes {' and '.join(missing)}: {why}",
        )

    def _change_of_parts(self, parts: Sequence[PartPush]) -> Iterator[DecisionChange]:
        """The shortest part whose absence changes the route, or the fewest together that do."""
        other = _other(self.decision.route)
        turning = [part for part in parts if part.route == other]
        if turning:
            part = min(turning, key=lambda part: (part.end - part.start, part.start))
            yield DecisionChange(
                by="part",
                route=other,
                sentence=f'without "{part.text}": the score is {part.score:.4f} then',
            )
            return
        sign = 1.0 if self.decision.route == "frontier" else -1.0
        pushing = [part for part in parts if part.finest and sign * part.push > _LEAST_PUSH]
        pushing.sort(key=lambda part: -abs(part.push))
        groups = [pushing[:size] for size in range(2, min(_MOST_TOGETHER, len(pushing)) + 1)]
        texts = [
            without(self.text, [Span(part.start, part.end) for part in group]) for group in groups
        ]
        rows = [self._ids(text) for text in texts]
        asked = [place for place, row in enumerate(rows) if row and texts[place].strip()]
        for place, weighed in zip(asked, self._weigh([rows[each] for each in asked]), strict=True):
            if weighed is not None and weighed.route == other:
                quotes = ", ".join(f'"{_quoted(part.text, 60)}"' for part in groups[place])
                score = weighed.score.difficulty_score
                yield DecisionChange(
                    by="parts",
                    route=other,
                    sentence=f"without {quotes} together: the score is {score:.4f} then",
                )
                return

    def _change_of_task(self) -> Iterator[DecisionChange]:
        """The tasks with which the request would go the other way, none among them."""
        other = _other(self.decision.route)
        policy, mine = self.router.policy, self.decision.task
        ruled = [*policy.easy_tasks, *policy.hard_tasks, *policy.task_thresholds]
        tasks = [task for task in dict.fromkeys([*ruled, *self.scorer.task_ids]) if task != mine]
        asked: list[str | None] = [*([] if mine is None else [None]), *tasks[:_MOST_TASKS]]
        decisions = self.router.consider_many([self.request._replace(task=task) for task in asked])
        turned = [task for task, each in zip(asked, decisions, strict=True) if each.route == other]
        names = [repr(one_line(task)) for task in turned if task is not None]
        if None in turned:
            yield DecisionChange(by="task", route=other, sentence="no task")
        if names:
            more = f" or {len(names) - 8} more" if len(names) > 8 else ""
            listed = ", ".join(names[:8])
            yield DecisionChange(by="task", route=other, sentence=f"the task {listed}{more}")

    def _notes(self) -> Iterator[str]:
        decision, score = self.decision, self.whole.score
        if self.by_rule:
            yield (
                f"no score was needed: the rule decides ({decision.reason}). The scorer would say"
                f" {score.difficulty_score:.4f}, the threshold is {decision.threshold:.4f}."
            )
        answer = self.router.policy.answer
        if decision.route == "cheap" and answer is not None and decision.fallback:
            yield (
                "the cheap answer is checked before it is sent: the check has the last word, and is"
                " told by Router.check."
            )
        if decision.scored_by == "early":
            yield (
                "the small graph was sure and decided; parts and features are weighed by the"
                f" scorer, which says {score.difficulty_score:.4f}."
            )
        if self.view.masked:
            kinds = ", ".join(f"{kind} {count:,}" for kind, count in self.view.masked)
            yield (
                f"{100 * self.view.masked_share:.1f} % of the request was left out as context and"
                f" pushes nothing (characters by kind: {kinds})."
            )
        if self.encoded.truncated:
            yield "only head and tail of the request were read; the rest pushes nothing."
        if self.router.kinds is None:
            yield (
                "the bundle does not say which kinds of traffic it was trained on (kinds.json):"
                " train and ship again to see the nearest."
            )
        elif not any(near.alike for near in self._nearest()):
            yield "no kind of training traffic has requests like this one."


def _similar(near: NearKind) -> SimilarTraffic:
    kind = near.kind
    return SimilarTraffic(
        cosine=round(near.cosine, 4),
        alike=near.is_like,
        requests=kind.n,
        groups=kind.groups,
        share=kind.share,
        tasks=kind.tasks,
        script=kind.script,
        tokens=kind.tokens,
        cheap_quality=kind.cheap_quality,
        frontier_quality=kind.frontier_quality,
        gain=kind.gain,
    )


def _finest(part: PartPush, finest: bool) -> PartPush:
    return part if part.finest == finest else replace(part, finest=finest)


def _other(route: Route) -> Route:
    return "cheap" if route == "frontier" else "frontier"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)


def _quoted(text: str, longest: int = _LONGEST_QUOTE) -> str:
    plain = one_line(text.strip())
    return plain if len(plain) <= longest else f"{plain[: longest - 3]}..."
