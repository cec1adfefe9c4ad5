"""A first look at a log: what it holds, what it lacks, what labels would cost, what to do next."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from difficulty.errors import DifficultyError
from difficulty.evaluation.slices import script_of
from difficulty.form import Record
from difficulty.kinds import PathKind, kind_of
from difficulty.metrics.arrays import FloatArray
from difficulty.records import Prices
from difficulty.routes import Route
from difficulty.stages.ingest import ingest
from difficulty.storage import on_urls
from difficulty.text import one_line
from difficulty.traffic.formats import find_format
from difficulty.traffic.reading.dialect import AS_FOUND, ReadOptions
from difficulty.traffic.reading.mapping import TableMapping
from difficulty.traffic.reading.suggestion import suggest
from difficulty.traffic.summary import Summary
from difficulty.traffic.table import Traffic

LABELS = 300
"""Requests that are reckoned with: about where a first score can be judged at all."""
_CHARS_A_TOKEN = 4.0  # of English text; other scripts take more tokens
_SIDES: tuple[Route, Route] = ("cheap", "frontier")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelPrice(Record):
    """What it costs to have requests answered by both models; the judge is not in it."""

    requests: int
    usd: float | None
    """``None`` where it cannot be said."""
    basis: str
    """What the figure rests on, or what it needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstLook(Record):
    """What is to be said to somebody who has nothing but a log."""

    format: str
    rows: int
    kept: int
    """Rows that can be used."""
    problem: str | None
    """Why the file cannot be read as it is; all counts are 0 then."""
    mapped: bool
    """Whether a mapping was needed, and proposed, to read it."""
    rejected: dict[str, int]
    left_out: dict[str, int]
    """Why rows are no request of the two models, with their number."""
    models: dict[str, int]
    """Rows that name each model."""
    labelled: int
    """Requests with an outcome."""
    both: int
    """Requests of which something says which answer was better."""
    answers: dict[str, int]
    tokens: dict[str, float | None]
    """Mean of ``prompt``, ``cheap`` and ``frontier``; ``None`` where unknown."""
    characters: float
    """Mean of a request."""
    billed_usd: dict[str, float]
    scripts: dict[str, int]
    missing: tuple[str, ...]
    cost: LabelPrice | None
    """``None`` where there are labels enough to begin with, or nothing was read."""
    next_steps: tuple[str, ...]
    """Commands, in order."""
    instead: Mapping[str, str] = field(default_factory=dict)
    """Other ways to labels: what each is for, and its command."""


class _Read(NamedTuple):
    summary: Summary
    traffic: Traffic
    mapped: bool
    hint: str = ""
    """Why the mapping that was proposed does not fit, where it was tried."""


@on_urls
def look_at(
    path: Path,
    options: ReadOptions = AS_FOUND,
    prices: Prices | None = None,
    progress: Callable[[int], None] | None = None,
    prices_path: Path | None = None,
) -> FirstLook:
    """Read a log as ``ingest`` would, keep nothing of it, and say what it holds.

    Of a table, the mapping that ``ingest --suggest`` proposes is tried too, and taken where more is
    found with it. The commands that come next name ``prices_path``, where ``prices`` were read.

    Raises
    ------
    TrafficError
        If the file does not exist, or no format reads it.
    """
    format = find_format(path, options=options)[0]
    with TemporaryDirectory() as scratch:
        try:
            read = _read(path, options, Path(scratch), progress)
        except DifficultyError as error:
            return _unread(path, options, format, str(error), prices_path)
        return _described(path, options, format, read, prices, prices_path)


def _read(
    path: Path, options: ReadOptions, folder: Path, progress: Callable[[int], None] | None
) -> _Read:
    def run(name: str, mapping: TableMapping | None) -> _Read:
        out = folder / name
        summary = ingest(
            [path],
            out,
            options=options,
            mapping=mapping,
            allow_rejects=True,
            near_duplicates=False,
            progress=progress,
        )
        return _Read(summary, Traffic.read(out), mapping is not None)

    if find_format(path, options=options)[0] != "native" or kind_of(path) is PathKind.TRAFFIC:
        return run("plain.parquet", None)
    plain = mapped = None
    try:
        plain = run("plain.parquet", None)
    except DifficultyError as error:
        refusal = error
    # Columns of other names are passed over, so that a table can be read and lose its outcomes.
    try:
        proposal = folder / "mapping.toml"
        proposal.write_text(suggest(path, options), encoding="utf-8")
        mapped = run("mapped.parquet", TableMapping.read(proposal))
    except DifficultyError as error:
        if plain is not None:
            return plain._replace(hint=str(error))
        # A pair that is not named is what the file lacks; else it is its own fault, not ours.
        raise (error if "--cheap" in str(error) else refusal) from None
    if plain is None or _worth(mapped.summary) > _worth(plain.summary):
        return mapped
    return plain


