"""Score files of requests and write what comes out: as many rows as came in, in the same order."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from difficulty.errors import ScoringError
from difficulty.runtime.scorer import Score, Scorer
from difficulty.runtime.service import CHUNK, RequestRow, chunks
from difficulty.storage import whole_file


def score_rows(
    scorer: Scorer, rows: Iterable[RequestRow], *, version: str
) -> Iterator[dict[str, Any]]:
    """Yield ``id`` and the scorer's outputs for each request.

    A request that cannot be scored has null scores and an ``error``, one of which only head and
    tail were read has ``truncated``.
    """
    for chunk in chunks(rows):
        ids: list[list[int]] = []
        cut: list[bool] = []
        problems: list[str | None] = []
        for row in chunk:
            try:
                encoded = scorer.encode(row.request.messages, row.request.task)
                ids.append(encoded.ids)
                cut.append(encoded.truncated)
                problems.append(None)
            except Exception as error:  # whatever a row holds, the others are scored
                ids.append([])
                cut.append(False)
                problems.append(row.problem or str(error))
        outputs = scorer.score_many(ids)
        for index, (row, problem) in enumerate(zip(chunk, problems, strict=True)):
            values = {name: float(outputs[name][index]) for name in scorer.outputs}
            problem = problem or _check_numbers(values)
            shown = {name: None if problem else round(value, 7) for name, value in values.items()}
            rarely = {
                **({"truncated": True} if cut[index] else {}),
                **({"error": problem} if problem else {}),
            }
            yield {"id": row.id, **shown, "bundle_version": version, **rarely}


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
            if progress and counts["rows"] % CHUNK == 0:
                progress(counts["rows"])
    return counts


def _check_numbers(values: dict[str, float]) -> str | None:
    try:
        Score.of(values)
    except ScoringError as error:
        return str(error)
    return None
