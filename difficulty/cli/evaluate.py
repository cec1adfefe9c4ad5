"""Whether it is any good, whether it pays, and which of two is better: ``difficulty evaluate``,
``difficulty economics``, ``difficulty compare``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from difficulty.cli.console import (
    CachePath,
    DetailsFlag,
    Draws,
    ExperimentName,
    JsonFlag,
    OutPath,
    OverwriteFlag,
    Seed,
    TrackingFlag,
    TrackingUri,
    TrafficPath,
    command_text,
    open_tracker,
    print_json,
    refuse_report,
    say,
    say_aim,
    say_figures,
    say_next,
    say_remedy,
    say_report,
    say_sentence,
    say_ship,
    say_tracked,
    show_table,
    steps,
    tracked_entry,
    warn,
)
from difficulty.cli.ship import say_published
from difficulty.errors import InvalidValueError
from difficulty.kinds import free_name
from difficulty.storage import DEFAULT_CACHE
from difficulty.text import one_line, quantity_text

if TYPE_CHECKING:
    from difficulty.evaluation import Evaluation
    from difficulty.metrics import Resampling
    from difficulty.records import Prices
    from difficulty.stages.evaluate import Judgement

Volume = Annotated[
    str | None,
    typer.Option(
        "--requests-per-month",
        metavar="N|LOW-HIGH",
        help="Requests a month that the router would get. Default: the price list's.",
    ),
]


_MODELS = ("CHEAP", "FRONTIER")
_PERTURBED = 500
"""Requests that are scored in other clothes: enough for a width of about 4 points."""


def evaluate(
    scorer: Annotated[Path, typer.Argument(help="Run or bundle folder.")],
    traffic: TrafficPath,
    out_path: OutPath,
    prices: Annotated[
        Path | None,
        typer.Option(help="Price list (TOML), for cost; with ways to host, also whether it pays."),
    ] = None,
    requests_per_month: Volume = None,
    draws: Draws = 1000,
    seed: Seed = 0,
    cache: CachePath = DEFAULT_CACHE,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Exit with 1 unless the verdict is to switch on, and when an honesty check finds"
            " an error or a warning.",
        ),
    ] = False,
    show_texts: Annotated[
        bool, typer.Option("--show-texts", help="Show texts of the worst mistakes in the report.")
    ] = False,
    economics: Annotated[
        Path | None,
        typer.Option(
            help="economics.json of 'difficulty economics -o', shown in the report instead."
        ),
    ] = None,
    perturb: Annotated[
        bool,
        typer.Option(
            "--perturb",
            help="Score 500 of the requests in other clothes too: case, typos, polite words,"
            " instructions, reminders, retrieved passages and more.",
        ),
    ] = False,
    unlabelled: Annotated[
        bool,
        typer.Option(
            "--unlabelled",
            help="Look at requests without outcomes: shares, cost, familiarity, and with --against"
            " how far they are from others. A bundle only; traffic may be JSON lines too.",
        ),
    ] = False,
    against: Annotated[
        Path | None,
        typer.Option(help="Traffic to compare unlabelled requests with, such as training's."),
    ] = None,
    tracking: TrackingFlag = None,
    tracking_uri: TrackingUri = None,
    experiment: ExperimentName = "difficulty",
    details: DetailsFlag = False,
    overwrite: OverwriteFlag = False,
    json: JsonFlag = False,
) -> None:
    """Judge a run or a bundle on labelled traffic: every figure with its interval, by slice and
    beside baselines, and a report of it.

    Example: difficulty evaluate bundles/support-1 traffic.parquet -o report
    """
    from difficulty.economics import load_price_list
    from difficulty.economics.usage import parse_volume
    from difficulty.metrics import Resampling
    from difficulty.stages.evaluate import evaluate_scorer
    from difficulty.stages.tracking.recorded_steps import record_evaluation

    if requests_per_month and prices is None:
        raise InvalidValueError(
            "requests_per_month",
            requests_per_month,
            rule="come with --prices, as it says nothing without them",
        )
    # Cost compares the models, so both prices have to be there.
    price_list = load_price_list(prices, both_models=True) if prices else None
    if against is not None and not unlabelled:
        raise typer.BadParameter("it needs --unlabelled", param_hint="'--against'")
    if unlabelled:
        _look_at_unlabelled(
            scorer,
            traffic,
            out_path,
            against=against,
            prices=price_list.per_token if price_list else None,
            resampling=Resampling(draws, seed),
            overwrite=overwrite,
            json=json,
        )
        return
    weighed = price_list is not None and price_list.compares_hosting and not economics
    money = ("economics.json",) if weighed else ()
    refuse_report(out_path, "metrics.json", "report.html", "report.md", *money, overwrite=overwrite)
    tracker = open_tracker(tracking, tracking_uri, experiment)
    with steps() as show:
        show("reading")
        result = evaluate_scorer(
            scorer,
            traffic,
            out_path,
            prices=price_list,
            cache=cache,
            resampling=Resampling(draws, seed),
            show_texts=show_texts,
            economics=economics,
            volume=parse_volume(requests_per_month) if requests_per_month else None,
            perturbed=_PERTURBED if perturb else 0,
            progress=show,
        )
        if tracker is not None:
            show("tracking")
            record_evaluation(
                tracker, result, out_path, scorer=scorer, traffic=traffic, texts=show_texts
            )
    if json:
        entries = {"tracking": tracked_entry(tracker)} if tracker else {}
        print_json(_entries(result) | entries)
    else:
        _print_judged(result, out_path, details=details)
        say_tracked(tracker)
        _say_step(scorer, traffic, result)
    # After everything is written: a failing check is no reason to lose the report.
    if strict and not _passes(result.evaluation):
        raise typer.Exit(1)


def _entries(result: Judgement) -> dict[str, Any]:
    """Return what ``--json`` prints of a judgement."""
    counts = {"judged": result.judged, "left_out": result.left_out, "note": result.note}
    return counts | result.evaluation.as_dict()


def _print_judged(result: Judgement, out_path: Path, *, details: bool) -> None:
    """Print the decision and the figures that it rests on, or all, and where they were written."""
    from difficulty.report.figures_table import decision_text, evaluation_table

    evaluation = result.evaluation
    if evaluation.verdict:
        say_sentence(decision_text(evaluation.verdict))
    say_sentence(f"{quantity_text(result.judged, 'sample')} judged. {result.note}")
    if details:
        say_aim(evaluation)
        show_table(evaluation_table(evaluation))
        say(f"wrote {', '.join(str(out_path / name) for name in result.written)}")
    else:
        say_figures(evaluation)
        say_report(out_path, result.written, evaluation)


def _say_step(scorer: Path, traffic: Path, result: Judgement) -> None:
    """Print what comes next: what mends what stands against the decision, or how it goes on."""
    verdict, lineage = result.evaluation.verdict, result.evaluation.lineage
    # A run has no threshold yet; the folder may lie behind a URL.
    shipped = result.evaluation.threshold is not None
    against = verdict.against[0] if verdict and verdict.against else None
    if not shipped and (against is None or against.name == "quality"):
        say_ship(scorer)
    elif against is not None and against.command:
        models = {name: lineage.get(f"{name.lower()}_model") for name in _MODELS}
        places = {"BUNDLE" if shipped else "RUN": str(scorer)}
        say_remedy(against.command, {**models, **places}, traffic=traffic)
    elif shipped:
        say_published(scorer, verdict=verdict)


def _look_at_unlabelled(
    bundle: Path,
    traffic: Path,
    out_path: Path,
    *,
    against: Path | None,
    prices: Prices | None,
    resampling: Resampling,
    overwrite: bool,
    json: bool,
) -> None:
    from difficulty.report.wording import as_text
    from difficulty.stages.labelling.unlabelled import look_at

    refuse_report(out_path, "unlabelled.json", overwrite=overwrite)
    with steps() as show:
        report = look_at(
            bundle,
            traffic,
            out_path,
            against=against,
            prices=prices,
            resampling=resampling,
            progress=show,
        )
    if json:
        print_json(report.as_dict())
        return
    expected = "" if report.expected_share is None else f" (expected {report.expected_share:.3f})"
    requests = "1 request" if report.requests == 1 else f"{report.requests:,} requests"
    say(f"{requests} without outcomes, by {report.bundle}")
    say(f"  frontier share {as_text(report.frontier_share)}{expected}")
    say(f"  cost per 1,000 {as_text(report.cost)} USD")
    for name, quantiles in (("scores", report.scores), ("familiarity", report.familiarity)):
        if quantiles:
            listed = (f"{float(share):.0%} {value:.3f}" for share, value in quantiles.items())
            say(f"  {name:<14} {', '.join(listed)}")
    if report.unfamiliar_share is not None:
        say(f"  unfamiliar     {report.unfamiliar_share:.3f}")
    for drift in report.drift:
        verdict = "MOVED" if drift.moved else "as by chance"
        say(f"  {drift.of}: distance {drift.distance:.3f}, chance {drift.noise:.3f}: {verdict}")
    if report.new_tasks:
        listed = (f"{one_line(task) or 'none'} {n:,}" for task, n in report.new_tasks.items())
        say(f"  new tasks: {', '.join(listed)}")
    if report.expected is not None:
        say(report.expected.sentence)
    say(f"wrote {out_path / 'unlabelled.json'}")


def compare(
    a: Annotated[Path, typer.Argument(help="Bundle folder: what the other is held against.")],
    b: Annotated[Path, typer.Argument(help="The other bundle folder.")],
    traffic: TrafficPath,
    out_path: OutPath,
    prices: Annotated[
        Path | None, typer.Option(help="Price list (TOML), for cost; default: calls are compared.")
    ] = None,
    draws: Draws = 1000,
    seed: Seed = 0,
    overwrite: OverwriteFlag = False,
    json: JsonFlag = False,
) -> None:
    """Set two bundles side by side on labelled traffic: which is better, by how much, and for which
    requests; no winner is named inside the noise.

    Example: difficulty compare bundles/support-1 bundles/support-2 traffic.parquet -o compared
    """
    from difficulty.economics import load_price_list
    from difficulty.metrics import Resampling
    from difficulty.report.figures_table import pair_table
    from difficulty.stages.deploying.comparing import FILES, SAME_BUNDLE, compare_bundles

    refuse_report(out_path, *FILES, overwrite=overwrite)
    price_list = load_price_list(prices, both_models=True) if prices else None
    with steps() as show:
        result = compare_bundles(
            a,
            b,
            traffic,
            out_path,
            prices=price_list.per_token if price_list else None,
            resampling=Resampling(draws, seed),
            progress=show,
        )
    if json:
        print_json(result.as_dict())
        return
    for text in result.warnings:
        warn(text)
    show_table(pair_table(result))
    say(f"wrote {', '.join(str(out_path / name) for name in FILES)}")
    better = {"prefer_a": a, "prefer_b": b}.get(result.verdict.answer)
    if better is not None:
        say_published(better)
    elif result.verdict.answer != "trade_off" and SAME_BUNDLE not in result.warnings:
        say_next(command_text("compare", a, b, "NEWER", "-o", free_name(f"{out_path}-more")))


def _passes(evaluation: Evaluation) -> bool:
    """Return whether nothing speaks against the scorer; a run has no rule to switch on yet."""
    from difficulty.evaluation.findings import failing

    verdict, chosen = evaluation.verdict, evaluation.threshold is not None
    against = chosen and verdict is not None and verdict.answer != "switch_on"
    return not against and not failing(evaluation.findings)


def economics(
    traffic: Annotated[Path, typer.Option(help="File written by 'difficulty ingest'.")],
    prices: Annotated[
        Path, typer.Option(help="Price list (TOML); data/prices.example.toml is one to fill in.")
    ],
    bundle: Annotated[
        Path | None,
        typer.Option(
            help="Bundle that the answer is about; without one, --keep-cheap says how many requests"
            " are kept, taken at random."
        ),
    ] = None,
    keep_cheap: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Share of the requests to keep on the cheap model. With a bundle its simplest"
            " ones, for comparison with its own policy.",
        ),
    ] = None,
    share: Annotated[
        float | None, typer.Option(hidden=True, help="What --keep-cheap was called before.")
    ] = None,
    requests_per_month: Volume = None,
    catch_rate: Annotated[
        float | None,
        typer.Option(
            help="Share of the cheap model's failures that validation catches. Default: the"
            " policy's."
        ),
    ] = None,
    latency_critical: Annotated[
        bool | None,
        typer.Option(
            "--latency-critical/--not-latency-critical",
            help="Whether no request may wait for a cold start.",
        ),
    ] = None,
    compliance: Annotated[
        Literal["own-hardware", "own-cloud", "any"] | None,
        typer.Option(help="Where requests to the cheap model may go."),
    ] = None,
    max_quality_loss: Annotated[
        float | None, typer.Option(help="Fall of the mean quality that is tolerated, in [0, 1].")
    ] = None,
    draws: Draws = 1000,
    seed: Seed = 0,
    out_path: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for economics.json.", show_default=False),
    ] = None,
    overwrite: OverwriteFlag = False,
    json: JsonFlag = False,
) -> None:
    """Say whether routing pays for this team: spend today, savings under four ways to host,
    break-even, and when it does not pay.

    Example: difficulty economics --traffic traffic.parquet --prices prices.toml --bundle
    bundles/support-1 --requests-per-month 200000-300000
    """
    from difficulty.economics import load_price_list
    from difficulty.economics.conditions import Answers
    from difficulty.economics.usage import parse_volume
    from difficulty.metrics import Resampling
    from difficulty.report.figures_table import economics_table
    from difficulty.stages.economics import Question, weigh_up, write_economics

    if out_path is not None:
        refuse_report(out_path, "economics.json", overwrite=overwrite)
    answers = Answers(
        catch_rate=catch_rate,
        latency_critical=latency_critical,
        compliance=compliance,
        max_quality_loss=max_quality_loss,
    )
    if share is not None and keep_cheap is None:
        keep_cheap = share
        warn("--share is now --keep-cheap: the share of the requests kept on the cheap model")
    question = Question(
        keep_cheap=keep_cheap,
        volume=parse_volume(requests_per_month) if requests_per_month else None,
        answers=answers,
        resampling=Resampling(draws, seed),
    )
    with steps() as show:
        show("weighing up")
        # Without asking for both prices: what is missing is named in the answer.
        result = weigh_up(traffic, load_price_list(prices), question, bundle_path=bundle)
    if out_path is not None:
        out_path.mkdir(parents=True, exist_ok=True)
        write_economics(result, out_path / "economics.json")
    if json:
        print_json(result.as_dict())
    else:
        show_table(economics_table(result))
        if out_path is not None:
            say(f"wrote {out_path / 'economics.json'}")
    if result.verdict.answer != "build":  # the answer is no, or not sure
        raise typer.Exit(1)
