"""Saving and loading a fitted check without pickle: ``answer_check.json`` for what is said,
``answer_check.npz`` for the arrays.

``CHECK_FORMAT`` is raised when either changes its meaning. A check that starts from another one
holds that as well, its arrays with one more ``start.`` before their names.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from difficulty.answer_check.answered import AnswerScores
from difficulty.answer_check.check import AnswerCheck, AnswerHeads
from difficulty.answer_check.fact_heads import FactScaling, Network
from difficulty.answers.facts import FACTS, FACTS_VERSION
from difficulty.channels.heads import LinearHead
from difficulty.errors import RunError
from difficulty.model.calibration import Calibrator
from difficulty.model.saved_model import read_arrays

CHECK_FORMAT = 1
ANSWER_SCORES_FILE = "answer_scores.npz"
CHECK_FILE, CHECK_ARRAYS = "answer_check.json", "answer_check.npz"
Arrays = dict[str, NDArray[Any]]


def save_check(check: AnswerCheck, folder: Path) -> None:
    """Write both files into an existing folder."""
    content = {
        "format": CHECK_FORMAT,
        "facts_version": FACTS_VERSION,
        "facts": list(FACTS),
        "vocabulary_size": check.vocabulary_size,
        "checks": [{"target": one.target, "form": one.form} for one in _line(check)],
    }
    arrays: Arrays = {}
    for place, one in enumerate(_line(check)):
        _put_check(arrays, "start." * place, one)
    text = json.dumps(content, indent=2) + "\n"
    (folder / CHECK_FILE).write_text(text, encoding="utf-8")
    np.savez_compressed(folder / CHECK_ARRAYS, **arrays)  # type: ignore[arg-type]


def load_check(folder: Path) -> AnswerCheck | None:
    """Read a check written by :func:`save_check`; ``None`` where there is none.

    Raises
    ------
    RunError
        If a file is damaged, or of another format, or the check reads other facts than this version
        computes.
    """
    if not (folder / CHECK_FILE).is_file():
        return None
    check = None
    try:
        content = json.loads((folder / CHECK_FILE).read_text(encoding="utf-8"))
        arrays = read_arrays(folder / CHECK_ARRAYS)
        said = (content["format"], content["facts_version"], tuple(content["facts"]))
        if said == (CHECK_FORMAT, FACTS_VERSION, FACTS):
            vocabulary = content["vocabulary_size"]
            for place, one in reversed([*enumerate(content["checks"])]):
                check = _get_check(arrays, "start." * place, one, vocabulary, check)
    except (ValueError, LookupError, TypeError, OSError) as error:
        raise RunError(
            f"{CHECK_FILE} in {str(folder)!r} is damaged ({error!r:.200}). Train again."
        ) from error
    if check is None:
        raise RunError(
            f"{CHECK_FILE} in {str(folder)!r} is of format {said[0]!r} with {len(said[2])} facts of"
            f" version {said[1]!r}: this version reads format {CHECK_FORMAT} with {len(FACTS)} of"
            f" version {FACTS_VERSION}. Train again."
        )
    return check


def write_answer_scores(scores: AnswerScores, ids: Sequence[str], path: Path) -> None:
    """Write the scores of samples as :func:`read_answer_scores` reads them."""
    arrays: dict[str, Any] = {"ids": np.array(ids), **scores.by_name()}
    np.savez_compressed(path, **arrays)


def read_answer_scores(path: Path, ids: Sequence[str]) -> AnswerScores:
    """Return the scores of samples by id, NaN where none were written.

    Raises
    ------
    RunError
        If the file is damaged.
    """
    arrays = read_arrays(path)
    try:
        place = {name: row for row, name in enumerate(arrays["ids"].tolist())}
        rows = np.array([place.get(name, -1) for name in ids], dtype=np.intp)
        columns = {
            name: np.append(_shares(name, arrays[name], n=len(place)), np.nan)[rows]
            for name in ("answer_score", "p_answer_fails")
        }
    except (ValueError, LookupError, TypeError) as error:
        raise RunError(
            f"model file {str(path)!r} is damaged ({error!r:.200}). Train again."
        ) from error
    return AnswerScores(**columns)


def _shares(name: str, values: NDArray[Any], *, n: int) -> NDArray[Any]:
    """Return n numbers in [0, 1] or NaN, or refuse them."""
    if values.shape != (n,) or ((values < 0.0) | (values > 1.0)).any():
        raise ValueError(f"{name} must be {n} numbers in [0, 1]")
    return values


def _line(check: AnswerCheck) -> list[AnswerCheck]:
    """Return a check, the one that it starts from, and so on."""
    return [check, *(_line(check.start) if check.start else [])]


def _put_check(arrays: Arrays, prefix: str, check: AnswerCheck) -> None:
    calibrator = check.calibrator_
    arrays |= {
        f"{prefix}means": check.means_,
        f"{prefix}surrogate": check.surrogate_,
        f"{prefix}sigmoid": np.array([calibrator.slope, calibrator.intercept]),
        f"{prefix}knots": calibrator.knots,
        f"{prefix}values": calibrator.values,
    }
    _put_linear(arrays, f"{prefix}stack", check.stack_)
    heads = check.heads_
    if heads is None:
        return
    _put_linear(arrays, f"{prefix}words", heads.words)
    _put_linear(arrays, f"{prefix}facts", heads.facts)
    arrays |= {
        f"{prefix}idf": heads.idf,
        f"{prefix}mean": heads.scaling.mean,
        f"{prefix}scale": heads.scaling.scale,
        f"{prefix}unknown": heads.scaling.unknown,
        f"{prefix}inner": heads.network.inner,
        f"{prefix}bias": heads.network.bias,
        f"{prefix}outer": heads.network.outer,
        f"{prefix}intercept": np.array(heads.network.intercept),
    }
    if heads.trees is not None:
        arrays |= {f"{prefix}trees.{name}": one for name, one in heads.trees.items()}


def _get_check(
    arrays: Arrays, prefix: str, said: dict[str, Any], vocabulary: int, start: AnswerCheck | None
) -> AnswerCheck:
    check = AnswerCheck(
        vocabulary_size=vocabulary, target=said["target"], form=said["form"], start=start
    )
    check.means_, check.surrogate_ = arrays[f"{prefix}means"], arrays[f"{prefix}surrogate"]
    slope, intercept = arrays[f"{prefix}sigmoid"].tolist()
    check.calibrator_ = Calibrator(
        slope, intercept, arrays[f"{prefix}knots"], arrays[f"{prefix}values"]
    )
    check.stack_ = _get_linear(arrays, f"{prefix}stack")
    check.heads_ = None
    n_heads = 0
    if f"{prefix}idf" in arrays:
        n_heads = 4 if said["form"] == "full" else 3
    if len(check.stack_.coefficients) != 1 + n_heads:
        raise ValueError(f"a stack of {len(check.stack_.coefficients)} weights for {n_heads} heads")
    if not n_heads:
        return check
    own = f"{prefix}trees."
    trees = {name.removeprefix(own): one for name, one in arrays.items() if name.startswith(own)}
    check.heads_ = AnswerHeads(
        arrays[f"{prefix}idf"],
        _get_linear(arrays, f"{prefix}words"),
        FactScaling(*(arrays[f"{prefix}{name}"] for name in ("mean", "scale", "unknown"))),
        _get_linear(arrays, f"{prefix}facts"),
        Network(
            arrays[f"{prefix}inner"],
            arrays[f"{prefix}bias"],
            arrays[f"{prefix}outer"],
            float(arrays[f"{prefix}intercept"]),
        ),
        trees or None,
    )
    return check


def _put_linear(arrays: Arrays, name: str, head: LinearHead) -> None:
    arrays[name] = np.append(head.coefficients, head.intercept)


def _get_linear(arrays: Arrays, name: str) -> LinearHead:
    values = arrays[name]
    return LinearHead(values[:-1], float(values[-1]))