def _worth(summary: Summary) -> int:
    """Count what a way of reading finds beside the requests."""
    known = (summary.known_outcomes, summary.known_answers, summary.known_tokens)
    return sum(sum(counts.values()) for counts in known)


def _unread(
    path: Path, options: ReadOptions, format: str, problem: str, prices_path: Path | None
) -> FirstLook:
    steps = [_ingest_command(path, options)]
    if "--cheap" in problem:  # the models that the log names stand in the problem
        pair = ("--cheap", "CHEAP", "--frontier", "FRONTIER")
        steps = [_shown("start", path, *pair, *_prices_words(prices_path))]
    elif format == "native":
        steps = [_suggest_command(path, options), _ingest_command(path, options, mapped=True)]
    return FirstLook(
        format=format,
        rows=0,
        kept=0,
        problem=problem,
        mapped=False,
        rejected={},
        left_out={},
        models={},
        labelled=0,
        both=0,
        answers={},
        tokens={},
        characters=0.0,
        billed_usd={},
        scripts={},
        missing=(),
        cost=None,
        next_steps=tuple(steps),
    )


def _described(
    path: Path,
    options: ReadOptions,
    format: str,
    read: _Read,
    prices: Prices | None,
    prices_path: Path | None,
) -> FirstLook:
    summary, traffic = read.summary, read.traffic
    known = summary.known_outcomes
    both = known.get("both", 0) + known.get("preference", 0)
    # Where every request is labelled there is none to buy a label for.
    lacking = both < min(LABELS, summary.kept)
    lengths, scripts = [], Counter[str]()
    for messages in traffic.each_messages():  # a few thousand at a time, as logs are large
        text = "\n".join(message["content"] for message in messages)
        lengths.append(len(text))
        scripts[script_of(text)] += 1
    characters = float(np.mean(lengths))
    tokens = dict(zip(("prompt", *_SIDES), map(_mean, traffic.tokens[:3]), strict=True))
    labelled = summary.kept - summary.unlabelled
    answers: dict[str, int] = {
        side: n for side in _SIDES if (n := summary.known_answers.get(f"{side}_answer", 0))
    }
    names = (traffic.column(f"{side}_model") for side in _SIDES)
    models = Counter(name for side in names for name in side if name is not None)
    return FirstLook(
        format=format,
        rows=summary.rows,
        kept=summary.kept,
        problem=None,
        mapped=read.mapped,
        rejected=dict(summary.rejected),
        left_out=dict(summary.left_out),
        models=dict(models.most_common()),
        labelled=labelled,
        both=both,
        answers=answers,
        tokens=tokens,
        characters=characters,
        billed_usd={
            name: usd for name, usd in summary.billed_usd.items() if summary.known_costs.get(name)
        },
        scripts=dict(scripts.most_common()),
        missing=tuple(_missing(read, labelled, both, answers)),
        cost=_label_price(traffic, tokens, characters, prices) if lacking else None,
        next_steps=tuple(_next_steps(path, options, read.mapped, lacking, prices_path)),
        instead=_INSTEAD if lacking else {},
    )


