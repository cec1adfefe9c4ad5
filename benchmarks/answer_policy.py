"""Is the right way to use a check chosen? Half of each public set chooses, the other half judges.

    python -m benchmarks.answer_policy -o benchmarks/results/2026-11-28-answer-policy \
      --routellm RouteLLM --normalised normalised drift --answers answers drift

Sets are those with answers of the cheap model: worked maths, tool calls, primes, competition maths.
Request scores are out of fold by the recipe ``fast``, without tasks; scores of answers are those of
``AnswerCheck``, heads, stack and calibrator by folds. A frontier call costs 1, a cheap one 0.05,
paid before an escalation too. Groups are dealt to two halves, five times. One half chooses way and
thresholds for 80 % of the quality gap by the code of ``difficulty ship``; the other says what that
costs, and what the cheapest way with the best thresholds would have cost there for the same quality
(hindsight). A choice is *right* where it is the check on a set on which that saves 2 % or more as a
whole, and the request's score alone elsewhere.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.lib.experiments import TITLES
from benchmarks.lib.protocol import BenchmarkSet, FloatArray, read_traffic
from benchmarks.lib.recipes import Trainer
from benchmarks.lib.results import write_results
from difficulty.answer_check.answered import Answered, LabelledAnswers
from difficulty.answer_check.check import AnswerCheck
from difficulty.answers.answer import Answer, Asked
from difficulty.answers.facts import read_facts
from difficulty.evaluation.figures import columns_of, ratios_at
from difficulty.evaluation.frontiers import CHECK_KINDS, CheckKind, Frontiers
from difficulty.evaluation.scored import ScoredTraffic, Thresholds
from difficulty.metrics.bootstrap import group_codes
from difficulty.thresholds.policy_curve import parse_objective
from difficulty.thresholds.ways import WORTH, choose_way
from difficulty.traffic.table import Traffic
from difficulty.training.shipped import find_recipe

OWN_TITLES = {
    "zeroeval_math-l5__meta-llama-3-8b-instruct__claude-3-5-sonnet-20241022": (
        "Competition maths: Llama-3-8B / Claude 3.5"
    ),
    "zeroeval_math-l5__meta-llama-3.1-8b-instruct__o1-mini-2024-09-12": (
        "Competition maths: Llama-3.1-8B / o1-mini"
    ),
    "llmdrift_prime_full__march": "Primes, March: GPT-3.5 / GPT-4",
}
CHEAP, FRONTIER = 0.05e-3, 1e-3
"""Costs of a call, so that 1,000 requests cost their calls of the frontier model."""
LEVEL = 0.8
HALVES = 5


@dataclass(frozen=True, eq=False)
class Scored:
    """A set with both scores of each request."""

    name: str
    traffic: ScoredTraffic

    def halves(self, seed: int) -> tuple[ScoredTraffic, ScoredTraffic]:
        """Return the requests of two random halves of the groups."""
        codes = group_codes(self.traffic.groups)
        side = (np.random.default_rng(seed).permutation(int(codes.max()) + 1) % 2)[codes]
        return self.traffic.at(side == 0), self.traffic.at(side == 1)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--routellm", type=Path, help="checkout of github.com/lm-sys/RouteLLM")
    parser.add_argument("--normalised", type=Path, nargs="*", default=[], help="folders of traffic")
    parser.add_argument("--answers", type=Path, nargs="*", default=[], help="folders of answers")
    parser.add_argument("-o", "--out", type=Path, required=True, help="results, without suffix")
    arguments = parser.parse_args()
    found = sets_in(arguments.routellm, arguments.normalised, arguments.answers)
    scored = (score(name, traffic) for name, traffic in found)
    # Where the frontier model is no better, as on the primes of June, there is nothing to choose.
    rows = [show(judge(each)) for each in scored if Frontiers.of(each.traffic)]
    results = {"recipe": "fast", "level": LEVEL, "halves": HALVES, "sets": rows}
    write_results(arguments.out, results, as_markdown(results))


def show(row: dict[str, Any]) -> dict[str, Any]:
    """Print a row, and return it."""
    print(row, flush=True)
    return row


def sets_in(
    routellm: Path | None, normalised: Sequence[Path], answers: Sequence[Path]
) -> Iterator[tuple[str, Traffic]]:
    """Yield each set of which answers of the cheap model are there."""
    if routellm:
        yield TITLES["gsm8k"], read_traffic(routellm / "routellm" / "evals" / "gsm8k")
    files = {path.name: path for folder in answers for path in sorted(folder.glob("*.jsonl.gz"))}
    for folder in normalised:
        for path in sorted(folder.glob("*.jsonl.gz")):
            # ``answers_X`` beside ``llmdrift_X``, or a file of the same name in another folder.
            own = files.get(path.name.replace("llmdrift", "answers"))
            if own is not None and own != path:
                name = path.name.removesuffix(".jsonl.gz")
                yield (TITLES | OWN_TITLES).get(name, name), _with_answers(path, own)


def _with_answers(traffic: Path, answers: Path) -> Traffic:
    known = {row["id"]: row for row in _lines(answers)}
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "traffic.jsonl"
        with path.open("w", encoding="utf-8") as file:
            for row in _lines(traffic):
                row["cheap_answer"] = known[row["id"]]["cheap_answer"]
                file.write(json.dumps(row) + "\n")
        return read_traffic(path)


def _lines(path: Path) -> Iterable[dict[str, Any]]:
    # Strings hold other line separators too.
    for line in gzip.decompress(path.read_bytes()).split(b"\n"):
        if line:
            yield json.loads(line)


def score(name: str, traffic: Traffic) -> Scored:
    """Return a set with out-of-fold scores of its requests and its answers."""
    data, trainer = BenchmarkSet.of(traffic), Trainer.of(find_recipe("fast"))
    tokens = trainer.tokenize(traffic)
    n, fold = len(data), _folds(data)
    request = np.zeros((n, 2), dtype=np.float32)
    score_ = np.zeros(n)
    for number in np.unique(fold):
        rows = np.flatnonzero(fold == number)
        model = trainer.fit(traffic, tokens, fold != number)
        said = model.predict(tokens.at(rows).ids)
        assert said.p_frontier_fails is not None
        request[rows] = np.column_stack([said.p_cheap_fails, said.p_frontier_fails])
        score_[rows] = said.difficulty_score
    answers = [Answer.parse(text or "") for text in traffic.column("cheap_answer")]
    answered = Answered(
        facts=np.stack(
            [
                read_facts(Asked.of({"messages": messages}), answer)
                for messages, answer in zip(traffic.messages(), answers, strict=True)
            ]
        ),
        ids=_answer_ids(trainer, answers),
        request=request,
    )
    outcomes = traffic.outcomes.without_votes()
    learned = LabelledAnswers(answered=answered, outcomes=outcomes, groups=data.groups.tolist())
    vocabulary = trainer.tokenizer.vocabulary_size
    check = AnswerCheck(vocabulary_size=vocabulary, target="benefit").fit(learned)
    return Scored(
        name,
        ScoredTraffic(
            difficulty_score=score_,
            outcomes=outcomes,
            groups=data.groups,
            tasks=[None] * n,
            cheap_cost=np.full(n, CHEAP),
            frontier_cost=np.full(n, FRONTIER),
            **check.out_of_fold_.by_name(),
        ),
    )


def _folds(data: BenchmarkSet) -> NDArray[np.int64]:
    """Return the protocol's folds; by request where one group would hold all of them."""
    if len(np.unique(data.fold)) > 1:
        return data.fold
    return np.arange(len(data)) % 5


