"""``difficulty ingest``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from difficulty.cli.console import (
    EngineName,
    EngineWorkers,
    JsonFlag,
    OverwriteFlag,
    RayAddress,
    chosen_engine,
    command_text,
    counting,
    print_json,
    say,
    say_next,
    say_remedy,
    shown,
    warn,
)
from difficulty.text import one_line, quantity_text

if TYPE_CHECKING:
    from difficulty.traffic.reading.dialect import ReadOptions
    from difficulty.traffic.summary import Summary
_MOST_TASKS, _MOST_PAIRS = 8, 3  # lines of a summary; the rest is in --json
_OUTCOMES = {
    "cheap": "cheap_quality",
    "frontier": "frontier_quality",
    "both": "both",
    "passed or failed": "cheap_passed",
    "preferences": "preference",
}


def ingest(
    sources: Annotated[
        list[Path],
        typer.Argument(
            help="Files or folders: JSON lines, CSV, Parquet, a saved datasets folder, a decision"
            " log, RouteLLM's layout."
        ),
    ],
    out_path: Annotated[
        Path | None, typer.Option("--out", "-o", help="Where to write.", show_default=False)
    ] = None,
    format: Annotated[
        str,
        typer.Option(
            "--format",
            help="auto, native, log (a decision log), arena, langfuse, litellm, mlflow, openai,"
            " openinference, routellm, routerbench or wire.",
        ),
    ] = "auto",
    labels: Annotated[
        list[str] | None,
        typer.Option(
            help="Label source of raw columns, repeat to chain: validation, gap:margin=0.1,"
            " preference, judge:scale=1,10, annotators, halves (rows of one id joined)."
        ),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            metavar="WORST,BEST",
            help="Scale of cheap_quality and frontier_quality where that is not 0,1, such as 1,5.",
        ),
    ] = None,
    near_duplicates: Annotated[
        bool,
        typer.Option(help="Keep nearly equal texts on one side of the split, not only equal ones."),
    ] = True,
    keep_unknown_columns: Annotated[
        bool,
        typer.Option(
            "--keep-unknown-columns",
            help="Keep columns that look like misspelt ones as extras, which are not read.",
        ),
    ] = False,
    allow_rejects: Annotated[
        bool,
        typer.Option(
            "--allow-rejects", help="Go on where more than a fifth of the rows cannot be used."
        ),
    ] = False,
    cheap: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL",
            help="The cheap model as the rows name it, or a pattern such as 'gpt-3*'; repeat for a"
            " model that was renamed.",
        ),
    ] = None,
    frontier: Annotated[
        list[str] | None, typer.Option(metavar="MODEL", help="The frontier model, in the same way.")
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="FIELD=COLUMN",
            help='Which column is which, repeated: prompt="User text", cheap_quality=scores.small;'
            " system, user and assistant make messages.",
        ),
    ] = None,
    mapping_path: Annotated[
        Path | None,
        typer.Option("--mapping", help="Mapping file (TOML), as --suggest proposes it."),
    ] = None,
    suggest: Annotated[
        bool,
        typer.Option(
            "--suggest", help="Print a mapping file proposed from the first 1,000 rows, and stop."
        ),
    ] = False,
    pivot: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD=COLUMN,...",
            help="Rows of one call each become one a request: request=trace_id,model=model,"
            "quality=score; also passed, answer, tokens, cost, prompt_tokens, cached_tokens,"
            " duplicates=last|first|mean.",
        ),
    ] = None,
    csv_delimiter: Annotated[
        str | None,
        typer.Option(
            metavar="MARK", help="What stands between cells: ',', ';', tab, '|'; default: found."
        ),
    ] = None,
    csv_decimal: Annotated[
        str | None,
        typer.Option(metavar="MARK", help="Sign before decimals: '.' or ','; default: found."),
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(help="Encoding of text files, such as cp1252 or shift_jis; default: found."),
    ] = None,
    engine: EngineName = None,
    address: RayAddress = None,
    workers: EngineWorkers = None,
    overwrite: OverwriteFlag = False,
    json: JsonFlag = False,
) -> None:
    """Read labelled traffic in any supported format, check it, and write it where training reads
    it.

    Example: difficulty ingest logs/*.jsonl.gz -o traffic.parquet
    """
    from difficulty.stages.ingest import ingest
    from difficulty.traffic.reading.dialect import ReadOptions
    from difficulty.traffic.reading.mapping import read_mapping
    from difficulty.traffic.reading.named_pair import ModelPair
    from difficulty.traffic.rows import Scale

    options = ReadOptions(
        delimiter=csv_delimiter,
        encoding=encoding,
        decimal=csv_decimal,
        pair=ModelPair(cheap=tuple(cheap or ()), frontier=tuple(frontier or ())),
    )
    if suggest:
        _print_suggestion(sources, options)
        return
    if out_path is None:
        raise typer.BadParameter("say where to write: -o traffic.parquet", param_hint="'--out'")
    with chosen_engine(engine, address, workers) as spread, counting("rows read") as count:
        summary = ingest(
            sources,
            out_path,
            format=format,
            labels=labels or (),
            scale=Scale.parse(scale, example="--scale 1,5") if scale is not None else None,
            near_duplicates=near_duplicates,
            keep_unknown_columns=keep_unknown_columns,
            allow_rejects=allow_rejects,
            options=options,
            mapping=read_mapping(mapping_path, columns or (), pivot or ()),
            overwrite=overwrite,
            engine=spread,
            progress=count,
        )
    if json:
        print_json(summary.as_dict())
    else:
        _print_ingested(summary, sources, out_path)


def _print_ingested(summary: Summary, sources: list[Path], out_path: Path) -> None:
    """Print what was read, where it was written, and what follows."""
    from difficulty.traffic.writer import rejects_path

    print_summary(summary)
    say(f"wrote {out_path}")
    if (rejects := rejects_path(out_path)).exists():
        say(f"rejected rows, with reasons: {rejects}")
    _say_what_follows(summary, sources, out_path)


def _say_what_follows(summary: Summary, sources: list[Path], out_path: Path) -> None:
    from difficulty.evaluation.decision.remedies import LABEL

    # Outcomes that training refuses are no labels yet.
    if summary.unlabelled < summary.kept and not summary.unknown_policy:
        say_next(command_text("train", out_path, "-o", "runs/first"))
        return
    if summary.may_hold_outcomes:
        say_next(
            command_text("ingest", *sources, "--suggest"),
            "columns that may hold the outcomes were not read; this proposes which is which:",
        )
        return
    cheap, frontier = _models_of(summary)
    say_remedy(
        LABEL,
        {"UNLABELLED": str(out_path), "CHEAP": cheap, "FRONTIER": frontier},
        remark="labels are missing; buying them says what that costs before it spends:",
    )


def _models_of(summary: Summary) -> tuple[str | None, str | None]:
    """Return the one cheap and the one frontier model that rows name; ``None``: none or several."""
    pairs = [pair.split(" / ") for pair in summary.model_pairs]
    sides = ({pair[side] for pair in pairs if len(pair) == 2} - {"?"} for side in (0, 1))
    cheap, frontier = (names.pop() if len(names) == 1 else None for names in sides)
    return cheap, frontier


def _print_suggestion(sources: list[Path], options: ReadOptions) -> None:
    from difficulty.traffic.reading.suggestion import suggest

    if len(sources) > 1:
        raise typer.BadParameter(
            "a mapping is proposed for one file at a time", param_hint="--suggest"
        )
    say(suggest(sources[0], options), end="")


def print_summary(summary: Summary) -> None:
    """Print what was read and kept, and what a reader of the figures has to know of it."""
    joined = (
        f"; {summary.joined:,} more were joined with a row of the same request"
        if summary.joined
        else ""
    )
    say(f"{summary.kept:,} of {quantity_text(summary.rows, 'row')} kept{joined}")
    for dialect, n in summary.dialects.items():
        say(f"  written    {dialect}" + (f" ({quantity_text(n, 'file')})" if n > 1 else ""))
    for figures in summary.labels:
        _print_labels(figures)
    counts = {name: summary.known_outcomes.get(key, 0) for name, key in _OUTCOMES.items()}
    counts["none"] = summary.unlabelled
    say("  outcomes   " + ", ".join(f"{name} {n:,}" for name, n in counts.items() if n))
    if any(summary.known_answers.values()):
        known = {name.replace("_", " "): n for name, n in summary.known_answers.items() if n}
        say("  answers    " + ", ".join(f"{name} {n:,}" for name, n in known.items()))
    _print_bills(summary)
    _print_qualities(summary)
    contradicting = (
        f" ({summary.contradictions:,} with another outcome)" if summary.contradictions else ""
    )
    say(
        f"  duplicates {summary.exact_duplicates:,} exact{contradicting},"
        f" {summary.near_duplicates:,} near; {quantity_text(summary.groups, 'group')}, the"
        " largest of"
        f" {summary.largest_group:,}"
    )
    tasks = [f"{one_line(name) or 'none'} {n:,}" for name, n in summary.tasks.items()]
    more = f" and {len(tasks) - _MOST_TASKS} more" if len(tasks) > _MOST_TASKS else ""
    say(f"  tasks      {', '.join(tasks[:_MOST_TASKS])}{more}")
    for pair, n in list(summary.model_pairs.items())[:_MOST_PAIRS]:
        say(f"  models     {one_line(pair)} ({n:,})")
    if summary.cut:
        say(f"  longer than 8,192 characters, read by head and tail: {summary.cut:,}")
    if summary.contaminated:
        say(f"  marked contaminated: {summary.contaminated:,}")
    for reason, n in summary.left_out.items():
        say(f"  left out {n:,}: {one_line(reason)}")
    for reason, n in summary.rejected.items():
        say(f"  rejected {n:,}: {one_line(reason)}")
    for warning in summary.warnings:
        warn(warning)


def _print_bills(summary: Summary) -> None:
    bills = [
        f"{name.removesuffix('_cost_usd')} USD {summary.billed_usd[name]:,.6g} ({n:,})"
        for name, n in summary.known_costs.items()
        if n
    ]
    if bills:
        say(f"  billed     {', '.join(bills)}")


def _print_qualities(summary: Summary) -> None:
    if summary.unlabelled == summary.kept:
        return
    cheap, frontier = shown(summary.cheap_quality), shown(summary.frontier_quality)
    say(f"  quality    cheap {cheap}, frontier {frontier}")
    say(
        f"  of those   frontier better {shown(summary.frontier_better)}, cheap better"
        f" {shown(summary.cheap_better)}, tied {shown(summary.tied)}"
    )


def _print_labels(figures: Mapping[str, Any]) -> None:
    """Print what a label source says, figures of each judge or outcome on their own line."""
    nested = [part for part in figures.values() if isinstance(part, Mapping)]
    plain = {
        name: figure
        for name, figure in figures.items()
        if name != "source" and not isinstance(figure, Mapping)
    }
    say(f"  labels     {figures['source']}: {_list_figures(plain)}")
    for parts in nested:
        for name, part in list(parts.items())[:_MOST_TASKS]:
            say(f"    {one_line(name)}: {_list_figures(part)}")


def _list_figures(figures: Mapping[str, Any]) -> str:
    texts = {
        name: shown(figure) if figure is None or isinstance(figure, float) else f"{figure:,}"
        for name, figure in figures.items()
    }
    return ", ".join(f"{name.replace('_', ' ')} {text}" for name, text in texts.items())
