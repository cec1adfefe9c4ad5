"""Publish, promote, roll back: which of the shipped bundles routers follow.

A challenger takes the champion's place when it passes the gate of its recipe on labelled traffic
that neither was made from: both bundles decide on every request as their routers would, and what is
compared is what the users would have got.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty.bundle import Bundle, Trust
from difficulty.bundle.registry import CHALLENGER, CHAMPION, Registry, Version, tags_of
from difficulty.bundle.seen import PARTS
from difficulty.bundle.store import copy_bundle
from difficulty.bundle.trusted import read_trusted
from difficulty.errors import BundleError, RegistryError, TooFewSamplesError, TrafficError
from difficulty.evaluation.comparison import PAIRED, Contender, Paired, compare_pair
from difficulty.metrics.bootstrap import STANDARD, Resampling
from difficulty.recipe import PromotionSettings, parse_recipe
from difficulty.records import Estimate, Prices
from difficulty.replay.replay_result import ReplayEvidence, read_replay
from difficulty.runtime.golden import checked_router
from difficulty.stages.judging import (
    catch_rate,
    label_settings,
    serve,
    shipped_figures,
    weighed,
    without_forms,
)
from difficulty.stages.overlap import CHOSE, hash_of_texts, overlap_of
from difficulty.storage import on_urls
from difficulty.text import quantity_text
from difficulty.traffic.table import Traffic
from difficulty.training.run import notes_of


class Comparison(NamedTuple):
    """Challenger and champion on the same samples."""

    figures: dict[str, Paired]
    n: int
    """Samples that both were judged by."""
    refusals: list[str]
    """What the gate finds wrong, one sentence each; empty when the challenger may be promoted."""
    notes: list[str]
    warnings: list[str]
    """What is wrong with the traffic, a sentence or two each."""


class Promotion(NamedTuple):
    """What came of a promotion."""

    challenger: Version
    champion: Version | None
    """The champion before; ``None`` when there was none."""
    comparison: Comparison | None
    """``None`` when there was nothing to compare with."""

    @property
    def promoted(self) -> bool:
        """Whether the challenger is the champion now."""
        return self.comparison is None or not self.comparison.refusals


@on_urls
def publish(
    path: Path,
    name: str,
    registry: Registry,
    *,
    trust: Trust | None = None,
    training_run: str | None = None,
) -> Version:
    """Check a bundle in full and publish it as the challenger of a name.

    Parameters
    ----------
    path : Path
        Bundle folder.
    name : str
    registry : Registry
    trust : Trust, optional
        Whose signature it must bear.
    training_run : str, optional
        Where training was recorded, for the lineage.

    Raises
    ------
    BundleError
        If a hash, the signature or a golden vector is wrong.
    """
    bundle = read_trusted(path, trust)
    # The golden vectors too: a bundle that decides otherwise on this machine is not published.
    checked_router(bundle)
    evaluation = shipped_figures(bundle)
    metrics = {
        name: estimate.value
        for name, estimate in evaluation.overall.items()
        if estimate.value is not None
    }
    tags = tags_of(bundle) | ({"training_run": training_run} if training_run else {})
    tags |= evaluation.verdict.tags if evaluation.verdict else {}
    return registry.publish(bundle, name, tags=tags, metrics=metrics)


@on_urls
def fetch(reference: str, registry: Registry, out: Path, *, trust: Trust | None = None) -> Version:
    """Write the bundle that ``name``, ``name@alias`` or ``name@number`` names into a new folder;
    without a part, the champion.

    Raises
    ------
    RegistryError
        If there is no such version.
    BundleError
        If the folder exists, or the bundle fails a check; then nothing is left there.
    """
    name, _, which = reference.partition("@")
    version = registry.find(name, which or CHAMPION)
    if out.exists():
        raise BundleError(
            f"bundle {str(out)!r} exists already. Bundles are never overwritten: choose another"
            " folder."
        )
    # Checked in a scratch folder: ``out`` never holds a bundle that fails.
    with TemporaryDirectory() as scratch:
        copy_bundle(_fetched(registry, version, Path(scratch) / "bundle", trust), out)
    return version


@on_urls
def promote(
    name: str,
    registry: Registry,
    traffic_path: Path | None = None,
    *,
    replay_path: Path | None = None,
    settings: PromotionSettings | None = None,
    trust: Trust | None = None,
    prices: Prices | None = None,
    resampling: Resampling = STANDARD,
    progress: Callable[[str], None] | None = None,
) -> Promotion:
    """Compare the challenger with the champion and make it the champion if the gate holds.

    Parameters
    ----------
    name : str
    registry : Registry
    traffic_path : Path, optional
        Labelled traffic that neither bundle was made from; not needed for the first champion.
    replay_path : Path, optional
        What ``difficulty replay --bundle`` said of the challenger on the champion's log: in place
        of traffic, or beside it; then the gate must hold for both.
    settings : PromotionSettings, optional
        The gate; default: that of the challenger's recipe.
    trust : Trust, optional
        Whose signature both must bear.
    prices : Prices, optional
        For the costs.
    resampling : Resampling
        Of the intervals.
    progress : callable, optional
        Told what is being done, in a few words.

    Raises
    ------
    RegistryError
        If there is no challenger, it is the champion already, there is nothing to compare by, or
        the replay is of another bundle or another champion's log.
    PromotedMeanwhileError
        If another process changed the champion meanwhile.
    """
    say = progress or (lambda _: None)
    challenger, champion = registry.find(name, CHALLENGER), registry.aliases(name).get(CHAMPION)
    if champion is not None and champion.number == challenger.number:
        raise RegistryError(
            f"{challenger} of {name!r} is the champion already. Publish another bundle first."
        )
    say("fetching the bundles")
    with TemporaryDirectory() as scratch:
        new = _fetched(registry, challenger, Path(scratch) / "challenger", trust)
        old = _fetched(registry, champion, Path(scratch) / "champion", trust) if champion else None
    # The folders may go: a bundle that was read holds its files.
    if old is None:
        registry.promote(
            challenger, replacing=None, notes={"compared": "no champion to compare with"}
        )
        return Promotion(challenger, None, None)
    if traffic_path is None and replay_path is None:
        raise RegistryError(
            f"{name!r} has a champion, {champion}: promoting needs labelled traffic to compare by."
            " Pass a traffic file, or a replay of its log with --replay."
        )
    replayed = (
        compare_by_replay(new, old, read_replay(replay_path), settings=settings)
        if replay_path
        else None
    )
    if traffic_path is not None:
        say("comparing the bundles")
        comparison = compare(
            new,
            old,
            Traffic.read(traffic_path),
            settings=settings,
            prices=prices,
            resampling=resampling,
        )
        if replayed:
            # Either may keep a challenger back; the figures shown are those of the traffic.
            comparison = comparison._replace(
                refusals=[*comparison.refusals, *(f"by replay: {r}" for r in replayed.refusals)],
                notes=[*comparison.notes, *replayed.notes],
            )
    else:
        assert replayed is not None
        comparison = replayed
    if not comparison.refusals:
        # The registry refuses where another process has changed the champion since.
        registry.promote(challenger, replacing=champion, notes=_notes(comparison))
    return Promotion(challenger, champion, comparison)


def compare(
    challenger: Bundle,
    champion: Bundle,
    traffic: Traffic,
    *,
    settings: PromotionSettings | None = None,
    prices: Prices | None = None,
    resampling: Resampling = STANDARD,
) -> Comparison:
    """Judge two bundles on the samples that neither was made from.

    Raises
    ------
    TrafficError
        If a threshold was chosen on this very traffic.
    TooFewSamplesError
        If fewer samples are left than the gate asks for.
    """
    settings = settings or promotion_settings(challenger)
    rows, notes, warnings = unseen_rows(traffic, challenger=challenger, champion=champion)
    if len(rows) < settings.least_samples:
        raise TooFewSamplesError(
            f"comparing needs {settings.least_samples:,} samples that neither bundle was made from:"
            f" got {len(rows):,} of {len(traffic):,}. Pass other traffic, or lower"
            " promotion.least_samples in the recipe."
        )
    graded, ungraded = without_forms(traffic.select(rows), challenger)
    picked, logged = weighed(graded, label_settings(challenger))
    # A bundle that claims a better validator must not win by the claim.
    caught = catch_rate(champion.policy.fallback)
    new, old = (contend(bundle, picked, prices, caught) for bundle in (challenger, champion))
    figures, notes = compare_pair(new, old, resampling), [*notes, *ungraded, *notes_of(logged)]
    return Comparison(figures, len(rows), gate(figures, settings), notes, warnings)


def compare_by_replay(
    challenger: Bundle,
    champion: Bundle,
    replay: ReplayEvidence,
    *,
    settings: PromotionSettings | None = None,
) -> Comparison:
    """Judge a challenger by its replay on the champion's log.

    Raises
    ------
    RegistryError
        If another bundle was replayed, or another one decided the log's requests.
    """
    settings = settings or promotion_settings(challenger)
    if replay.bundle_sha256 != challenger.digest:
        what = "a threshold" if replay.bundle_sha256 is None else "another bundle"
        raise RegistryError(
            f"the replay is of {what}, and the challenger is {challenger.label}. Replay that very"
            " bundle. Run: difficulty replay LOG --bundle BUNDLE"
        )
    if foreign := sorted({*replay.bundle_versions} - {champion.label}):
        raise RegistryError(
            f"the replay must be of a log of the champion {champion.label}: got requests that"
            f" {', '.join(foreign[:3])} decided. Pass its bundle with --logged-bundle."
        )
    unknown = Estimate(value=None, note="a replay does not tell")
    figures = {
        name: Paired(
            challenger=replay.overall.get(name, unknown),
            champion=replay.logged.get(name, unknown),
            difference=replay.difference.get(name, unknown),
        )
        for name in PAIRED
    }
    refusals = gate(figures, settings)
    if not replay.supported:
        refusals.insert(0, "the log gives no support: it never took some routes of the challenger")
    if replay.outcomes < settings.least_samples:
        refusals.append(
            f"the replay rests on {quantity_text(replay.outcomes, 'request')} with a known"
            " quality, and the gate"
            f" asks for {settings.least_samples:,}"
        )
    note = f"replayed on {quantity_text(replay.requests, 'request')} that {champion.label} decided"
    return Comparison(figures, replay.outcomes, refusals, [note], [])


def gate(figures: dict[str, Paired], settings: PromotionSettings) -> list[str]:
    """Return what keeps a challenger from being promoted, one sentence each."""
    quality, risk = figures["quality"].difference, figures["risk"].difference
    refusals = []
    if quality.value is None and risk.value is None:
        refusals.append("neither quality nor risk is known of this traffic")
    elif (
        quality.value is not None
        and _worst(quality.low, quality.value) < -settings.max_quality_loss
    ):
        refusals.append(
            f"quality may be worse: {_shown(quality)}, and the gate allows"
            f" {-settings.max_quality_loss:g} at the lower end"
        )
    elif (
        quality.value is None
        and risk.value is not None
        and _worst(risk.high, risk.value) > settings.max_quality_loss
    ):
        refusals.append(
            f"risk may be higher: {_shown(risk)}, and the gate allows {settings.max_quality_loss:g}"
            " at the upper end"
        )
    share = figures["frontier_share"].difference.value
    if share is not None and share > settings.max_share_increase:
        refusals.append(
            f"the frontier share grows by {share:.4f}, and the gate allows"
            f" {settings.max_share_increase:g}"
        )
    cost, before = figures["cost"].difference.value, figures["cost"].champion.value
    if cost is not None and before is not None and cost > settings.max_cost_increase * before:
        refusals.append(
            f"the cost grows from {before:.4g} by {cost:.4g}, and the gate allows"
            f" {settings.max_cost_increase:.1%} of it"
        )
    return refusals


def promotion_settings(bundle: Bundle) -> PromotionSettings:
    """Return the gate of the recipe that a bundle was trained by; bundles from before there was one
    have the defaults.
    """
    # The gate alone: the rest may be a recipe of another version.
    gate_alone = {"name": "promotion", "promotion": bundle.manifest.recipe.get("promotion", {})}
    return parse_recipe(gate_alone, name="manifest.json: recipe").promotion


def _fetched(registry: Registry, version: Version, folder: Path, trust: Trust | None) -> Bundle:
    return read_trusted(registry.fetch(version, folder), trust)


def unseen_rows(
    traffic: Traffic, **bundles: Bundle
) -> tuple[NDArray[np.intp], list[str], list[str]]:
    """Return the rows that neither bundle is known to be made from, what to say of it, and what to
    warn of.
    """
    wanted, notes, warnings = np.ones(len(traffic), dtype=bool), [], []
    # Bundles without seen.bin keep one hash: they know the whole file again, and no part of it.
    chosen_on = hash_of_texts(traffic)
    for who, bundle in bundles.items():
        overlap = overlap_of(bundle, traffic, parts=PARTS)
        chose_all = overlap.seen.all() and (overlap.counts or {}).get(CHOSE)
        if chose_all or bundle.policy.chosen.calibration_data == chosen_on:
            raise TrafficError(
                f"the threshold of {who} {bundle.label} was chosen on this very traffic. Pass"
                " traffic that is newer."
            )
        wanted &= ~overlap.seen
        notes.append(f"{who} {overlap.note}")
        if overlap.warning:
            warnings.append(f"{who}: {overlap.warning}")
    return np.flatnonzero(wanted), notes, warnings


def contend(
    bundle: Bundle,
    traffic: Traffic,
    prices: Prices | None,
    caught: float | None,
    *,
    sliced: bool = False,
) -> Contender:
    """Decide every request as the bundle's router would; ``sliced`` for the kinds of slices that an
    evaluation tells apart.
    """
    router = checked_router(bundle)
    target = bundle.manifest.target
    served = serve(
        router.scorer,
        traffic,
        prices,
        target=target,
        early=router.early,
        checker=router.answers,
        sliced=sliced,
    )
    return Contender(
        scored=replace(served.scored.under(bundle.policy), catch_rate=caught),
        sent=served.decisions(bundle.policy),
    )


def _notes(comparison: Comparison) -> dict[str, str]:
    """Return what a registry remembers of why a champion became one."""
    differences = {
        name: pair.difference
        for name, pair in comparison.figures.items()
        if pair.difference.value is not None
    }
    return {"samples": str(comparison.n)} | {
        f"{name}_difference": _shown(difference) for name, difference in differences.items()
    }


def _shown(estimate: Estimate) -> str:
    interval = "" if estimate.low is None else f" [{estimate.low:+.4f}, {estimate.high:+.4f}]"
    return f"{estimate.value:+.4f}{interval}"


def _worst(end: float | None, value: float) -> float:
    return value if end is None else end