def _answer_ids(trainer: Trainer, answers: Sequence[Answer]) -> list[Sequence[int]]:
    texts = [
        trainer.view([{"role": "user", "content": answer.as_text()}]).text for answer in answers
    ]
    return [trainer.tokenizer.encode(text).ids for text in texts]


def judge(scored: Scored) -> dict[str, Any]:
    """Return which way is chosen in each half, and what that costs in the other."""
    whole = Frontiers.of(scored.traffic)
    assert whole is not None
    right: CheckKind = "check" if whole.saved("check", LEVEL) > WORTH else "request"
    kinds, recovered, cost, excess, at_level = [], [], [], [], []
    for seed in range(HALVES):
        chosen_on, judged_on = scored.halves(seed)
        way = choose_way(chosen_on, parse_objective(f"quality={LEVEL:g}"))
        figures = _figures(judged_on, Thresholds(way.threshold, answer=way.answer))
        other = Frontiers.of(judged_on)
        assert other is not None
        kinds.append(way.kind)
        recovered.append(figures["gap_recovered"])
        cost.append(figures["cost"])
        excess.append(figures["cost"] / _hindsight(other, figures["gap_recovered"]) - 1.0)
        at_level.append(_hindsight(other, LEVEL))
    return {
        "set": scored.name,
        "n": len(scored.traffic),
        "saved_by_check": whole.saved("check", LEVEL),
        "saved_by_both": whole.saved("both", LEVEL),
        "costs": {kind: float(whole.costs(kind, np.array([LEVEL]))[0]) for kind in CHECK_KINDS},
        "right": right,
        "chosen": kinds,
        "n_right": sum(kind == right for kind in kinds),
        "recovered": float(np.mean(recovered)),
        "cost": float(np.mean(cost)),
        "over_hindsight": float(np.mean(excess)),
        "hindsight_at_level": float(np.mean(at_level)),
    }


