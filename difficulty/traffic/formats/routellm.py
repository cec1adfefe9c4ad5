"""The format of RouteLLM's evaluation sets: one CSV a benchmark, one verdict column a model.

The layout is that of the repository (``routellm/evals/mmlu/responses/mmlu_<subject>.csv``,
``routellm/evals/gsm8k/gsm8k_responses.csv``); any folder on the way and a single CSV work too. The
columns are ``prompt`` and two of models, the cheap one first; ``<model>_response`` holds its
answers, where there are some. Prompts listed in ``contaminated_prompts.jsonl`` beside the
responses, or one folder up, get ``contaminated: true``: RouteLLM found them in its own training
data.

References
----------
Ong et al. (2024), "RouteLLM: Learning to Route LLMs with Preference Data",
https://github.com/lm-sys/RouteLLM.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from difficulty.errors import TrafficError, name_kind
from difficulty.traffic.readers import RawRow, csv_header, read_json_lines, read_rows
from difficulty.traffic.rows import FIELDS

# From the repository's root, from its package, from the evals themselves.
_ROOTS = ("routellm/evals", "evals", "")
_SETS = ("mmlu/responses/mmlu_*.csv", "responses/mmlu_*.csv", "gsm8k/gsm8k_responses.csv")
_ALONE = ("mmlu_*.csv", "gsm8k_responses.csv")
_CONTAMINATED = "contaminated_prompts.jsonl"


class RouteLLMFormat:
    """Verdicts on the answers of two models to benchmark questions."""

    def files(self, path: Path) -> list[Path]:
        """Return the CSV files of the layout below ``path``, sorted by name within each
        benchmark.
        """
        candidates = [path] if path.is_file() else _below(path)
        tables = [file for file in candidates if file.suffix.lower() == ".csv" and file.is_file()]
        return [file for file in tables if len(_models(csv_header(file))) == 2]

    def rows(self, file: Path) -> Iterator[RawRow]:
        """Yield one row a question, with an id of the benchmark, the task and the number of the
        question in its file.
        """
        models = _models(csv_header(file))
        if len(models) != 2:
            raise TrafficError(
                f"{file} must have a prompt column and two of models: got models {models}. See"
                " docs/traffic.md."
            )
        # Marked, not left out: whether to train on them is for the user to say.
        contaminated = _contaminated_prompts(file)
        prefix, task = _names(file)
        for index, row in enumerate(read_rows(file)):
            if row.fields is None:
                yield row
                continue
            yield row._replace(
                fields={
                    "id": f"{prefix}-{index:05d}",
                    "prompt": row.fields["prompt"],
                    "task": task,
                    "cheap_model": models[0],
                    "frontier_model": models[1],
                    "cheap_quality": row.fields[models[0]],
                    "frontier_quality": row.fields[models[1]],
                    "measured_by": "exact",
                    "cheap_answer": row.fields.get(f"{models[0]}_response"),
                    "frontier_answer": row.fields.get(f"{models[1]}_response"),
                    "contaminated": row.fields["prompt"] in contaminated,
                }
            )


def _below(folder: Path) -> list[Path]:
    """Return the files of the first root under which the layout begins, or those in the folder
    itself.
    """
    for root, patterns in (*((root, _SETS) for root in _ROOTS), ("", _ALONE)):
        files = [file for pattern in patterns for file in sorted((folder / root).glob(pattern))]
        if files:
            return files
    return []


def _models(header: list[str]) -> list[str]:
    """Return the columns of models in order; none when this is another kind of table."""
    # A column of the traffic contract means that the file is native.
    if "prompt" not in header or FIELDS.intersection(header):
        return []
    return [name for name in header if name != "prompt" and not name.endswith("_response")]


def _names(file: Path) -> tuple[str, str]:
    """Return the beginning of the ids and the task: ``mmlu-anatomy`` and ``anatomy``, ``gsm8k`` and
    ``gsm8k``.
    """
    name = file.stem.removesuffix("_responses")
    benchmark, _, subject = name.partition("_")
    return (f"mmlu-{subject}", subject) if benchmark == "mmlu" and subject else (name, name)


def _contaminated_prompts(file: Path) -> frozenset[str]:
    """Return the prompts listed beside the file or one folder up."""
    for folder in (file.parent, file.parent.parent):
        path = folder / _CONTAMINATED
        if path.is_file():
            return frozenset(_listed_prompts(path))
    return frozenset()


def _listed_prompts(path: Path) -> Iterator[str]:
    for row in read_json_lines(path):
        prompt = (row.fields or {}).get("eval_prompt")
        if not isinstance(prompt, str):
            problem = row.problem or f"must have a string eval_prompt: got {name_kind(prompt)}."
            raise TrafficError(
                f"line {row.line:,} of {path}: {problem} Copy the file again, or remove it."
            )
        yield prompt
