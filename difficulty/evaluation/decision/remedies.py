"""Short reasons, and the command that mends each; for whoever has a screen, not an hour.

Names in capitals stand for what the user has or chooses, see :data:`NAMES`; who shows a command
puts in what it knows with :func:`fill` and explains the rest with :func:`explain_names`.
To give a new finding its reason, add its line.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Final, NamedTuple


class Remedy(NamedTuple):
    """What stands against a router in few words, and what to do."""

    brief: str
    command: str = ""


LABEL: Final = (
    # Not TRAFFIC: of requests that have their outcomes none is left to label.
    "difficulty label UNLABELLED --cheap CHEAP --frontier FRONTIER --judge MODEL --budget-usd 20"
    " -o labelled.parquet"
)
_CHOOSE: Final = "difficulty thresholds BUNDLE NEWER --objective share=0.3 -o NEXT"
_NO_RULE: Final = "difficulty ship RUN --no-rule -o NEXT"
_PRICED: Final = "difficulty evaluate BUNDLE TRAFFIC --prices prices.toml -o priced"
_OTHERS: Final = "difficulty evaluate BUNDLE NEWER -o judged"
_WEIGH: Final = "difficulty economics --traffic TRAFFIC --prices prices.toml --bundle BUNDLE"
_RETRAIN: Final = "difficulty retrain TRAFFIC NEWER --bundle BUNDLE -o NEXT_RUN"

REMEDIES: Final[Mapping[str, Remedy]] = {
    "no_threshold": Remedy("No threshold is chosen yet.", "difficulty ship RUN -o NEXT"),
    "quality_unknown": Remedy("What routing does to quality is not known.", LABEL),
    "worse_than_chance": Remedy("Sending the same share at random does better.", _CHOOSE),
    "lead_unsure": Remedy("Not shown to beat sending the same share at random.", LABEL),
    "lead_small": Remedy("Not shown to beat sending the same share at random.", _CHOOSE),
    "poor_for_money": Remedy("Random routing for the same money does better.", _CHOOSE),
    "money_unsure": Remedy("Not shown to beat random routing for the same money.", _CHOOSE),
    "money_unsure_of_few": Remedy("Not shown to beat random routing for the same money.", LABEL),
    "rule_loses": Remedy("The score alone does better than with the rule.", _NO_RULE),
    "promise_missing": Remedy("The promise asked for could not be given.", LABEL),
    "promise_broken": Remedy("The promise does not hold here.", _CHOOSE),
    "promise_unsure": Remedy("The promise is not confirmed here.", LABEL),
    "more_sent": Remedy("More is sent here than was asked for.", _CHOOSE),
    "aim_missed": Remedy("What the threshold was chosen for is missed here.", _CHOOSE),
    "unpriced": Remedy("What it saves is not known: no prices.", _PRICED),
    "uncounted": Remedy("What it saves is not known: token counts are missing.", ""),
    "bill_rises": Remedy("The bill rises.", _CHOOSE),
    "bill_unsure": Remedy("Whether the bill falls is not sure.", LABEL),
    "volume_unknown": Remedy(
        "The requests a month are not known.", f"{_PRICED} --requests-per-month N"
    ),
    "keeping_unknown": Remedy("The cost to run it is not known: fill in [team].", _PRICED),
    "does_not_pay": Remedy("It does not pay at this volume.", _WEIGH),
    "training_overlap": Remedy("Requests seen in training were left out.", _OTHERS),
    "same_ids": Remedy("Some requests may be edited training samples.", _OTHERS),
    "other_models": Remedy(
        "These answers are of other models than it was made for.",
        "difficulty train TRAFFIC -o NEXT_RUN",
    ),
    "threshold_on_judged_data": Remedy("The threshold was chosen on these requests.", _OTHERS),
    "selection_bias": Remedy("Outcomes are known only where a policy looked.", LABEL),
    "equal_scores": Remedy("All scores are equal.", "difficulty train NEWER -o NEXT_RUN"),
    "no_signal": Remedy("The score cannot be told from chance.", LABEL),
    "losing_rule": Remedy("A task of the rule costs quality.", _NO_RULE),
    "check_loses_money": Remedy(
        "Checking answers costs more than it saves.",
        "difficulty thresholds BUNDLE NEWER --objective share=0.3 --answer off -o NEXT",
    ),
    "answers_unchecked": Remedy("Some answers could not be checked: add cheap_answer."),
    "stale_check": Remedy("Answers have changed since the check learnt them.", _RETRAIN),
    "frontier_not_better": Remedy("The frontier model is not shown to be better.", LABEL),
    "form_checks": Remedy("Only the form of answers was checked.", LABEL),
    "suspicious_labels": Remedy("Some labels look wrong: see suspicious.jsonl in the run."),
    "calibration_off": Remedy("Probabilities are off on this traffic.", _RETRAIN),
    "few_samples": Remedy("Too few labelled requests to be sure.", LABEL),
}
"""By the name of a finding, or of what :mod:`difficulty.evaluation.verdict` weighs."""
NAMES: Final[Mapping[str, str]] = {
    "BUNDLE": "the folder of the bundle",
    "RUN": "the folder of the run",
    "TRAFFIC": "labelled traffic that 'difficulty ingest' wrote",
    "NEWER": "labelled requests that the scorer has not seen, ingested",
    "UNLABELLED": "new requests without outcomes, ingested",
    "FEEDBACK": "late outcomes by the id of the request",
    "LOG": "the decision log of the router",
    "CHEAP": "the cheap model, as LiteLLM or the log names it",
    "FRONTIER": "the frontier model, as LiteLLM or the log names it",
    "MODEL": "what judges the answers: exact, or a model as LiteLLM names it",
    "NEXT": "the new bundle, such as bundles/support-2",
    "NEXT_RUN": "the new run, such as runs/second",
    "REGISTRY": "a folder or URL that keeps published bundles",
    "NAME": "the name that the bundle is published under",
    "DIR": "a folder for the report",
    "OBJECTIVE": "what the threshold is chosen by, such as share=0.3",
    "N": "the requests a month",
    "prices.toml": "your prices, see data/prices.example.toml",
}
"""Words of a command that stand for something, and for what."""
_WORD = re.compile(r"(?<![^\s`])[A-Za-z_.]+(?![^\s,`:;])")
_FILLED = re.compile(r"\b(BUNDLE|TRAFFIC|RUN|CHEAP|FRONTIER|UNLABELLED|NEWER|NEXT_RUN|NEXT)\b")


def remedy_of(name: str) -> Remedy:
    """Return reason and command; of a name that is not known, as of another package, the name."""
    said = f"{name.replace('_', ' ')}."
    return REMEDIES.get(name) or Remedy(said[:1].upper() + said[1:])


def fill(command: str, names: Mapping[str, str]) -> str:
    """Return a command with the names in capitals that are known, each quoted for a shell.

    Parameters
    ----------
    command : str
    names : mapping of str to str
        Names of :data:`NAMES`, such as ``BUNDLE``, and what to write for each; an empty one is not
        known.
    """
    return _FILLED.sub(lambda part: shlex.quote(names.get(part[0]) or part[0]), command)


def explain_names(*commands: str) -> str:
    """Return what the names that are left in commands stand for, ``NEWER is ...; N is ...``; empty
    where none is left.
    """
    words = dict.fromkeys(word for command in commands for word in _WORD.findall(command))
    return "; ".join(f"{word} is {NAMES[word]}" for word in words if word in NAMES)
