"""What taking off the offsets of judges does to qualities, in simulations in which the truth is
known.

    python -m benchmarks.judge_offsets -o benchmarks/results/2026-11-27-judge-offsets

Each repetition draws requests of as many kinds as there are judges, and hands every request to the
judge of its kind, a share of them to another judge as well. Mean values of the cheap answers lie
evenly between 0.3 and 0.6 over the kinds; a cheap answer scatters around that and its frontier
answer around 0.1 more, with sd 0.1 each. A score is the value of the answer, plus the offset of the
judge (sd 0.1, or 0), plus noise of sd 0.15, cut to the scale. The scores go through label source
``judge`` as it is, only with another pull in place of its three scores; *as given* is a pull so
strong that nothing is taken off, 0 one of a millionth of a score. All pulls see the same scores.

The error of a repetition is the root mean square, over both answers of all requests, of quality
minus value, its mean aside: an offset common to all moves no decision. Figures are means over
repetitions with Student's intervals.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.lib.repetitions import Repeated, mean_of, surroundings, table, write
from difficulty.traffic.labels.judge import PRIOR_SCORES, JudgeScores
from difficulty.traffic.readers import RawRow

FloatArray = NDArray[np.float64]
NOISE, OFFSETS, SCATTER, BETTER = 0.15, 0.1, 0.1, 0.1
KINDS = (0.3, 0.6)
AS_GIVEN = 1e12
PULLS = {"as given": AS_GIVEN, "0": 1e-6, "1": 1.0, "3": 3.0, "10": 10.0, "30": 30.0}
SHIPPED = f"{PRIOR_SCORES:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Who judges what."""

    judges: int
    requests: int
    twice: float
    """Share of the requests that a second judge scores."""
    offsets: float = OFFSETS
    """Standard deviation over judges."""

    def __str__(self) -> str:
        what = "" if self.offsets else ", no offsets"
        return (
            f"{self.judges} judges, {self.requests:,} requests, {self.twice:.0%} scored twice{what}"
        )

    def drawn(self, rng: np.random.Generator) -> tuple[list[RawRow], FloatArray]:
        """Return the rows of the judges, and the value of each answer: shape (requests, 2), cheap
        and frontier.
        """
        first = rng.integers(0, self.judges, self.requests)
        cheap = np.linspace(*KINDS, self.judges)[first] + rng.normal(0, SCATTER, self.requests)
        value = np.clip(
            np.stack([cheap, cheap + rng.normal(BETTER, SCATTER, self.requests)], axis=1), 0.0, 1.0
        )
        second = (first + rng.integers(1, self.judges, self.requests)) % self.judges
        again = np.flatnonzero(rng.random(self.requests) < self.twice)
        requests, judges = (
            np.append(np.arange(self.requests), again),
            np.append(first, second[again]),
        )
        offset = rng.normal(0, self.offsets, self.judges)
        scores = np.clip(
            value[requests] + offset[judges, None] + rng.normal(0, NOISE, (len(requests), 2)),
            0.0,
            1.0,
        )
        rows = zip(requests.tolist(), judges.tolist(), scores.tolist(), strict=True)
        return [_row(line, *row) for line, row in enumerate(rows, start=1)], value


FEW_SHARED, MANY_SHARED, MANY_JUDGES = (
    {"judges": 6, "requests": 2000, "twice": 0.01},
    {"judges": 6, "requests": 2000, "twice": 0.12},
    {"judges": 40, "requests": 600, "twice": 0.12},
)
SETTINGS = tuple(
    Setting(**one, offsets=sd)
    for sd in (OFFSETS, 0.0)
    for one in (MANY_SHARED, FEW_SHARED, MANY_JUDGES)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one setting came to: errors by pull, and how much more each pull errs than the shipped
    one.
    """

    setting: Setting
    error: dict[str, Repeated]
    more: dict[str, Repeated]


def judged(setting: Setting, *, repetitions: int) -> Found:
    """Return the errors of a setting."""
    errors = np.array(
        [list(errors_of(setting, np.random.default_rng(seed))) for seed in range(repetitions)]
    )
    by_pull = dict(zip(PULLS, errors.T, strict=True))
    more = {
        name: mean_of(error - by_pull[SHIPPED])
        for name, error in by_pull.items()
        if name != SHIPPED
    }
    return Found(
        setting=setting, error={name: mean_of(error) for name, error in by_pull.items()}, more=more
    )


def errors_of(setting: Setting, rng: np.random.Generator) -> Iterator[float]:
    """Yield the error of the qualities with each pull, on one draw."""
    rows, value = setting.drawn(rng)
    for pull in PULLS.values():
        labelled = JudgeScores(scale=(0.0, 1.0), prior_scores=pull).rows(rows)
        yield float(np.std(_qualities(labelled) - value))


def _row(line: int, request: int, judge: int, scores: list[float]) -> RawRow:
    name, (cheap, frontier) = str(request), scores
    return RawRow(
        "",
        line,
        {
            "id": name,
            "prompt": name,
            "judge": str(judge),
            "cheap_score": cheap,
            "frontier_score": frontier,
        },
    )


def _qualities(rows: Iterator[RawRow]) -> FloatArray:
    """Return both qualities of each request, in order."""
    return np.array([(row.fields["cheap_quality"], row.fields["frontier_quality"]) for row in rows])  # type: ignore[index]


def main() -> None:
    """Run the simulations and write ``<out>.json`` and ``<out>.md``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repetitions", type=int, default=60)
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="path of the results without suffix"
    )
    arguments = parser.parse_args()
    found = []
    for setting in SETTINGS:
        found.append(judged(setting, repetitions=arguments.repetitions))
        print(setting, found[-1].error["as given"], found[-1].error[SHIPPED], flush=True)
    results = surroundings() | {
        "repetitions": arguments.repetitions,
        "settings": [asdict(one) for one in found],
    }
    write(
        arguments.out,
        results,
        page(found, arguments.repetitions),
        f"python -m benchmarks.judge_offsets -o {arguments.out}",
    )


def page(found: list[Found], repetitions: int) -> list[str]:
    """Return the lines of the page."""
    others = [name for name in PULLS if name != SHIPPED]
    errors = [[one.setting, *(one.error[name] for name in PULLS)] for one in found]
    more = [[one.setting, *(one.more[name].signed for name in others)] for one in found]
    header = {name: f"pull of {name}" if name in ("0", "1") else name for name in PULLS}
    return [
        "# Offsets of judges, taken off or not",
        "",
        *__doc__.strip().splitlines()[4:],
        "",
        f"{repetitions:,} repetitions of each setting. Error of the qualities:",
        "",
        *table(["setting", *header.values()], errors),
        "",
        (
            f"How much larger the error is than with the pull that is shipped, {SHIPPED} scores;"
            " below 0 the other one is better:"
        ),
        "",
        *table(["setting", *(header[name] for name in others)], more),
    ]


if __name__ == "__main__":
    main()
