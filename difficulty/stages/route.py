"""Score files of requests and write what comes out: as many rows as came in, in the same order."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from difficulty.answers.answer import Answer
from difficulty.bundle import Bundle
from difficulty.engine import Engine
from difficulty.errors import BundleError, ScoringError, name_kind
from difficulty.request import RequestRow
from difficulty.runtime.answer_checker import Answering, read_asking
from difficulty.runtime.router import Router
from difficulty.runtime.scorer import Score, Scorer
from difficulty.runtime.service import CHUNK, chunks, verdict_row
from difficulty.storage import whole_file


def score_rows(
    scorer: Scorer, rows: Iterable[RequestRow], *, version: str
) -> Iterator[dict[str, Any]]:
    """Yield ``id`` and the scorer's outputs for each request.

    A request that cannot be scored has null scores and an ``error``, one of which only head and
    tail were read has ``truncated``.
    """
    for chunk in chunks(rows):
        encoded = [_encode(scorer, row) for row in chunk]
        outputs = scorer.score_many([ids for ids, _, _ in encoded])
        for index, (row, (_, truncated, problem)) in enumerate(zip(chunk, encoded, strict=True)):
            scores = {name: float(outputs[name][index]) for name in scorer.outputs}
            problem = problem or _find_gap(scores)
            written: dict[str, Any] = {"id": row.id}
            # Seven digits: those that float32 has.
            written |= {name: None if problem else round(scores[name], 7) for name in scores}
            written["bundle_version"] = version
            if truncated:
                written["truncated"] = True
            if problem:
                written["error"] = problem
            yield written


def score_rows_on(
    engine: Engine, bundle: Bundle, rows: Iterable[RequestRow]
) -> Iterator[dict[str, Any]]:
    """Yield what :func:`score_rows` does, scored in the workers of an engine; each of them gets the
    bundle itself, as it may be on a machine that the bundle's folder is not on.
    """
    for scored in engine.map_blocks(partial(_open_scoring, bundle), chunks(rows)):
        yield from scored


def _open_scoring(bundle: Bundle) -> Callable[[list[RequestRow]], list[dict[str, Any]]]:
    scorer = Scorer.from_bundle(bundle)
    return lambda rows: list(score_rows(scorer, rows, version=bundle.label))


def _encode(scorer: Scorer, row: RequestRow) -> tuple[list[int], bool, str | None]:
    """Return the ids of a request, whether it was cut, and why it has none."""
    try:
        encoded = scorer.encode(row.request.messages, row.request.task, row.request.tools)
    except Exception as error:  # whatever a row holds, the others are scored
        return [], False, row.problem or str(error)
    return encoded.ids, encoded.truncated, None


def check_rows(router: Router, rows: Iterable[RequestRow]) -> Iterator[dict[str, Any]]:
    """Yield ``id`` and the verdict on the cheap model's answer for each row, none of them counted:
    no verdict depends on the rows before it.

    Raises
    ------
    BundleError
        If the bundle has no check of answers.
    """
    checker = router.answers
    if checker is None:
        raise BundleError(
            f"bundle {router.version} has no check of answers. Train on traffic with cheap_answer"
            " and ship again."
        )
    for row in rows:
        answer, problem = _read_answer(row)
        if problem is None:
            asked, messages = read_asking(row.request, None)
            verdict = checker.consider(asked, messages, answer)
        else:
            verdict = checker.refuse(problem)
        yield verdict_row(row.id, verdict)


def _read_answer(row: RequestRow) -> tuple[Answering, str | None]:
    """Return the answer of a row, and why it cannot be read."""
    if row.problem is not None:
        return "", row.problem
    if isinstance(row.answer, str | dict):
        return row.answer, None
    if row.answer is None and isinstance(row.cheap_answer, str):
        return Answer.parse(row.cheap_answer), None
    given = row.cheap_answer if row.answer is None else row.answer
    came = "none" if given is None else name_kind(given)
    return "", f"answer or cheap_answer must be a text or a message: got {came}"


def write_rows(
    rows: Iterable[dict[str, Any]], out: Path, *, progress: Callable[[int], None] | None = None
) -> Counter[str]:
    """Write rows as JSON lines and return how many there were of each route, reason, of errors and
    cut ones; all or nothing is written.
    """
    counts: Counter[str] = Counter()
    with whole_file(out) as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")  # ASCII, as ids may hold lone surrogates
            counts["rows"] += 1
            counts["errors"] += "error" in row
            counts.update(["truncated"] if row.get("truncated") else [])
            counts.update(row[name] for name in ("route", "reason") if name in row)
            counts.update(["early"] if row.get("scored_by") == "early" else [])
            counts.update(["escalated"] if row.get("escalate") else [])
            if progress and counts["rows"] % CHUNK == 0:
                progress(counts["rows"])
    return counts


def _find_gap(scores: dict[str, float]) -> str | None:
    """Return which score is not a number, as a sentence."""
    try:
        Score.of(scores)
    except ScoringError as error:
        return str(error)
    return None
