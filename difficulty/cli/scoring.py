"""Score and route requests with a bundle: ``difficulty score``, ``difficulty route``."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from json import loads
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from difficulty.cli.console import (
    BundlePath,
    EngineName,
    EngineWorkers,
    InputPath,
    JsonFlag,
    OverwriteFlag,
    RayAddress,
    RequestText,
    RowsPath,
    chosen_engine,
    complain,
    counting,
    counting_rows,
    print_json,
    refuse_output,
    say,
    warn,
)
from difficulty.cli.explained import print_explanation
from difficulty.storage import local_copy, url_of
from difficulty.text import one_line, part_text, quantity_text

if TYPE_CHECKING:
    from difficulty.bundle import Policy
    from difficulty.request import RequestRow
    from difficulty.runtime.answers import AnswerVerdict


TaskName = Annotated[
    str | None, typer.Option(help="Task of the text, where it is known. Files name it in each row.")
]
_Spread = tuple[str | None, str | None, int | None]
"""Engine, address and workers, as asked for."""
# Of files of JSON lines; a device has none.
_LINES = ("", ".jsonl", ".ndjson", ".json", ".txt")
# In the order in which they are counted up for people.
_REASONS = (
    "ineligible",
    "easy_task",
    "hard_task",
    "above_threshold",
    "within_threshold",
    "stick",
    "unfamiliar",
    "scorer_error",
)


def score(
    bundle: BundlePath,
    text: RequestText = None,
    task: TaskName = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="FILE",
            help="Requests to score: Parquet, JSON lines, CSV, a saved dataset, a folder of such;"
            " - for standard input. Into Parquet several, patterns and URLs too.",
        ),
    ] = None,
    out_path: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Where to write: scores and decisions to a .parquet file, on every core and in"
            " bounded memory, or scores as JSON lines; default: standard output.",
        ),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Column to have in the Parquet output too; repeated."),
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Short for --engine local --workers N.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a job for the same output was stopped.")
    ] = False,
    skip_damaged: Annotated[
        bool,
        typer.Option(
            "--skip-damaged",
            help="Write rows without scores for row groups that cannot be read; default: stop.",
        ),
    ] = False,
    work_dir: Annotated[
        Path | None,
        typer.Option(help="Where finished parts wait; default: a hidden folder beside -o."),
    ] = None,
    engine: EngineName = None,
    address: RayAddress = None,
    workers: EngineWorkers = None,
    overwrite: OverwriteFlag = False,
    json: JsonFlag = False,
) -> None:
    """Score a text, or every request of some files; order and number of rows stay as they came.

    Example: difficulty score bundles/support-1 --input log.parquet -o scores.parquet --keep team
    """
    if processes is not None:
        if engine is not None or workers is not None:
            raise typer.BadParameter("--processes goes without --engine and --workers")
        engine, workers = "local", processes
    spread = (engine, address, workers)
    if inputs and out_path is not None and out_path.suffix.lower() == ".parquet":
        if text is not None:
            raise typer.BadParameter("pass either a text or --input FILE")
        if "-" in inputs:
            raise typer.BadParameter("standard input (-) is scored into JSON lines: -o NAME.jsonl")
        refuse_output(out_path, source=None, overwrite=overwrite)
        for source in [Path(name) for name in inputs if not url_of(name)]:
            refuse_output(out_path, source=source, overwrite=overwrite)
        options = {"keep": keep or (), "resume": resume, "skip_damaged": skip_damaged}
        _score_files(bundle, inputs, out_path, spread, json=json, work_dir=work_dir, **options)
        return
    _refuse_form(out_path, also=".parquet (with --input)")
    if keep or resume or skip_damaged or work_dir:
        raise typer.BadParameter(
            "--keep, --resume, --skip-damaged and --work-dir go with --input and -o NAME.parquet"
        )
    if inputs and len(inputs) > 1:
        raise typer.BadParameter("several --input go with -o NAME.parquet")
    with ExitStack() as stack:
        path = stack.enter_context(local_copy(inputs[0])) if inputs else None
        if out_path is not None:
            refuse_output(out_path, source=path, overwrite=overwrite)
        _score_rows(
            bundle, _read_input(text, task, path), (text, task), out_path, spread, json=json
        )


def _refuse_form(out_path: Path | None, *, also: str = "") -> None:
    """Refuse a name of another kind of file than JSON lines."""
    if out_path is None or out_path.suffix.lower() in _LINES:
        return
    forms = " or ".join(form for form in ("JSON lines: .jsonl", also) if form)
    raise typer.BadParameter(f"-o must name a file of {forms}; got a name with {out_path.suffix}")


def _score_files(
    bundle: Path, inputs: list[str], out_path: Path, spread: _Spread, *, json: bool, **options: Any
) -> None:
    """Score files into Parquet and say what came of it."""
    from difficulty.stages.bulk.bulk_job import score_files

    name, address, workers = spread
    with (
        chosen_engine(name or "local", address, workers) as engine,
        counting_rows("scored") as count,
    ):
        assert engine is not None
        done = score_files(bundle, inputs, out_path, engine=engine, progress=count, **options)
    counts = done.counts
    for column in done.absent:
        warn(f"no row has a value of {column!r}, which was to be kept.")
    if json:
        names = ("rows", "errors", "truncated", "cheap", "frontier")
        told = {name: counts[name] for name in names}
        print_json({"out": str(out_path), **told, "parts": done.n_parts, "kept": done.n_kept})
        return
    if done.n_kept:
        say(f"{part_text(done.n_kept, done.n_parts, 'part', 'was', 'were')} scored before")
    cut = f", {counts['truncated']:,} cut to head and tail" if counts["truncated"] else ""
    say(
        f"{quantity_text(counts['rows'], 'request')}: {counts['cheap']:,} cheap,"
        f" {counts['frontier']:,} frontier;"
        f" {counts['errors']:,} could not be scored{cut}"
    )
    say(f"wrote {out_path}")


def _score_rows(
    bundle: Path,
    requests: Iterable[RequestRow],
    asked: tuple[str | None, str | None],
    out_path: Path | None,
    spread: _Spread,
    *,
    json: bool,
) -> None:
    """Score a text, or the rows of a file as JSON lines."""
    from difficulty.bundle import read_bundle
    from difficulty.runtime.scorer import Scorer
    from difficulty.stages.route import score_rows, score_rows_on

    text, task = asked
    checked = read_bundle(bundle)
    scorer = Scorer.from_bundle(checked)
    _warn_of_unknown(task, checked.policy, scorer.task_ids)
    with chosen_engine(*spread) as engine:
        if engine is None:
            scored = score_rows(scorer, requests, version=checked.label)
        else:
            scored = score_rows_on(engine, checked, requests)
        _tell_scored(scored, text, out_path, json=json)


def _tell_scored(
    scored: Iterable[dict[str, Any]], text: str | None, out_path: Path | None, *, json: bool
) -> None:
    """Print scored rows, or write them and print how many there are."""
    from difficulty.stages.route import write_rows

    if out_path is None:
        # A lone text is asked for by a person, a file by a program.
        for row in scored:
            print_json(row) if json or text is None else _print_scores(row)
            if text is not None and "error" in row:
                complain("error", row["error"])
                raise typer.Exit(2)  # of a file the others were scored; here there is no other
        return
    with counting("scored") as count:
        counts = write_rows(scored, out_path, progress=count)
    if json:
        names = ("rows", "errors", "truncated")
        print_json({"out": str(out_path), **{name: counts[name] for name in names}})
        return
    cut = f", {counts['truncated']:,} cut to head and tail" if counts["truncated"] else ""
    say(
        f"{quantity_text(counts['rows'], 'request')}, {counts['errors']:,} could not be"
        f" scored{cut}; wrote"
        f" {out_path}"
    )


def _warn_of_unknown(task: str | None, policy: Policy, known: Iterable[str]) -> None:
    """Warn of a task that neither the rule nor the scorer of a bundle knows, where they know any:
    it would be decided like a request without a task.
    """
    from difficulty.routes import did_you_mean

    tasks = {*policy.easy_tasks, *policy.hard_tasks, *policy.task_thresholds, *known}
    if task is None or not tasks or task in tasks:
        return
    near = did_you_mean(task, tasks) or f" (it knows {', '.join(map(repr, sorted(tasks)))})"
    warn(f"the bundle's rule knows no task {task!r}{near}: decided as a request without a task.")


def _print_scores(row: dict[str, Any]) -> None:
    """Print the scores of a row that has any."""
    if "error" in row:
        return
    scores = (f"{name} {value:.4f}" for name, value in row.items() if isinstance(value, float))
    cut = "  (only head and tail were read)" if row.get("truncated") else ""
    say("  ".join(scores) + cut)


def _read_input(
    text: str | None, task: str | None, input_path: Path | None
) -> Iterable[RequestRow]:
    """Return the request of the command line, or those of the file; refuse none or both."""
    from difficulty.request import Request, RequestRow, names_requests, read_requests

    if text is not None and input_path is None:
        if _names_file(text):
            raise typer.BadParameter(f"{text} is a file: pass --input {text}, or a text")
        return [RequestRow("1", Request(text, task))]
    if input_path is not None and text is None:
        if str(input_path) == "-" or names_requests(input_path):
            return read_requests(input_path)
        # Only here: a router's machine need not have what reads tables.
        from difficulty.traffic.columnar import read_request_rows

        return read_request_rows(input_path)
    raise typer.BadParameter("pass either a text or --input FILE")


def _names_file(text: str) -> bool:
    """Return whether a text that is to be scored is the name of a file, given by mistake."""
    if any(character.isspace() for character in text):
        return False
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # longer than a name, or with a character that none has
        return False


def _with_needs(
    rows: Iterable[RequestRow], text: str | None, needs: str | None
) -> Iterable[RequestRow]:
    """Return the request of the command line with what its caller says that it needs."""
    if needs is None:
        return rows
    if text is None:
        raise typer.BadParameter("--needs goes with a text: the rows of a file say their own")
    from difficulty.request import request_row

    try:
        form = loads(needs)
    except (ValueError, RecursionError):
        form = None
    if not isinstance(form, dict):
        raise typer.BadParameter('--needs takes a JSON object: \'{"residency": ["eu"]}\'')
    (row,) = rows
    return [request_row({**form, "prompt": text, "task": row.request.task}, 1)]


def route(
    bundle: BundlePath,
    text: RequestText = None,
    task: Annotated[
        str | None,
        typer.Option(help="Task of the text, for example classify. Files name it in each row."),
    ] = None,
    input_path: InputPath = None,
    out_path: RowsPath = None,
    overwrite: OverwriteFlag = False,
    why: Annotated[
        bool,
        typer.Option(
            "--why",
            help="Say what moved the score: parts of the text, which are quoted, features, the"
            " nearest kinds of training traffic, and what would change the decision.",
        ),
    ] = False,
    needs: Annotated[
        str | None,
        typer.Option(
            help="What the text needs of a model, as a JSON object with fields of a request's body:"
            ' \'{"max_tokens": 9000, "residency": ["eu"]}\'. Files say it in each row.'
        ),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Decide cheap or frontier for a text, or for every request of a JSON-lines file, with the
    reason.

    Example: difficulty route bundles/support-1 "Which label fits: invoice or complaint?" --task
    classify
    """
    from difficulty.runtime import Router
    from difficulty.runtime.service import explain_rows, route_rows
    from difficulty.stages.route import write_rows

    _refuse_form(out_path)
    requests = _with_needs(_read_input(text, task, input_path), text, needs)
    if out_path is not None:
        refuse_output(out_path, source=input_path, overwrite=overwrite)
    router = Router.load(bundle)
    _warn_of_unknown(task, router.policy, router.scorer.task_ids)
    decided = explain_rows(router, requests) if why else route_rows(router, requests)
    if out_path is None:
        for row in decided:
            print_json(row) if json or text is None else print_decision(row, router.policy)
            if why and text is not None and not json:
                print_explanation(row["why"])
        return
    with counting("routed") as count:
        counts = write_rows(decided, out_path, progress=count)
    if json:
        print_json({"out": str(out_path), **counts})
        return
    say(
        f"{quantity_text(counts['rows'], 'request')}: {counts['cheap']:,} cheap,"
        f" {counts['frontier']:,} frontier"
    )
    if counts["early"]:
        say(f"  of {counts['early']:,} the scorer was not asked: decided early")
    for reason in _REASONS:
        if counts[reason]:
            say(f"  {reason} {counts[reason]:,}")
    if counts["truncated"]:
        say(f"  of {counts['truncated']:,} only head and tail were read")
    say(f"wrote {out_path}")


