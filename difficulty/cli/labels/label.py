"""``difficulty label``: labels for unlabelled traffic, within a budget."""

from __future__ import annotations

import math
import shlex
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from difficulty.cli.console import (
    JsonFlag,
    OutPath,
    OverwriteFlag,
    PricesPath,
    TrafficPath,
    err,
    print_json,
    say,
)
from difficulty.text import one_line, quantity_text

if TYPE_CHECKING:
    from difficulty.labelling.buying import Progress as Bought
    from difficulty.labelling.buying import Shop
    from difficulty.records import Estimate
    from difficulty.stages.labelling.label import PurchaseReport
    from difficulty.stages.labelling.label_plan import LabelPlan

_LINE_EVERY_S = 60.0
"""Of progress, where it goes into a file or a pipe."""
_MOST_LISTED = 8
_ROLES = ("cheap", "frontier", "judge")
_ANOTHER_JUDGE = (
    "the same command with another --judge, another -o and --journal {journal}: answers are not"
    " bought again"
)
_OF_ONE_RUN = ("yes", "n", "export", "human", "journal", "repeat_lost", "overwrite", "json")
"""Options that the next round does not repeat."""


def label(
    context: typer.Context,
    traffic: TrafficPath,
    cheap: Annotated[
        str, typer.Option(metavar="MODEL", help="The cheap model, as LiteLLM names it.")
    ],
    frontier: Annotated[str, typer.Option(metavar="MODEL", help="The frontier model.")],
    judge: Annotated[
        str,
        typer.Option(
            metavar="MODEL|exact|validators|python:MODULE:FUNCTION|people",
            help="Who says which answer is better: a third model, blind and in both orders;"
            " reference answers; the validators, of the form alone; a function; people, with"
            " --export.",
        ),
    ],
    budget_usd: Annotated[
        float, typer.Option("--budget-usd", help="Most USD that this output may cost, in all.")
    ],
    out_path: OutPath,
    yes: Annotated[
        bool, typer.Option("--yes", help="Spend the money; default: say what it would buy.")
    ] = False,
    n: Annotated[
        int | None, typer.Option("--n", help="Requests; default: what the budget buys.")
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(help="Its scores say which requests tell most; its validators check."),
    ] = None,
    prices: PricesPath = None,
    base_url: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[MODEL=]URL",
            help="OpenAI-compatible server to call, of all models or of one: judge=http://...",
        ),
    ] = None,
    api_key_env: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[MODEL=]NAME",
            help="Environment variable with the key for --base-url; default: none is sent.",
        ),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(help="Write pairs for people to judge, blind: .csv, or .json (Label Studio)."),
    ] = None,
    human: Annotated[
        Path | None,
        typer.Option(help="What people said of the exported pairs: agreement with the judge."),
    ] = None,
    reference: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Of reference answers, for --judge exact.")
    ] = None,
    allow_own_judge: Annotated[
        bool, typer.Option("--allow-own-judge", help="Let a model of the pair judge the pair.")
    ] = False,
    allow_python: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PACKAGE", help="Packages whose functions the bundle's validators may call."
        ),
    ] = None,
    random_share: Annotated[
        float | None,
        typer.Option(help="Share of the requests chosen by chance alone; default: the usual."),
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="Most tokens of an answer.")] = 1_024,
    judge_max_tokens: Annotated[int, typer.Option(help="Most tokens of a verdict.")] = 512,
    concurrency: Annotated[int, typer.Option(help="Most calls under way.")] = 8,
    timeout_s: Annotated[float, typer.Option(help="Most seconds of a call.")] = 120.0,
    repeat_lost: Annotated[
        bool,
        typer.Option(
            "--repeat-lost",
            help="Make calls again that were under way when a run was killed; they may be paid"
            " twice.",
        ),
    ] = False,
    journal: Annotated[
        Path | None, typer.Option(help="Where every call is kept; default: beside -o.")
    ] = None,
    advice: Annotated[
        bool,
        typer.Option("--advice/--no-advice", help="Train, to say if more labels are worth it."),
    ] = True,
    seed: Annotated[int, typer.Option(help="Seed of the choice.")] = 0,
    overwrite: OverwriteFlag = False,
    json: JsonFlag = False,
) -> None:
    """Have requests answered by both models and judged, within a budget.

    Without --yes it says what would be bought and what that costs. The same command again goes on
    where it was stopped or killed, and pays for nothing twice.

    Example: difficulty label traffic.parquet --cheap mistral/mistral-small-latest --frontier
    gpt-4o --judge anthropic/claude-sonnet-4-5 --budget-usd 20 -o labelled.parquet
    """
    from difficulty.economics.prices import load_price_list
    from difficulty.labelling.model_calls import ModelCaller
    from difficulty.stages.labelling.label import PurchaseReport
    from difficulty.stages.labelling.label import label as run
    from difficulty.stages.labelling.label_models import LabelOptions

    options = LabelOptions(
        cheap=cheap,
        frontier=frontier,
        judge=judge,
        budget_usd=budget_usd,
        n=n,
        random_share=random_share,
        reference=reference,
        allow_own_judge=allow_own_judge,
        max_tokens=max_tokens,
        judge_max_tokens=judge_max_tokens,
        at_once=concurrency,
        timeout_s=timeout_s,
        base_urls=_of_roles(base_url or [], prefixed=("http://", "https://")),
        api_key_envs=_of_roles(api_key_env or []),
        repeat_lost=repeat_lost,
        allowed=tuple(allow_python or ()),
        seed=seed,
    )
    with _bar() as show, _stoppable() as watch:
        result = run(
            traffic,
            out_path,
            options,
            spend=yes,
            prices=load_price_list(prices) if prices else None,
            bundle_path=bundle,
            journal=journal,
            export=export,
            human=human,
            with_advice=advice,
            overwrite=overwrite,
            caller=ModelCaller(timeout_s=timeout_s),
            on_plan=None if json else _print_plan,
            on_shop=watch,
            show=show,
        )
    if not isinstance(result, PurchaseReport):
        if json:
            print_json({"spent": False, **result.as_dict()})
        else:
            say("nothing was called or written; --yes spends the money")
        return
    next_step = _next_step(result, out_path, export)
    next_round = _next_round(context, result, out_path, budget_usd)
    if json:
        steps = {"next": next_step, "next_round": next_round}
        print_json({"out": str(out_path), **result.as_dict(), **steps})
    else:
        _print_labels(result)
        say(f"wrote {out_path}")
        _print_next(next_step, next_round, knows_score=bundle is not None)
    if not result.went_well:
        raise typer.Exit(1)


