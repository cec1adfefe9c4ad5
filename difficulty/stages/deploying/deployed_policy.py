"""The policy of a bundle, with settings of the deployment changed: the next version of the bundle,
without training and without new labels.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, date, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from difficulty.bundle import Bundle, Policy, read_bundle, write_bundle
from difficulty.bundle.signature import SigningKey, opened, sign_folder
from difficulty.early_exit import unfit
from difficulty.errors import InvalidValueError
from difficulty.evaluation import metrics_text
from difficulty.evaluation.result import without_threshold
from difficulty.form import parse_toml
from difficulty.gateway.validators import Checker
from difficulty.needs import ModelLimits
from difficulty.report.page import escape_but_code
from difficulty.routes import Route
from difficulty.runtime.scorer import EarlyScorer, Scorer
from difficulty.stages.choosing import policy_files
from difficulty.stages.judging import shipped_figures
from difficulty.stages.ship import bundle_name

LIMITS = tuple(field.name for field in fields(ModelLimits))
SETTINGS = (
    "max_cheap_tokens",
    "easy_tasks",
    "hard_tasks",
    "min_familiarity",
    "fallback.on_validation_failure",
    "fallback.on_call_failure",
    "fallback.validators",
    "fallback.streaming",
    "fallback.catch_rate",
    "eligibility.answer_tokens",
    *(f"eligibility.{side}.{name}" for side in ("cheap", "frontier") for name in LIMITS),
    "exploration.epsilon",
    "exploration.shadow",
    "exploration.seed",
    "answer.on_unknown",
    "stick",
    "stick.within",
    "stick.margin",
    "stick.margin_back",
    "stick.cold_after_minutes",
    "review_date",
)
"""What a deployment may set; a last part of a name that is there once names it alone."""
_CHOSEN = {
    "threshold": "'difficulty thresholds' chooses it on labelled traffic",
    "task_thresholds": "'difficulty thresholds --per-task' chooses them on labelled traffic",
    "answer": "of the check only answer.on_unknown is free; 'difficulty thresholds' chooses the"
    " rest",
    "early": "'difficulty thresholds' chooses its cut-offs",
    "chosen": "it says how the threshold was chosen",
    "cheap_model": "the scorer was trained for this model; train for another one",
    "frontier_model": "the scorer was trained for this model; train for another one",
    "on_error": "a request that cannot be scored always goes to the frontier model",
}
# These move no route and no answer, so figures and promises stay.
_WITHOUT_EFFECT = {"exploration.shadow", "exploration.seed", "review_date"}
_WORD = re.compile(r"[A-Za-z_][\w-]*")


class PolicyChange(NamedTuple):
    """The new bundle, and what is new in it."""

    bundle: Bundle
    diff: tuple[str, ...]
    """Lines ``-name = value`` and ``+name = value`` of all that differs in ``policy.json``."""
    notes: tuple[str, ...]
    """What no longer holds."""


def change_policy(
    bundle_path: Path,
    settings: Sequence[str],
    out: Path,
    *,
    said: Sequence[str] = (),
    sign_with: SigningKey | None = None,
    today: date | None = None,
) -> PolicyChange:
    """Write a bundle with other settings and the same scorer and thresholds.

    Golden decisions are made again. Where a change moves routes or answers, the promise is dropped
    and ``chosen.assumed`` says that the figures are of before. The old bundle's signature is not
    the new one's: ``sign_with`` is the key to sign it with.

    Parameters
    ----------
    settings : sequence of str
        Each ``name=value``, the value in TOML; a plain word needs no quotes.
    said : sequence of str
        How settings were chosen, for ``chosen.assumed`` and the card.

    Raises
    ------
    InvalidValueError
        If a setting is unknown, no setting of the deployment, given twice, or changes nothing.
    FieldError
        If a value is not allowed.
    BundleError
        If the bundle is damaged or cannot serve the policy, or ``out`` exists.
    """
    name, version = bundle_name(out)
    key = opened(sign_with) if sign_with else None
    old = read_bundle(bundle_path)
    asked, policy = read_settings(settings), set_policy(old.policy, settings)
    _refuse_validators_that_cannot_be_built(policy)
    before, after = flat_policy(old.policy), flat_policy(policy)
    changed = [setting for setting in asked if _part(before, setting) != _part(after, setting)]
    if not changed:
        raise InvalidValueError(
            "--set", ", ".join(settings), rule="change something", hint="The bundle is so already."
        )
    policy, notes = _without_promises(policy, changed, today or datetime.now(UTC).date())
    assumed = (*policy.chosen.assumed, *said)
    policy = replace(policy, chosen=replace(policy.chosen, assumed=assumed))
    notes = (*said, *notes)
    scorer, small = Scorer.from_bundle(old), EarlyScorer.from_bundle(old)
    diff = tuple(_diff(before, flat_policy(policy)))
    if old.signature is not None and sign_with is None:
        notes = (*notes, "the bundle's signature is not that of the new one: sign it again")
    label = f"{name}-{version}"
    files = {
        **old.files,
        **policy_files(scorer, policy, version=label, early=small),
        "card.md": _card(old, label, diff, notes),
    }
    if not _WITHOUT_EFFECT.issuperset(changed):
        figures = without_threshold(shipped_figures(old), f"settings were changed: {changed}")
        files["metrics.json"] = metrics_text(figures).encode()
    manifest = old.next_manifest(name=name, version=version)
    sign = None if key is None else lambda folder: sign_folder(folder, key=key)
    return PolicyChange(write_bundle(out, files, manifest, sign=sign), diff, notes)


def stated_by_litellm(models: Mapping[Route, str | None]) -> tuple[str, ...]:
    """Return settings for what litellm's model information states of the two models.

    Parameters
    ----------
    models : mapping of str to str or None
        Names as litellm has them, by route; ``None``: that one is left alone.

    Raises
    ------
    InvalidValueError
        If litellm does not know a model, or no model is named.
    """
    from difficulty.integrations.litellm_limits import read_limits

    named = {side: model for side, model in models.items() if model}
    if not named:
        raise InvalidValueError(
            "--eligibility-from", "litellm", rule="stand with --cheap-as or --frontier-as"
        )
    return tuple(
        f"eligibility.{side}.{name}={json.dumps(value)}"
        for side, model in named.items()
        for name, value in read_limits(model, side).items()
    )


def read_settings(settings: Sequence[str]) -> dict[str, Any]:
    """Return values by the whole names of their settings."""
    values: dict[str, Any] = {}
    for text in settings:
        written, equals, value = text.partition("=")
        if not equals or not written.strip() or not value.strip():
            raise InvalidValueError("--set", text, rule="be name=value", hint="As in epsilon=0.05.")
        setting = _whole_name(written.strip())
        if setting in values:
            raise InvalidValueError("--set", text, rule="name each setting once")
        values[setting] = _read_value(setting, value.strip())
    return values


def set_policy(policy: Policy, settings: Sequence[str]) -> Policy:
    """Return a policy with other settings, each ``name=value``."""
    return _with_settings(policy, read_settings(settings))


def flat_policy(policy: Policy) -> dict[str, str]:
    """Return every value of a policy as JSON, by its dotted name."""
    return dict(_leaves(policy.as_dict(), ""))


def _whole_name(written: str) -> str:
    lasts = Counter(setting.rpartition(".")[2] for setting in SETTINGS)
    short = {
        last: setting for setting in SETTINGS if lasts[last := setting.rpartition(".")[2]] == 1
    }
    if written in SETTINGS or written in short:
        return short.get(written, written)
    why = _CHOSEN.get(written) or _CHOSEN.get(written.partition(".")[0])
    if why:
        raise InvalidValueError(
            "--set", written, rule="name a setting of the deployment", hint=f"{why.capitalize()}."
        )
    near = get_close_matches(written, [*SETTINGS, *short], n=1, cutoff=0.7)
    hint = f"Perhaps {near[0]!r} is meant." if near else f"Known: {', '.join(SETTINGS)}."
    raise InvalidValueError("--set", written, rule="name a setting of the deployment", hint=hint)


def _read_value(setting: str, text: str) -> Any:
    try:
        content = parse_toml(f"value = {text}")
    except ValueError as error:
        if _WORD.fullmatch(text):  # a shell has taken its quotes off
            return None if text == "none" else text
        raise InvalidValueError(
            f"--set {setting}", text, rule="be a TOML value", hint=f"{error}."
        ) from error
    if content.keys() != {"value"}:
        raise InvalidValueError(f"--set {setting}", text, rule="be one TOML value")
    return content["value"]


def _with_settings(policy: Policy, values: Mapping[str, Any]) -> Policy:
    content = policy.as_dict()
    for setting, value in values.items():
        section, _, name = setting.rpartition(".")
        if section == "answer" and policy.answer is None:
            raise InvalidValueError(
                "--set",
                setting,
                rule="be of a bundle that checks answers",
                hint="This one has no check, or does not use it.",
            )
        # as_dict made all of this anew, so the bundle's own policy stays.
        holder = content
        for part in section.split(".") if section else ():
            holder = holder.setdefault(part, {})
        holder[name] = value
    return Policy.parse_from("--set", content)


def _refuse_validators_that_cannot_be_built(policy: Policy) -> None:
    """Build them as a gateway does; whose code may run is the gateway's to say."""
    own = [rule for rule in policy.fallback.validators if rule.check != "python"]
    Checker(own)


