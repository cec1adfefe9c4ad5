"""Distillation: a teacher run says what it thinks of requests, labelled or not, and a light student
learns from that beside the labels.

Of a fit sample the teacher's opinion is its out-of-fold score, by heads that did not see the
sample. The opinion is soft: both models' failure probabilities, moved so that their difference is
the teacher's expected gain, which it learned on its own and knows better. Calibration and test
samples keep their labels alone, and the teacher must have been trained on the same traffic with the
same split, so it knows no more of them than the student may.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from difficulty.conversation.request_numbers import numbered, read_numbers
from difficulty.errors import InvalidValueError, RecipeError, RunError, TrafficError
from difficulty.metrics.arrays import FloatArray
from difficulty.model.combination import Scores, Target
from difficulty.model.labelled import LabelledTokens
from difficulty.recipe import Recipe
from difficulty.request import Request
from difficulty.text import TextView
from difficulty.tokens import RequestTokenizer, TokenRows
from difficulty.traffic.columnar import read_request_rows
from difficulty.traffic.duplicates import text_hash
from difficulty.traffic.outcomes import Outcomes
from difficulty.traffic.table import Traffic
from difficulty.training.run import NamedScores, Run


def check_teacher(
    recipe: Recipe, teacher: Run | None, traffic: Traffic, unlabelled: Path | None
) -> None:
    """Refuse a teacher that is missing, not wanted, or that may have seen what the student is
    judged by.

    Raises
    ------
    RecipeError
        If the recipe has a section ``distil`` and there is no teacher, or the other way round.
    RunError
        If the teacher was trained on other traffic or with another split.
    """
    if bool(recipe.distil) != bool(teacher):
        raise RecipeError(
            f"recipe {recipe.name!r} learns from a teacher: pass --teacher RUN."
            if recipe.distil
            else (
                f"recipe {recipe.name!r} learns from no teacher. Leave out --teacher, or use recipe"
                " distilled."
            )
        )
    if teacher is None:
        if unlabelled:
            raise RecipeError(
                "unlabelled requests need a teacher: pass --teacher RUN with recipe distilled."
            )
        return
    if teacher.record.calibration == "cross":
        raise RunError(
            'the teacher must be trained with calibration = "split": the student is calibrated on'
            " samples that this one's heads learned from. Train it again with that in its recipe."
        )
    # Same traffic, seed and split: the teacher's test samples are then the student's.
    theirs = teacher.recipe
    if teacher.record.training_data != traffic.data_hash or (theirs.seed, theirs.split) != (
        recipe.seed,
        recipe.split,
    ):
        raise RunError(
            "the teacher must be trained on the same traffic with the same seed and split: else it"
            " may have seen what the student is judged by. Train it again on this traffic."
        )


def with_opinion(
    fit: LabelledTokens,
    ids: Sequence[str],
    opinion: NamedScores,
    *,
    share: float,
    target: Target = "benefit",
) -> LabelledTokens:
    """Return the fit samples with outcomes that are part label, part the teacher's opinion.

    Parameters
    ----------
    fit : LabelledTokens
        n samples.
    ids : sequence of n str
        Their names in the traffic.
    opinion : NamedScores
        The teacher's out-of-fold scores of these samples, and maybe of others.
    share : float
        How much the opinion counts, in [0, 1]; an outcome that is not known stays unknown.
    target : {"benefit", "failure"}, default "benefit"
        The teacher's: what its ``difficulty_score`` means.

    Raises
    ------
    RunError
        If the teacher has no opinion of a sample.
    """
    row_of = {name: row for row, name in enumerate(opinion.ids)}
    if missing := len(set(ids) - row_of.keys()):
        raise RunError(
            f"the teacher must have an opinion of every fit sample: {missing:,} of {len(ids):,}"
            " have none. Was it trained with --start-from? Train it again without."
        )
    theirs = soft_failures(opinion.scores, target)[[row_of[name] for name in ids]]
    own = fit.outcomes
    failure = np.stack([own.cheap_failure, own.frontier_failure], axis=1)
    tied = (own.preferred_gain == 0.0) & ~np.isnan(failure).any(axis=1)
    # What a tie says of the gain, said by the outcomes: a mixed outcome cannot be a tie.
    failure[tied] = failure[tied].mean(axis=1, keepdims=True)
    mixed = (1.0 - share) * failure + share * theirs
    return replace(
        fit,
        outcomes=replace(
            own,
            cheap_quality=1.0 - mixed[:, 0],
            frontier_quality=1.0 - mixed[:, 1],
            preferred_gain=np.where(tied, np.nan, own.preferred_gain),
        ),
    )


def with_unlabelled(
    fit: LabelledTokens,
    path: Path,
    teacher: Run,
    *,
    view: TextView,
    tokenizer: RequestTokenizer,
    labelled: Traffic,
    share: float,
) -> LabelledTokens:
    """Return the fit samples and, after them, the requests of a file with the teacher's opinion as
    outcomes.

    Parameters
    ----------
    path : Path
        Parquet or JSON lines, see :func:`~difficulty.traffic.columnar.read_request_rows`.
    view, tokenizer
        The student's.
    labelled : Traffic
        All labelled samples; their texts are left out of the file. Some judge the student, and of
        fit samples the teacher saw the label, so only its out-of-fold opinion counts.
    share : float
        Weight of an unlabelled request.

    Raises
    ------
    TrafficError
        If the file holds no request that can be used.
    """
    taken = {text_hash(view(messages).text) for messages in labelled.each_messages()}
    requests = _new_requests(path, view, taken=taken)
    if not requests:
        raise TrafficError(
            f"{path.name} must hold requests that are not among the labelled ones: got none. Check"
            " the file."
        )
    tasks, n = [request.task for request in requests], len(requests)
    scores = teacher.model.predict(_read(requests, teacher.view, teacher.tokenizer), tasks)
    failure = soft_failures(scores, teacher.model.target)
    outcomes = Outcomes(
        cheap_quality=1.0 - failure[:, 0],
        frontier_quality=1.0 - failure[:, 1],
        preferred_gain=np.full(n, np.nan),
        weight=np.full(n, share),
    )
    added = LabelledTokens(
        ids=_read(requests, view, tokenizer),
        outcomes=outcomes,
        groups=[f"unlabelled {number}" for number in range(n)],
        tasks=tasks,
    )
    return fit.joined(added)


def _read(requests: Sequence[Request], view: TextView, tokenizer: RequestTokenizer) -> TokenRows:
    """Return the token ids of each request."""
    texts = [view(request.messages) for request in requests]
    numbers = (
        read_numbers(request.messages, request.tools, text.question)
        for request, text in zip(requests, texts, strict=True)
    )
    rows = zip(tokenizer.encode_batch([text.text for text in texts]), numbers, strict=True)
    return TokenRows((numbered(row.ids, found) for row, found in rows), tokenizer.digest)


def soft_failures(scores: Scores, target: Target) -> FloatArray:
    """Return both models' failure probabilities, of shape (n, 2); NaN where not scored.

    For target ``benefit`` their difference is the expected gain, and their mean is moved where
    probabilities leave no room for it; for ``failure`` the score says nothing of the gain.
    """
    cheap = scores.p_cheap_fails
    if scores.p_frontier_fails is None:
        return np.stack([cheap, np.full(len(cheap), np.nan)], axis=1)
    if target == "failure":
        return np.stack([cheap, scores.p_frontier_fails], axis=1)
    # difficulty_score is 1/2 + gain / 2.
    half = scores.difficulty_score - 0.5
    middle = np.clip((cheap + scores.p_frontier_fails) / 2.0, np.abs(half), 1.0 - np.abs(half))
    return np.stack([middle + half, middle - half], axis=1)


def _new_requests(path: Path, view: TextView, *, taken: set[str]) -> list[Request]:
    """Return the requests of a file whose text is new, by the hashes of others; those that cannot
    be read or hold no text are left out.
    """
    by_text: dict[str, Request] = {}
    for row in read_request_rows(path):
        with suppress(InvalidValueError):  # messages that are none; a line without any has no text
            text = view(row.request.messages).text
            if text.strip() and text_hash(text) not in taken:
                by_text.setdefault(text, row.request)
    return list(by_text.values())