def _print_next(step: str, further: str | None, *, knows_score: bool) -> None:
    """Print the command that comes next, and the one that buys more labels."""
    say(f"next\n  {step}")
    if further:
        say(f"for more labels\n  {further}")
        if not knows_score:
            say("  with --bundle of a score that learned from these, where it is unsure")


def _of_roles(written: list[str], *, prefixed: tuple[str, ...] = ()) -> dict[str, str]:
    """Return ``[MODEL=]VALUE`` by model; what names none is of all of them."""
    values: dict[str, str] = {}
    for text in written:
        role, equals, value = text.partition("=")
        # An address may hold an equals sign itself.
        if not equals or text.startswith(prefixed or ("=",)):
            values = dict.fromkeys(_ROLES, text) | values
        else:
            values[role] = value
    return values


@contextmanager
def _stoppable() -> Iterator[Callable[[Shop], None]]:
    """Let the first Ctrl-C or SIGTERM end the purchase once the calls under way are paid and
    written; the second ends it at once.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)

    def watch(shop: Shop) -> None:
        def stop(*_: object) -> None:
            restore()
            err.print("stopping: calls under way are waited for; Ctrl-C again ends at once")
            shop.stop("you stopped it; the same command goes on")

        try:
            for number in before:
                signal.signal(number, stop)
        except ValueError:  # not in the main thread
            return

    try:
        yield watch
    finally:
        restore()


@contextmanager
def _bar() -> Iterator[Callable[[Bought], None]]:
    """Show requests and money, with a bar where there is a terminal, else by a line a minute."""
    if not err.is_terminal:
        yield _lines()
        return
    columns: tuple[Any, ...] = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} requests"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task("", total=None, visible=False)

        def show(bought: Bought) -> None:
            progress.update(
                task,
                description=_money(bought),
                completed=bought.done,
                total=bought.total,
                visible=True,
            )

        yield show


def _lines() -> Callable[[Bought], None]:
    last = time.monotonic()

    def show(bought: Bought) -> None:
        nonlocal last
        if time.monotonic() - last >= _LINE_EVERY_S:
            last = time.monotonic()
            err.print(
                f"{bought.done:,} of {quantity_text(bought.total, 'request')}, {_money(bought)}"
            )

    return show


def _money(bought: Bought) -> str:
    waiting = f", a limit: {bought.waiting_s:,.0f} s" if bought.waiting_s >= 1.0 else ""
    return f"{bought.spent_usd:,.4f} of {bought.budget_usd:,.2f} USD{waiting}"


def _print_plan(plan: LabelPlan) -> None:
    say(
        f"{plan.requests:,} of {quantity_text(plan.eligible, 'request')} to label, judge"
        f" {one_line(plan.judge)}"
    )
    for sentence in plan.chosen:
        say(f"  {one_line(sentence)}")
    for reason, count in plan.left_out.items():
        say(f"  left out: {count:,} {one_line(reason)}")
    bought = ", ".join(f"{name} {count:,}" for name, count in plan.to_buy.items())
    say(f"  calls      {bought}")
    say(f"  expected   about {plan.expected_usd:,.4f} USD ({plan.basis})")
    say(f"  at worst   {plan.worst_request_usd:,.4f} USD for one request, held before it is begun")
    before = f", {plan.spent_usd:,.4f} spent by earlier runs" if plan.spent_usd else ""
    say(f"  budget     {plan.budget_usd:,.2f} USD{before}; it is never passed")
    if plan.resumed:
        say(f"  goes on with {plan.journal}: what is in it is not bought again")
    if plan.other_judge:
        say("  another judge: the budget counts what the answers in the journal cost as well")
    elif plan.resumed:
        say("  more money finishes these requests; others are another round, with an -o of its own")


def _print_labels(report: PurchaseReport) -> None:
    say(
        f"{report.labelled:,} of {quantity_text(report.tried, 'request')} labelled for"
        f" {report.spent_usd:,.4f} USD"
        f" of {report.plan.budget_usd:,.2f}, {report.left_usd:,.4f} USD left"
    )
    if report.stopped:
        say(f"  ended by {one_line(report.stopped)}")
    _print_losses(report)
    _print_judge(report)
    if report.power:
        say(f"  {report.power}")
    if report.kept:
        say(f"  {quantity_text(report.kept, 'outcome')} of before kept")
    if report.exported:
        say(f"  {quantity_text(report.exported, 'pair')} for people to judge")
    if report.advice is not None:
        say(f"  {one_line(report.advice.sentence)}")
    elif report.no_advice:
        say(f"  whether more labels are worth it cannot be said: {one_line(report.no_advice)}")


def _print_losses(report: PurchaseReport) -> None:
    for problem, count in list(report.problems.items())[:_MOST_LISTED]:
        say(f"  without an outcome {count:,}: {one_line(problem)}")
    for kind, count in list(report.failures.items())[:_MOST_LISTED]:
        say(f"  failed attempts {count:,}: {one_line(kind)}")
    if lost := report.calls.get("lost"):
        say(
            f"  {quantity_text(lost, 'call')} under way when an earlier run was killed: counted"
            " as spent, not"
            " repeated (--repeat-lost)"
        )
    if unsaid := report.calls.get("without_usage"):
        say(
            f"  {quantity_text(unsaid, 'answer')} without token counts: counted at their worst case"
        )


def _print_judge(report: PurchaseReport) -> None:
    if report.votes:
        votes = report.votes
        say(
            f"  verdicts   cheap {votes['cheap']:,}, tie {votes['tie']:,}, frontier"
            f" {votes['frontier']:,}; {votes['inconsistent']:,} ties changed with the order,"
            f" {votes['unknown']:,} cannot be read"
        )
    if report.position_bias is not None:
        say(f"  position bias of the judge {_points(report.position_bias)} (above 0: the first)")
    if report.agreement is not None:
        agreement = report.agreement
        say(
            f"  people     agree with it on {_percent(agreement.agreement)} of"
            f" {quantity_text(agreement.pairs, 'pair')}, kappa {_decimal(agreement.kappa)}"
        )


def _next_step(report: PurchaseReport, out: Path, export: Path | None) -> str:
    votes = report.votes
    if votes and votes["unknown"] > votes["pairs"] / 2:
        return _ANOTHER_JUDGE.format(journal=report.plan.journal)
    if report.stopped and not report.went_well:
        return "the same command again: it goes on where it ended"
    if report.stopped and not report.labelled:
        return "the same command with a larger --budget-usd"
    if not report.measured_by:
        judged = str(export or "JUDGED")
        words = ["difficulty", "outcomes", str(out), judged, "-o", "judged.parquet"]
    elif not report.labelled:
        return _ANOTHER_JUDGE.format(journal=report.plan.journal)
    else:
        words = ["difficulty", "train", str(out), "-o", "runs/first"]
    return one_line(shlex.join(words))


def _next_round(
    context: typer.Context, report: PurchaseReport, out: Path, budget_usd: float
) -> str | None:
    """Return the command that labels others; ``None`` where none can be."""
    if not report.tried or not report.went_well or report.tried >= report.plan.eligible:
        return None
    left = math.floor(100.0 * report.left_usd) / 100.0
    changes = {
        # What people are to judge is read back first.
        "traffic": str(out) if report.measured_by else "judged.parquet",
        "budget_usd": f"{left if left > report.plan.worst_request_usd else budget_usd:g}",
        "out_path": str(_next_name(out)),
    }
    words = ["difficulty", "label"]
    for parameter in context.command.params:
        name = str(parameter.name)
        source = context.get_parameter_source(name)
        if source is None or source.name != "COMMANDLINE" or name in _OF_ONE_RUN:
            continue
        value = changes.get(name, context.params[name])
        words += _as_typed(parameter, value if isinstance(value, list | tuple) else [value])
    return one_line(shlex.join(words))


def _as_typed(parameter: Any, values: Sequence[Any]) -> Iterator[str]:
    """Yield the words by which a parameter gets its values."""
    for value in values:
        if parameter.param_type_name == "argument":
            yield str(value)
        elif isinstance(value, bool):
            yield parameter.opts[0] if value else parameter.secondary_opts[0]
        else:
            yield from (max(parameter.opts, key=len), str(value))


def _next_name(out: Path) -> Path:
    """Return ``labelled-2.parquet`` for ``labelled.parquet``, and so on, one that is not there."""
    stem, _, number = out.stem.rpartition("-")
    n = int(number) + 1 if stem and number.isdecimal() else 2
    stem = stem if n > 2 or (stem and number.isdecimal()) else out.stem
    while (path := out.with_name(f"{stem}-{n}{out.suffix}")).exists():
        n += 1
    return path


def _percent(estimate: Estimate) -> str:
    return _spelt(estimate, lambda value: f"{100 * value:.1f}", " %")


def _points(estimate: Estimate) -> str:
    return _spelt(estimate, lambda value: f"{100 * value:+.1f}", " points")


def _decimal(estimate: Estimate) -> str:
    return _spelt(estimate, lambda value: f"{value:.2f}", "")


def _spelt(estimate: Estimate, write: Callable[[float], str], unit: str) -> str:
    if estimate.value is None:
        return "unknown"
    if estimate.low is None or estimate.high is None:
        return f"{write(estimate.value)}{unit}"
    ends = f"({write(estimate.low)} to {write(estimate.high)})"
    return f"{write(estimate.value)}{unit} {ends}"