def check(
    bundle: BundlePath,
    text: RequestText = None,
    answer: Annotated[
        str | None, typer.Option(help="What the cheap model answered to the text.")
    ] = None,
    task: TaskName = None,
    input_path: InputPath = None,
    out_path: RowsPath = None,
    overwrite: OverwriteFlag = False,
    json: JsonFlag = False,
) -> None:
    """Check what the cheap model answered to a text, or to every request of a file whose rows have
    answer or cheap_answer: whether the frontier model is to be asked too, and why.

    Example: difficulty check bundles/support-1 --input answered.jsonl -o verdicts.jsonl
    """
    from difficulty.runtime import Router
    from difficulty.stages.route import check_rows, write_rows

    _refuse_form(out_path)
    requests = _read_input(text, task, input_path)
    if text is not None:
        if answer is None:
            raise typer.BadParameter("pass --answer with a text")
        requests = [row._replace(answer=answer) for row in requests]
    if out_path is not None:
        refuse_output(out_path, source=input_path, overwrite=overwrite)
    router = Router.load(bundle)
    if router.answers is not None and router.policy.answer is None:
        warn("the policy checks no answers: they are scored, and none is escalated.")
    checked = check_rows(router, requests)
    if out_path is None:
        if text is None or json:
            for row in checked:
                print_json(row)
            return
        for row in checked:
            _print_verdict(row, router.policy)
        return
    with counting("checked") as count:
        counts = write_rows(checked, out_path, progress=count)
    names = ("rows", "escalated", "errors")
    if json:
        print_json({"out": str(out_path), **{name: counts[name] for name in names}})
        return
    answers = "answer" if counts["rows"] == 1 else "answers"
    say(
        f"{counts['rows']:,} {answers}: {counts['escalated']:,} to be sent on,"
        f" {counts['errors']:,} could not be checked; wrote {out_path}"
    )