def _missing(read: _Read, labelled: int, both: int, answers: dict[str, int]) -> Sequence[str]:
    summary, traffic = read.summary, read.traffic
    # As the file is read row by row; with what is asked for here, more may be in it.
    said = [f"as a table of other columns: {read.hint}"] if read.hint else []
    if not labelled:
        said.append("outcomes: nothing says how good an answer was")
    elif not both:
        said.append(
            f"outcomes of both models for one request: {labelled:,} say how one of the two did"
        )
    elif both < LABELS:
        said.append(f"outcomes: {both:,} of both models; {LABELS} are a beginning")
        if both == summary.kept:
            said.append("requests: all are labelled; bring more of the log")
    said += [f"answers of the {side} model" for side in _SIDES if side not in answers]
    if not np.isfinite(traffic.tokens.prompt).any():
        said.append("token counts: prompts are reckoned by their characters")
    if not any(traffic.tasks):
        said.append("tasks: not needed; a threshold of each task is not to be had")
    if summary.generated_ids == summary.kept:
        said.append("ids: outcomes that come later cannot be joined but by file and line")
    return said


def _label_price(
    traffic: Traffic, tokens: dict[str, float | None], characters: float, prices: Prices | None
) -> LabelPrice:
    n = min(LABELS, len(traffic))
    bills = {side: _mean(getattr(traffic.bill, side)) for side in _SIDES}
    if prices is None:
        billed = [bill for bill in bills.values() if bill is not None]
        if len(billed) == len(bills):
            basis = "mean bill of each model in the log"
            return LabelPrice(requests=n, usd=n * sum(billed), basis=basis)
        return LabelPrice(requests=n, usd=None, basis="needs --prices PRICES.toml")
    prompt, notes = tokens["prompt"], ["prompt tokens of the log"]
    if prompt is None:
        prompt, notes = characters / _CHARS_A_TOKEN, ["a token for 4 characters of the prompt"]
    lengths = [tokens[side] for side in _SIDES]
    one = next((length for length in lengths if length is not None), None)
    if one is None:
        one = 0.0
        notes.append("input alone, as the length of answers is unknown")
    elif None in lengths:
        notes.append("answers of both models as long as those of the one that is known")
    else:
        notes.append("answer tokens of the log")
    usd = sum(
        float(prices.cost(side, prompt, one if length is None else length))
        for side, length in zip(_SIDES, lengths, strict=True)
    )
    return LabelPrice(requests=n, usd=n * usd, basis="; ".join(notes))


def _next_steps(
    path: Path, options: ReadOptions, mapped: bool, lacking: bool, prices_path: Path | None
) -> Sequence[str]:
    steps = [_ingest_command(path, options, mapped=mapped)]
    if mapped:
        steps.insert(0, _suggest_command(path, options))
    if lacking:
        steps.append(_label_command(options, prices_path))
    else:
        steps.append("difficulty train traffic.parquet -o runs/first")
        steps.append("difficulty ship runs/first -o bundles/first-1")
    return steps


_INSTEAD = {
    "with feedback that you have": ("difficulty outcomes traffic.parquet FEEDBACK -o late.parquet"),
    "with a log that keeps more from now on": (
        "difficulty litellm-config --observe --frontier FRONTIER > proxy.yaml"
    ),
}


def _label_command(options: ReadOptions, prices_path: Path | None) -> str:
    """Return what buys labels; without --yes it says what that would cost."""
    named = options.pair.exact
    pair = (f"--{side} {shlex.quote(named.get(side, side.upper()))}" for side in _SIDES)
    prices = "".join(f" {word}" for word in map(shlex.quote, _prices_words(prices_path)))
    return one_line(
        f"difficulty label traffic.parquet {' '.join(pair)} --judge MODEL{prices}"
        " --budget-usd 20 -o labelled.parquet"
    )


def _prices_words(prices_path: Path | None) -> list[str]:
    return [] if prices_path is None else ["--prices", str(prices_path)]


def _suggest_command(path: Path, options: ReadOptions) -> str:
    return _shown("ingest", path, *_pair_words(options), "--suggest") + " > mapping.toml"


def _ingest_command(path: Path, options: ReadOptions, *, mapped: bool = False) -> str:
    mapping = ["--mapping", "mapping.toml"] if mapped else []
    return _shown("ingest", path, *_pair_words(options), *mapping, "-o", "traffic.parquet")


def _shown(command: str, path: Path, *words: str) -> str:
    return one_line(shlex.join(["difficulty", command, str(path), *words]))


def _pair_words(options: ReadOptions) -> list[str]:
    pair = options.pair
    named = (("--cheap", pair.cheap), ("--frontier", pair.frontier))
    return [word for flag, names in named for name in names for word in (flag, name)]


def _mean(values: FloatArray) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None
