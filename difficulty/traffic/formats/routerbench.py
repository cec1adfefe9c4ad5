"""The format of RouterBench: one row a question, one column a model with its score in [0, 1],
``MODEL|model_response`` with its answer and ``MODEL|total_cost`` with its bill in USD.

Prompts and answers are the text of a Python list. Blank scores are unknown, never 0. RouterBench's
own files are pickles, which this package never opens: write them as CSV or Parquet with pandas.

References
----------
Hu et al. (2024), "RouterBench: A Benchmark for Multi-LLM Routing System".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from difficulty.errors import TrafficError
from difficulty.routes import Route
from difficulty.traffic.formats.json_records import files_like, first_record, read_records
from difficulty.traffic.readers import RawRow
from difficulty.traffic.reading.dialect import AS_FOUND, ReadOptions
from difficulty.traffic.reading.named_pair import ModelPair, told_models
from difficulty.traffic.reading.python_text import texts_of_list

_COST, _ANSWER = "|total_cost", "|model_response"
_MARKS = {"sample_id", "prompt", "eval_name"}
_SIDES: tuple[Route, ...] = ("cheap", "frontier")


class RouterBenchFormat:
    """RouterBench's wide table."""

    def __init__(self, options: ReadOptions = AS_FOUND) -> None:
        self._options = options

    def files(self, path: Path) -> list[Path]:
        """Return the files, where all below ``path`` are such tables."""
        return files_like(
            path, lambda record: record.keys() >= _MARKS and bool(_models(record)), self._options
        )

    def rows(self, file: Path) -> Iterator[RawRow]:
        """Yield one row a question, with the scores, answers and bills of the two models."""
        columns = _sides(_models(first_record(file, self._options)), self._options.pair, file)
        for row in read_records(file, self._options):
            if row.fields is None or row.problem:
                yield row
                continue
            yield row._replace(fields=_sample(row.fields, columns))


def _models(header: Mapping[str, Any]) -> list[str]:
    """Return the models that have a score column and a bill, in order."""
    return [name for name in header if f"{name}{_COST}" in header]


def _sides(models: list[str], pair: ModelPair, file: Path) -> dict[Route, str]:
    """Return the column of each side.

    Raises
    ------
    TrafficError
        If a side is not named, no model has that name, or several have.
    """
    sides: dict[Route, list[str]] = {side: [] for side in _SIDES}
    for model in models:
        if side := pair.side(model):
            sides[side].append(model)
    for side, names in sides.items():
        if len(names) != 1:
            got = f"{len(names)} ({', '.join(names)})" if names else "none"
            raise TrafficError(
                f"one model of {file} must be the {side} one: got {got}. {told_models(models)}"
                f" Name it by --{side}."
            )
    return {side: names[0] for side, names in sides.items()}


def _sample(row: Mapping[str, Any], columns: Mapping[Route, str]) -> dict[str, Any]:
    cells = {side: (row.get(name), row.get(f"{name}{_COST}")) for side, name in columns.items()}
    return {
        "id": row.get("sample_id"),
        "prompt": _plain(row.get("prompt")),
        "task": row.get("eval_name"),
        "measured_by": "exact",
        **{f"{side}_model": name for side, name in columns.items()},
        **{f"{side}_quality": score for side, (score, _) in cells.items()},
        **{f"{side}_cost_usd": cost for side, (_, cost) in cells.items()},
        **{f"{side}_answer": _plain(row.get(f"{name}{_ANSWER}")) for side, name in columns.items()},
    }


def _plain(value: Any) -> Any:
    """Return the text of what may be a list of texts, or the text of such a list."""
    if isinstance(value, str) and (texts := texts_of_list(value)) is not None:
        return "\n".join(texts)
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return "\n".join(value)
    return value