def _without_promises(
    policy: Policy, changed: Sequence[str], today: date
) -> tuple[Policy, tuple[str, ...]]:
    """Return the policy without what it no longer keeps, and sentences that say so."""
    notes = []
    if policy.early and (why := unfit(per_task=False, min_familiarity=policy.min_familiarity)):
        policy = replace(policy, early=None)
        notes.append(why)
    moving = [setting for setting in changed if setting not in _WITHOUT_EFFECT]
    if moving:
        said = (
            f"threshold and figures were chosen and reckoned before {', '.join(moving)} changed"
            f" on {today.isoformat()}: they are of the policy of before"
        )
        assumed = (*policy.chosen.assumed, said)
        notes.append(f"{said}. Choose again on labelled traffic: difficulty thresholds")
        if policy.chosen.guarantee:
            notes.append(f"no longer promised: {policy.chosen.guarantee}")
        policy = replace(policy, chosen=replace(policy.chosen, assumed=assumed, guarantee=None))
    if "exploration.shadow" in changed and policy.exploration.shadow:
        notes.append(
            f"{policy.exploration.shadow:.0%} of the requests are answered by both models: that"
            " costs calls, which the cost figures do not hold".replace("%", " %", 1)
        )
    return policy, tuple(notes)


def _part(flat: Mapping[str, str], setting: str) -> dict[str, str]:
    """Return what a flat policy has of a setting, or below it where it is a section."""
    return {
        name: value
        for name, value in flat.items()
        if name == setting or name.startswith(f"{setting}.")
    }


def _leaves(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, json.dumps(value, ensure_ascii=False)


def _diff(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    for name in dict.fromkeys([*before, *after]):
        if before.get(name) == after.get(name):
            continue
        if name in before:
            yield f"-{name} = {before[name]}"
        if name in after:
            yield f"+{name} = {after[name]}"


def _card(old: Bundle, label: str, diff: Sequence[str], notes: Sequence[str]) -> bytes:
    """Return the old card under a heading that says what is new."""
    before = escape_but_code(f"{old.manifest.name}-{old.manifest.version}")
    # Indented, which is code whatever stands in it.
    lines = "".join(f"    {line}\n" for line in diff)
    news = (
        f"# {escape_but_code(label)}\n\nThe scorer and threshold of {before} with other settings of"
        f" the deployment:\n\n{lines}\n"
        + "".join(f"{escape_but_code(sentence)}\n\n" for sentence in notes)
        + f"What follows is the card of {before}, with its settings.\n\n---\n\n"
    )
    return news.encode() + old.files["card.md"]