def _figures(traffic: ScoredTraffic, thresholds: Thresholds) -> dict[str, float]:
    table, rows = traffic.under(thresholds), np.arange(len(traffic))
    columns = columns_of(table, ["cost", "gap_recovered"])
    ratios = ratios_at(columns, table.routes(thresholds), rows)
    return {name: float(each.value(traffic.outcomes.weight)) for name, each in ratios.items()}


def _hindsight(frontiers: Frontiers, recovered: float) -> float:
    """Return the least cost of any way that recovers as much."""
    level: FloatArray = np.array([min(recovered, 1.0)])
    return float(np.nanmin([frontiers.costs(kind, level)[0] for kind in CHECK_KINDS]))


def as_markdown(results: Mapping[str, Any]) -> str:
    """Return the results as a page."""
    sets, level = results["sets"], 100.0 * results["level"]
    n_right, n = sum(row["n_right"] for row in sets), results["halves"] * len(sets)
    mean = float(np.mean([row["over_hindsight"] for row in sets]))
    lines = [
        "# Is the right way to use a check chosen?",
        "",
        *__doc__.strip().splitlines()[5:],
        "",
        f"Right in {n_right} of {n} choices; over hindsight by {100.0 * mean:.1f} % on average.",
        "",
        f"Costs are frontier calls a request, for {level:.0f} % of the gap on the whole set, best"
        " thresholds; *chosen* and what follows are means over the other halves.",
        "",
        "| set | n | request | check | both | right | chosen | recovered | cost | over hindsight |"
        f" hindsight at {level:.0f} % |",
        "| --- " * 11 + "|",
    ]
    for row in sets:
        costs = " | ".join(f"{row['costs'][kind]:.3f}" for kind in CHECK_KINDS)
        chosen = ", ".join(
            f"{kind} {row['chosen'].count(kind)}" for kind in CHECK_KINDS if kind in row["chosen"]
        )
        lines.append(
            f"| {row['set']} | {row['n']:,} | {costs} | {row['right']} | {chosen} |"
            f" {row['recovered']:.3f} | {row['cost']:.3f} |"
            f" {100.0 * row['over_hindsight']:+.1f} % |"
            f" {row['hindsight_at_level']:.3f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
