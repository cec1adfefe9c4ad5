"""What the learned check of the cheap model's answer adds to the score of the request, beside other
checks.

    python -m benchmarks.answers --routellm RouteLLM --normalised normalised --answers answers \
        --drift drift -o benchmarks/results/2026-11-28-answers

Five folds by text, tool calls by group. Score and check of a fold are made on the others by the
functions of ``difficulty train``, with the shipped recipe; what the check learns of the scores is
out of fold. Scores are ranked inside each fold. APGR counts escalations as frontier calls; *cost at
80 %* is what recovering 80 % of the gap costs with a frontier call at 1 and a cheap call at 0.05,
which a check pays before every escalation, at the best threshold in hindsight for all. Intervals:
bootstrap of whole groups, paired.

*Answer length*: longer answers first. *Hand rules*: ``tools.hand_score`` of the facts where tools
are offered, else ``arithmetic.hand_score``; no label. *cascadeflow*: the validators of its package
(``--cascadeflow PYTHON``, an interpreter that has it), see ``benchmarks/peers/cascadeflow_lib.py``.
*FrugalGPT*: a small transformer that is fine-tuned on question and answer to tell whether the
answer is wrong (``--frugalgpt PYTHON``, an interpreter that has torch), on the same folds, see
``benchmarks/peers/frugalgpt.py``; what it says is kept in the folder ``--kept`` by set.

``--labels 60 120 250`` learns both from as many requests, whole groups, in ``--draws`` draws, and
judges the rest.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.lib.protocol import (
    BenchmarkSet,
    FloatArray,
    apgr,
    calls_for_gap,
    difference,
    draw,
    estimate,
    user_texts,
)
from benchmarks.lib.recipes import SPLIT, Trainer
from benchmarks.lib.results import write_results
from difficulty.answer_check.answered import Answered, LabelledAnswers
from difficulty.answer_check.check import AnswerCheck, Form
from difficulty.answers.answer import Answer, Asked
from difficulty.answers.calls import plain_name, read_calls
from difficulty.answers.facts import FACTS
from difficulty.answers.pair import Pair
from difficulty.answers.schemas import read_offer
from difficulty.metrics import auroc, rank_within
from difficulty.model.combination import Scores
from difficulty.stages.ingest import ingest
from difficulty.traffic.stored.tokenized import Tokenized
from difficulty.traffic.table import Traffic
from difficulty.training.answering import read_answered, request_columns
from difficulty.training.shipped import find_recipe

CHEAP_CALL = 0.05
GAP = 0.8
FORMS: tuple[Form, ...] = ("lean", "full")


@dataclass(frozen=True, eq=False)
class AnswerSet:
    """Traffic with answers, and all that is read of it."""

    traffic: Traffic
    tokens: Tokenized
    data: BenchmarkSet
    answered: Answered
    """What the scorer says of the requests is filled in fold by fold."""


def main() -> None:
    """Run the benchmark and write ``<out>.json`` and ``<out>.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--routellm", type=Path)
    parser.add_argument("--normalised", type=Path)
    parser.add_argument("--answers", type=Path)
    parser.add_argument("--drift", type=Path)
    parser.add_argument("--recipe", default="fast")
    parser.add_argument("--cascadeflow", type=Path, help="a Python that has the package")
    parser.add_argument("--frugalgpt", type=Path, help="a Python that has torch")
    parser.add_argument("--kept", type=Path, help="folder of scores that took long")
    parser.add_argument("--labels", type=int, nargs="*", default=())
    parser.add_argument("--draws", type=int, default=3, help="draws of the labelled requests")
    parser.add_argument("--sets", nargs="+", help="parts of names of the sets to run")
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="path of the results without suffix"
    )
    arguments = parser.parse_args()
    trainer = Trainer.of(find_recipe(arguments.recipe))
    results: dict[str, Any] = {
        "date": datetime.now(UTC).date().isoformat(),
        "recipe": arguments.recipe,
        "sets": {},
        "labels": {},
    }
    for name, traffic in read_sets(arguments):
        if arguments.sets and not any(part in name for part in arguments.sets):
            continue
        one = read_set(traffic, trainer)
        others = _others(one, arguments.cascadeflow)
        if arguments.frugalgpt:
            kept = (arguments.kept or Path(".")) / f"frugalgpt-{name}.json"
            others["FrugalGPT"] = (score_frugalgpt(one, arguments.frugalgpt, kept), True)
        results["sets"][name] = judge(one, trainer, others)
        if "bfcl" in name:
            results["sets"][f"{name}, task told"] = judge(one, trainer, {}, told=True)
        results["labels"][name] = [
            few_labels(one, trainer, size, arguments.draws) for size in arguments.labels
        ]
        print(name, results["sets"][name]["figures"]["check, full"]["apgr"][0], flush=True)
        write_results(arguments.out, results, as_markdown(results))


