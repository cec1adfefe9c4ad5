"""``difficulty ship``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from difficulty.cli.console import (
    ANSWER_HELP,
    ANSWER_METAVAR,
    CATCH_RATE_HELP,
    OBJECTIVE_HELP,
    OBJECTIVE_METAVAR,
    PER_TASK_HELP,
    WAIT_USD_HELP,
    CachePath,
    DetailsFlag,
    ExperimentName,
    JsonFlag,
    KeyPath,
    OutPath,
    PricesPath,
    TrackingFlag,
    TrackingUri,
    bundle_name,
    command_text,
    open_tracker,
    out,
    print_json,
    read_answer,
    say,
    say_aim,
    say_figures,
    say_next,
    say_remedy,
    say_sentence,
    say_tracked,
    show_table,
    steps,
    tracked_entry,
)
from difficulty.cli.signing import open_key
from difficulty.errors import InvalidValueError, RunError
from difficulty.kinds import free_name
from difficulty.storage import DEFAULT_CACHE
from difficulty.text import one_line, quantity_text

if TYPE_CHECKING:
    from difficulty.evaluation.rule_tasks import RuleTask
    from difficulty.evaluation.verdict import SwitchVerdict
    from difficulty.export.parity import ParityReport
    from difficulty.recipe import PolicySettings
    from difficulty.records import Estimate, OperatingPoint
    from difficulty.stages.ship import Shipped
    from difficulty.training.run import Run

_NO_TASK = ("", "-", "none", "null")
"""What people write where they mean that there is no task."""


def ship(
    run: Annotated[Path, typer.Argument(help="Run folder written by 'difficulty train'.")],
    out_path: OutPath,
    objective: Annotated[
        str | None,
        typer.Option(metavar=OBJECTIVE_METAVAR, help=f"{OBJECTIVE_HELP} Default: the recipe's."),
    ] = None,
    cheap_model: Annotated[
        str | None, typer.Option(help="Name of the cheap model to call; default: the traffic's.")
    ] = None,
    frontier_model: Annotated[
        str | None, typer.Option(help="Name of the frontier model to call; default: the traffic's.")
    ] = None,
    easy_task: Annotated[
        list[str] | None,
        typer.Option(
            help="Task that stays cheap when short; repeat for more. Default: the recipe's."
        ),
    ] = None,
    hard_task: Annotated[
        list[str] | None,
        typer.Option(help="Task that always goes to the frontier model; repeat for more."),
    ] = None,
    keep_rule: Annotated[
        bool | None,
        typer.Option(
            "--keep-rule/--no-rule",
            help="Ship easy and hard tasks even where they clearly lose against the score; or ship"
            " without any. Default: refuse such a rule.",
        ),
    ] = None,
    max_cheap_tokens: Annotated[
        int | None, typer.Option(min=0, help="Easy tasks shorter than this are not scored.")
    ] = None,
    min_familiarity: Annotated[
        str | None,
        typer.Option(
            metavar="VALUE|recommended",
            help="Requests less familiar than this go to the frontier model; 0 = off; recommended:"
            " training's, at the least 0.02. Default: the recipe's, else training's where tasks"
            " that were left out show that the score loses there.",
        ),
    ] = None,
    per_task: Annotated[
        bool | None, typer.Option("--per-task/--one-threshold", help=PER_TASK_HELP)
    ] = None,
    catch_rate: Annotated[float | None, typer.Option(min=0, max=1, help=CATCH_RATE_HELP)] = None,
    answer: Annotated[str, typer.Option(metavar=ANSWER_METAVAR, help=ANSWER_HELP)] = "auto",
    wait_usd: Annotated[float, typer.Option(min=0, help=WAIT_USD_HELP)] = 0.0,
    prices: PricesPath = None,
    allow_no_signal: Annotated[
        bool,
        typer.Option(
            "--allow-no-signal", help="Ship even a score that routes no better than chance might."
        ),
    ] = False,
    early: Annotated[
        bool | None,
        typer.Option(
            "--early/--no-early",
            help="Let a small graph decide what is far from the threshold. Default: the recipe's,"
            " which is off.",
        ),
    ] = None,
    int8: Annotated[
        bool | None,
        typer.Option(
            "--int8/--no-int8",
            help="Make an encoder with float32 weights int8, as far as decisions stay the same."
            " Default: the recipe's, which is off.",
        ),
    ] = None,
    no_seen: Annotated[
        bool,
        typer.Option(
            "--no-seen",
            help="Leave out seen.bin, by which the bundle knows its training requests again, and"
            " anybody who has it can test whether a text was one.",
        ),
    ] = False,
    sign_key: KeyPath = None,
    cache: CachePath = DEFAULT_CACHE,
    tracking: TrackingFlag = None,
    tracking_uri: TrackingUri = None,
    experiment: ExperimentName = "difficulty",
    details: DetailsFlag = False,
    json: JsonFlag = False,
) -> None:
    """Export a run to ONNX, check it against the Python model, choose the threshold and write the
    bundle that routers load.

    Example: difficulty ship runs/first -o bundles/support-1 --objective quality=0.9
    """
    from difficulty.economics import load_prices
    from difficulty.stages.ship import ship
    from difficulty.stages.tracking.recorded_steps import record_shipping
    from difficulty.training.run import Run

    price_list = load_prices(prices) if prices else None
    finished = Run.read(run)
    easy, hard = _read_tasks(easy_task, hard_task, keep_rule=keep_rule)
    policy = _change_policy(
        finished,
        easy_tasks=easy,
        hard_tasks=hard,
        max_cheap_tokens=max_cheap_tokens,
        min_familiarity=_read_least_familiarity(finished, min_familiarity),
        per_task=per_task,
        catch_rate=catch_rate,
    )
    key = open_key(sign_key)  # before minutes of export
    tracker = open_tracker(tracking, tracking_uri, experiment)
    with steps() as show:
        shipped = ship(
            run,
            out_path,
            objective=objective,
            policy=policy,
            models=(cheap_model, frontier_model),
            prices=price_list,
            allow_no_signal=allow_no_signal,
            keep_rule=bool(keep_rule),
            early=early,
            int8=int8,
            answer=read_answer(answer, wait_usd),
            seen=not no_seen,
            cache=cache,
            sign_with=key,
            progress=show,
        )
        if tracker is not None:
            show("tracking")
            record_shipping(tracker, shipped, run, out_path)
    if json:
        familiarity = advice.as_dict() if (advice := finished.record.familiarity) else None
        entries = {"familiarity": familiarity, "early": _early(shipped)}
        entries |= {"tracking": tracked_entry(tracker)} if tracker else {}
        print_json(_entries(shipped, out_path) | entries)
        return
    print_shipped(shipped, details=details)
    _say_written(shipped, finished, out_path, details=details)
    say_tracked(tracker)
    recorded = tracker.recorded if tracker else None
    say_published(
        out_path,
        verdict=shipped.evaluation.verdict,
        training_run=recorded.training_run if recorded else None,
        run=run,
    )


def _say_written(shipped: Shipped, run: Run, out_path: Path, *, details: bool) -> None:
    """Print what is to be known of the bundle, and where it lies."""
    from difficulty.early_exit import exit_sentences

    for sentence in (*exit_sentences(shipped.evaluation.early, judged="test"), *shipped.notes):
        say_sentence(sentence)
    advice = run.record.familiarity
    told = any("min_familiarity" in note for note in shipped.notes)
    # That nothing is set is not said where the user or the recipe did, and nothing is said twice.
    if advice and not told and (advice.recommended or not shipped.bundle.policy.min_familiarity):
        say_sentence(advice.sentence)
    more = "" if details else "; --details prints every table, card.md and metrics.json hold them"
    say(f"wrote {out_path}{more}")


def print_shipped(shipped: Shipped, *, details: bool) -> None:
    """Print the verdict, the operating point with its figures, how well the graph agrees, and what
    of the rule loses; with ``details`` what was expected of the point, and every task of the rule.
    """
    point, chosen_on = shipped.point, shipped.bundle.policy.chosen.n
    if details:
        print_verdict(shipped)
        print_parity(shipped.parity)
        print_point(point, shipped.evaluation.overall, n=chosen_on)
        say_aim(shipped.evaluation)
        print_rule(shipped.rule)
        return
    from difficulty.report.figures_table import decision_text

    if shipped.evaluation.verdict:
        say_sentence(decision_text(shipped.evaluation.verdict))
    say_sentence(
        f"{_threshold_text(point)} on {quantity_text(chosen_on, 'sample')}; judged on the test"
        " samples:"
    )
    say_figures(shipped.evaluation)
    if point.guarantee:
        say_sentence(f"guaranteed: {point.guarantee}")
    print_parity(shipped.parity)
    print_rule(task for task in shipped.rule if task.verdict == "loses")


def _threshold_text(point: OperatingPoint) -> str:
    """Say where the thresholds lie, and by which objective they were chosen."""
    if point.answer is None:
        return f"threshold {point.threshold:.6g}, chosen by {point.objective}"
    at_once = "no request at once"
    if point.answer.kind == "both":
        at_once = f"requests at once above {point.threshold:.6g}"
    return (
        f"answers are sent on above {point.answer.threshold:.6g}, {at_once}; chosen by"
        f" {point.objective}"
    )


def say_published(
    bundle: Path,
    *,
    verdict: SwitchVerdict | None = None,
    training_run: str | None = None,
    run: Path | None = None,
) -> None:
    """Print how a new bundle is published, or tried at once; where the verdict is not to switch it
    on, what mends that, or how it is judged on more traffic first.
    """
    from difficulty.evaluation.decision.remedies import LABEL

    if verdict is not None and verdict.answer != "switch_on":
        as_it_is = f"as it is: {verdict.word.lower()}"
        command = verdict.against[0].command if verdict.against else ""
        # The bundle is judged on more before labels are bought; here nobody knows the traffic.
        unknown = "TRAFFIC" in command or ("RUN" in command and run is None)
        if not command or command == LABEL or unknown:
            command = f"difficulty evaluate BUNDLE NEWER -o {free_name(f'{bundle}-judged')}"
        places = {"BUNDLE": str(bundle), "RUN": str(run) if run else None}
        say_remedy(command, places, remark=as_it_is)
        return
    lineage = ("--training-run", training_run) if training_run else ()
    words = ("--name", bundle_name(bundle), "--registry", "REGISTRY", *lineage)
    publish = command_text("publish", bundle, *words)
    say_next(publish, f"to try it at once: {command_text('serve', bundle)}")


def _entries(shipped: Shipped, out_path: Path) -> dict[str, Any]:
    parity = shipped.parity
    return {
        "bundle": str(out_path),
        "verdict": shipped.evaluation.verdict.as_dict() if shipped.evaluation.verdict else None,
        "point": shipped.point.as_dict(),
        "parity": {
            "n": parity.n,
            "max_difference": parity.max_difference,
            "flips": parity.flips,
            "encoder": parity.encoder,
        },
        "rule": [{**task.as_dict(), "verdict": task.verdict} for task in shipped.rule],
        "test": _as_dicts(shipped.evaluation.overall),
    }


def _early(shipped: Shipped) -> dict[str, Any]:
    """Return what early exit does to the test samples, and what is to be said of it."""
    test = {kind: _as_dicts(part) for kind, part in shipped.evaluation.early.items()}
    return {"test": test, "notes": list(shipped.notes)}


def _as_dicts(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    return {name: estimate.as_dict() for name, estimate in estimates.items()}


def print_verdict(shipped: Shipped) -> None:
    """Print the verdict first: whether to switch the bundle on, and why."""
    from difficulty.report.figures_table import verdict_lines

    if shipped.evaluation.verdict:
        out.print(verdict_lines(shipped.evaluation.verdict))


def print_parity(parity: ParityReport) -> None:
    """Print how far the exported graph is from the Python model."""
    same = "same route on all" if not parity.flips else f"{parity.flips:,} other routes on"
    say(
        f"Export check passed: {same} {quantity_text(parity.n, 'request')}; scores differ by"
        f" {parity.max_difference:.1e} at most."
    )
    if parity.encoder:
        say(f"encoder: {parity.encoder}")


def print_point(point: OperatingPoint, test: Mapping[str, Estimate], *, n: int) -> None:
    """Print an operating point: what was expected of it on the ``n`` samples that chose it, and
    what the test samples say.
    """
    from rich.table import Table

    from difficulty.report.wording import figure_text, label_of
    from difficulty.thresholds.point import names_at

    say(_threshold_text(point))
    for task, threshold in point.task_thresholds.items():
        say(f"  {one_line(task)}: threshold {threshold:.6g}")
    table = Table("", f"expected ({quantity_text(n, 'sample')})", "test", box=None, pad_edge=False)
    for name in names_at(point):
        # Unknown unless somebody has measured a catch rate.
        if name != "fallback_share" or point.fallback_share.value is not None:
            figures = (getattr(point, name), test.get(name))
            table.add_row(label_of(name), *(figure_text(name, figure) for figure in figures))
    show_table(table)
    print_promise(point)


def print_rule(rule: Iterable[RuleTask]) -> None:
    """Print what each task of the rule gains or costs on samples that the heads scored unseen."""
    for task in rule:
        say(task.sentence)


def print_promise(point: OperatingPoint) -> None:
    """Print what is guaranteed of a point, on what, and how many samples would tell more."""
    if point.guarantee:
        say(f"guaranteed: {point.guarantee}")
    say(f"assumed: {'; '.join(point.assumed)}")
    if point.n_to_halve:
        say(f"To halve these ranges, label about {quantity_text(point.n_to_halve, 'request')}.")


def _read_tasks(
    easy: list[str] | None, hard: list[str] | None, *, keep_rule: bool | None
) -> tuple[list[str] | None, list[str] | None]:
    """Return the easy and the hard tasks that were asked for; ``None`` for the recipe's."""
    for option, tasks in {"--easy-task": easy, "--hard-task": hard}.items():
        for task in tasks or ():
            if task.strip().lower() in _NO_TASK:
                raise InvalidValueError(
                    option,
                    task,
                    rule="name a task",
                    hint="For a bundle without easy and hard tasks: --no-rule.",
                )
    if keep_rule is not False:
        return easy, hard
    if easy or hard:
        raise typer.BadParameter("--no-rule goes without --easy-task and --hard-task")
    return [], []


def _read_least_familiarity(run: Run, asked: str | None) -> float | str | None:
    """Return the least familiarity that was asked for, perhaps the run's recommendation."""
    if asked != "recommended":
        try:
            return None if asked is None else float(asked)
        except ValueError:
            return asked  # refused by the policy, in its words
    advice = run.record.familiarity
    if not advice:
        raise RunError(
            "a recommended min_familiarity needs a run in which tasks were left out:"
            f" {str(run.folder)!r} is none. Train without --no-unseen-tasks, or pass a number."
        )
    return advice.at_request if run.model.familiarity_ else 0.0


def _change_policy(run: Run, **options: Any) -> PolicySettings | None:
    """Return the recipe's policy with what the command line changes; ``None`` for no change."""
    from difficulty.recipe import parse_recipe

    changes = {name: value for name, value in options.items() if value is not None}
    if not changes:
        return None
    # Read as a recipe is, so that options are refused in the words that recipes are.
    recipe = run.recipe.as_dict()
    return parse_recipe(
        {**recipe, "policy": {**recipe["policy"], **changes}}, name="options"
    ).policy