def _print_verdict(row: dict[str, Any], policy: Policy) -> None:
    """Print the verdict of a row for people, and stop where there is none."""
    if "error" in row:
        complain("error", row["error"])
        raise typer.Exit(2)
    way = f"send on to {policy.frontier_model}" if row["escalate"] else "keep"
    say(one_line(f"{way}  ({row['reason']}: {_compared(row['answer_score'], row['threshold'])})"))
    for move in row["moved"]:
        far = f"{move['deviations']:+.1f} deviations, pushes {move['push']:+.2f}"
        say(one_line(f"  {move['name']} = {move['value']:g}  ({far})"))


def _compared(score: float | None, threshold: float | None) -> str:
    if score is None:
        return "no check in this bundle"
    limit = "" if threshold is None else f", threshold {threshold:.4f}"
    return f"answer_score {score:.4f}{limit}"


def print_decision(row: dict[str, Any], policy: Policy) -> None:
    """Print one decision for people."""
    score = row["difficulty_score"]
    name = "early_score" if row["scored_by"] == "early" else "difficulty_score"
    why = (
        row.get("error", "no score needed")
        if score is None
        else f"{name} {score:.4f}, threshold {row['threshold']:.4f}"
    )
    fallback = ""
    if row["fallback"]:
        when = "validation fails" if policy.answer is None else "its answer fails the check"
        fallback = f"; falls back to {row['fallback']} when {when}"
    cut = "; only head and tail were read" if row["truncated"] else ""
    if row.get("masked_share"):
        cut += f"; {row['masked_share']:.1%} was context and not read"
    if row["ineligible"]:
        why = f"{row['can_take']} can take it: {', '.join(row['ineligible'])}"
    told = f"{row['route']} -> {row['model']}  ({row['reason']}: {why}"
    told += f"{_familiarity(row.get('familiarity'), policy)}){fallback}{cut}"
    say(one_line(told))


def _familiarity(familiarity: float | None, policy: Policy) -> str:
    """Say how familiar a request is where there is a bound, or where it looks like hardly any that
    training had.
    """
    least = policy.min_familiarity
    if familiarity is None or (not least and familiarity >= _EDGE):
        return ""
    bound = f", least {least:g}" if least else ": unlike the training traffic"
    return f"; familiarity {familiarity:.4f}{bound}"


_EDGE = 0.02
"""Familiarity below which a score is not to be relied on (docs/robustness.md)."""


def print_verdict_on(answer: str, verdict: AnswerVerdict, policy: Policy) -> None:
    """Print what becomes of one answer of the cheap model, for people."""
    score, threshold = verdict.answer_score, verdict.threshold
    why = verdict.error or (
        "no check in this bundle"
        if score is None or threshold is None
        else f"answer_score {score:.4f}, threshold {threshold:.4f}"
    )
    way = f"sent on to {policy.frontier_model}" if verdict.escalate else "kept"
    say(one_line(f"  {answer!r} -> {way}  ({verdict.reason}: {why})"))