def read_sets(arguments: argparse.Namespace) -> Iterator[tuple[str, Traffic]]:
    """Yield the name and the traffic of each set that was given."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "traffic.parquet"
        if arguments.routellm:
            ingest([arguments.routellm / "routellm" / "evals" / "gsm8k"], out)
            yield "gsm8k", Traffic.read(out)
        pairs = []
        if arguments.normalised and arguments.answers:
            for answers in sorted(arguments.answers.glob("*.jsonl.gz")):
                pairs.append((arguments.normalised / answers.name, answers))
        if arguments.drift:
            name = "prime_full__march.jsonl.gz"
            pairs.append(
                (arguments.drift / f"llmdrift_{name}", arguments.drift / f"answers_{name}")
            )
        for requests, answers in pairs:
            joined = Path(scratch) / "joined.jsonl"
            joined.write_text("".join(_joined(requests, answers)), encoding="utf-8")
            ingest([joined], out, overwrite=True, keep_unknown_columns=True)
            yield requests.name.removesuffix(".jsonl.gz"), Traffic.read(out)


def _joined(requests: Path, answers: Path) -> Iterator[str]:
    given = {row["id"]: row for row in _rows(answers)}
    for row in _rows(requests):
        own = {key: given[row["id"]][key] for key in ("cheap_answer", "frontier_answer")}
        # One group for all of a set is none.
        group = row["group"] if requests.name.startswith("bfcl") else None
        yield json.dumps(row | own | {"group": group}) + "\n"


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
        yield from map(json.loads, file)


def read_set(traffic: Traffic, trainer: Trainer) -> AnswerSet:
    """Read requests and answers."""
    unknown = np.full((len(traffic), 2), np.nan)
    answered = read_answered(traffic, unknown, view=trainer.view, tokenizer=trainer.tokenizer)
    return AnswerSet(traffic, trainer.tokenize(traffic), BenchmarkSet.of(traffic), answered)


def judge(
    one: AnswerSet, trainer: Trainer, others: Scored, *, told: bool = False
) -> dict[str, Any]:
    """Return every figure of every method, ours and others."""
    scores = _out_of_fold(one, trainer, told=told) | others
    data = one.data
    rows, failed = data.rows(), 1.0 - data.cheap
    statistics = {name: apgr(score, data, rows) for name, (score, _) in scores.items()}
    costs = {
        name: _cost(calls_for_gap(score, data, rows, target=GAP), checks=checks)
        for name, (score, checks) in scores.items()
    }
    pairs = {
        "apgr": difference(statistics["check, full"], statistics["request"]),
        "saving": _saving(costs["request"], costs["check, full"]),
    }
    flat = {("apgr", name): each for name, each in statistics.items()}
    flat |= {("cost", name): each for name, each in costs.items()}
    flat |= {("pair", name): each for name, each in pairs.items()}
    draws = draw({str(key): each for key, each in flat.items()}, data.groups)

    def shown(key: tuple[str, str]) -> tuple[float, float, float]:
        found = estimate(flat[key], draws[str(key)], n=len(data), n_rows=len(rows))
        return found.value, found.low, found.high

    figures = {
        name: {
            "auroc": float(auroc(rank_within(score, data.fold), failed > 0.5)),
            "apgr": shown(("apgr", name)),
            "cost": shown(("cost", name)),
        }
        for name, (score, _) in scores.items()
    }
    return {"n": len(data), "figures": figures, "pairs": {k: shown(("pair", k)) for k in pairs}}


def _cost(calls: Any, *, checks: bool) -> Any:
    """Return what 80 % of the gap costs; a request sent at once pays no cheap call."""
    if checks:
        return lambda weight: CHEAP_CALL + calls(weight)
    return lambda weight: CHEAP_CALL * (1.0 - calls(weight)) + calls(weight)


def _saving(before: Any, after: Any) -> Any:
    return lambda weight: 1.0 - after(weight) / before(weight)


Scored = dict[str, tuple[FloatArray, bool]]
"""A score by method, and whether it needs the answer."""


def _out_of_fold(one: AnswerSet, trainer: Trainer, *, told: bool) -> Scored:
    fold = one.data.fold
    request = np.zeros(len(fold))
    checks = {form: np.zeros(len(fold)) for form in FORMS}
    for number in np.unique(fold):
        asked = np.flatnonzero(fold == number)
        said, found = _fitted(one, trainer, fold != number, asked, told=told, forms=FORMS, seed=0)
        request[asked] = said.difficulty_score
        for form in FORMS:
            checks[form][asked] = found[form]
    by_form: Scored = {f"check, {form}": (score, True) for form, score in checks.items()}
    return {"request": (request, False)} | by_form


def _fitted(
    one: AnswerSet,
    trainer: Trainer,
    may_learn: NDArray[np.bool_],
    asked: NDArray[np.intp],
    *,
    told: bool,
    forms: Sequence[Form],
    seed: int,
) -> tuple[Scores, dict[str, FloatArray]]:
    """Return what score and checks that learned from some requests say of others."""
    tokens = one.tokens if told else one.tokens._replace(tasks=[None] * len(one.data))
    model = trainer.fit(one.traffic, tokens, may_learn)
    inner = one.traffic.splits(SPLIT, trainer.recipe.seed)
    # The order in which heads have their samples.
    learned = np.concatenate(
        [np.flatnonzero(may_learn & (inner == part)) for part in ("fit", "calibration")]
    )
    groups = one.traffic.split_groups
    labelled = LabelledAnswers(
        answered=_beside(one.answered.at(learned), model.out_of_fold_.scores),
        outcomes=one.traffic.outcomes[learned],
        groups=[groups[row] for row in learned],
    )
    picked = tokens.at(asked)
    said = model.predict(picked.ids, picked.tasks)
    found = {}
    for form in forms:
        check = AnswerCheck(
            vocabulary_size=trainer.encoder.vocabulary_size,
            target="benefit",
            form=form,
            folds=trainer.recipe.folds,
            seed=seed,
        ).fit(labelled)
        found[form] = check.predict(_beside(one.answered.at(asked), said)).answer_score
    return said, found


def _beside(answered: Answered, scores: Scores) -> Answered:
    return replace(answered, request=request_columns(scores.by_name()).astype(np.float32))


def _others(one: AnswerSet, cascadeflow: Path | None) -> Scored:
    facts = {name: one.answered.facts[:, place] for place, name in enumerate(FACTS)}
    by_hand = facts["tools.hand_score"]
    if np.isnan(by_hand).all():
        by_hand = facts["arithmetic.hand_score"]
    answers = [Answer.parse(text) for text in one.traffic.column("cheap_answer")]
    lengths = np.array([len(answer.as_text()) for answer in answers], dtype=np.float64)
    others: Scored = {
        "answer length": (lengths, True),
        "hand rules": (np.nan_to_num(by_hand.astype(np.float64)), True),
    }
    if cascadeflow:
        others["cascadeflow"] = (_cascadeflow(one, answers, cascadeflow), True)
    return others


def _cascadeflow(one: AnswerSet, answers: Sequence[Answer], python: Path) -> FloatArray:
    script = Path(__file__).parent / "peers" / "cascadeflow_lib.py"
    rows = []
    texts = user_texts(one.traffic)
    bodies = zip(one.traffic.messages(), one.traffic.each_tools(), answers, texts, strict=True)
    for messages, tools, answer, text in bodies:
        asked = Asked.of({"messages": messages, "tools": tools})
        offer = read_offer(asked.tools, asked.system)
        names = {plain_name(each.name) for each in offer.functions}
        calls = read_calls(Pair(asked, answer), names).read if names else ()
        rows.append(
            {
                "question": text,
                "answer": answer.as_text(),
                "tools": [
                    {"name": each.name, "parameters": each.parameters} for each in offer.functions
                ],
                "calls": [{"name": call.name, "arguments": call.arguments} for call in calls],
            }
        )
    done = subprocess.run(
        [python, script],
        input=json.dumps(rows, default=str),
        capture_output=True,
        text=True,
        check=True,
    )
    return np.array(json.loads(done.stdout), dtype=np.float64)


def score_frugalgpt(one: AnswerSet, python: Path, kept: Path) -> FloatArray:
    """Return P(the answer fails) by FrugalGPT's recipe; folds that ``kept`` holds are not trained
    again.
    """
    answers = [Answer.parse(text).as_text() for text in one.traffic.column("cheap_answer")]
    columns = (user_texts(one.traffic), answers, 1.0 - one.data.cheap, one.data.fold.tolist())
    rows = [
        {"text": f"{question} {answer}", "failed": float(failed), "fold": fold}
        for question, answer, failed, fold in zip(*columns, strict=True)
    ]
    script = Path(__file__).parent / "peers" / "frugalgpt.py"
    kept.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([python, script, kept], input=json.dumps(rows), text=True, check=True)
    return np.array(json.loads(kept.read_text(encoding="utf-8")), dtype=np.float64)


def few_labels(one: AnswerSet, trainer: Trainer, size: int, draws: int) -> dict[str, Any]:
    """Return the mean APGR of score and check over draws of few labels."""
    data = one.data.in_one_fold()
    _, codes = np.unique(data.groups, return_inverse=True)
    found = []
    for seed in range(draws):
        place = np.random.default_rng([seed, size]).permutation(int(codes.max()) + 1)[codes]
        learned = np.argsort(place, kind="stable")[:size]
        may_learn = np.isin(np.arange(len(data)), learned)
        asked = np.flatnonzero(~np.isin(codes, codes[learned]))
        said, checks = _fitted(
            one, trainer, may_learn, asked, told=False, forms=("full",), seed=seed
        )
        scores = (said.difficulty_score, checks["full"])
        found.append([_plain_apgr(score, data, asked) for score in scores])
    request, check = np.mean(found, axis=0).tolist()
    return {"labels": size, "draws": draws, "request": request, "check": check}


def _plain_apgr(score: FloatArray, data: BenchmarkSet, rows: NDArray[np.intp]) -> float:
    whole = np.zeros(len(data))
    whole[rows] = score
    return float(apgr(whole, data, rows)(np.ones(len(data))))


def as_markdown(results: dict[str, Any]) -> str:
    """Return the page."""
    lines = [
        "# The check of the cheap model's answer",
        "",
        f"Recipe `{results['recipe']}`, {results['date']}. {_doc()}",
        "",
    ]
    for name, one in results["sets"].items():
        gain, saving = one["pairs"]["apgr"], one["pairs"]["saving"]
        lines += [
            f"## {name}, {one['n']:,} requests",
            "",
            f"The full check against the request's score: APGR {_shown(gain, sign=True)}; cost at"
            f" 80 % of the gap lower by {_percent(saving)}.",
            "",
            "| method | AUROC (answer fails, by the same score) | APGR | cost at 80 % |",
            "| --- | --- | --- | --- |",
        ]
        lines += [
            f"| {method} | {figures['auroc']:.3f} | {_shown(figures['apgr'])} |"
            f" {_shown(figures['cost'])} |"
            for method, figures in one["figures"].items()
        ]
        lines.append("")
    if any(results["labels"].values()):
        lines += [
            "## Few labels",
            "",
            "APGR on the rest, request's score and then the full check, mean over draws.",
            "",
        ]
        sizes = [each["labels"] for each in next(filter(None, results["labels"].values()))]
        lines += [
            "| set | " + " | ".join(f"{size} labels" for size in sizes) + " |",
            "| --- |" + " --- |" * len(sizes),
        ]
        for name, cells in results["labels"].items():
            shown = [f"{each['request']:.3f}, {each['check']:.3f}" for each in cells]
            lines.append(f"| {name} | {' | '.join(shown)} |")
    return "\n".join(lines).rstrip() + "\n"


def _doc() -> str:
    parts = (__doc__ or "").split("\n\n")
    return " ".join(part.replace("\n", " ") for part in parts[2:4])


def _shown(value: Sequence[float], *, sign: bool = False) -> str:
    mark = "+" if sign else ""
    return f"{value[0]:{mark}.3f} [{value[1]:{mark}.3f}, {value[2]:{mark}.3f}]"


def _percent(value: Sequence[float]) -> str:
    return f"{100 * value[0]:.1f} % ({100 * value[1]:.1f} to {100 * value[2]:.1f})"


if __name__ == "__main__":
    main()
