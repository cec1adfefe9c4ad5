"""Keeping the model of a session, where the score alone would change it.

    if reason is above_threshold or within_threshold, and the policy has ``stick``:
        no session is known, or its cache is cold, or within == "loop" and no loop goes on:  as is
        the route is the session's:                                                          as is
        to the frontier model, and score > threshold + margin:                               as is
        back to the cheap one, and score <= threshold - margin_back:                         as is
        else:                                                  the session's route,  reason stick

A switch sends the whole prompt to a model whose provider has not cached it, and the next step may
send it back. What rules decide before the score (easy and hard tasks, unfamiliar requests) is not
held. Pure: who asks says what the session was on.
"""

from __future__ import annotations

import math

from difficulty.request import read_held
from difficulty.routes import Held, Stick
from difficulty.runtime.rule import Ruling

_STICK = {"cheap": Ruling("cheap", "stick"), "frontier": Ruling("frontier", "stick")}
_SECONDS = 60.0


def is_held(stick: Stick | None, held: Held | None) -> bool:
    """Return whether a request's session is to keep its model as far as the margin reaches."""
    if stick is None or held is None:
        return False
    if stick.within == "loop" and not held.in_loop:
        return False
    cold = math.inf if stick.cold_after_minutes is None else stick.cold_after_minutes * _SECONDS
    # At exactly that time it is taken to be warm still.
    return held.idle_s is None or held.idle_s <= cold


def hold(
    stick: Stick | None, held: Held | None, ruling: Ruling, *, score: float, threshold: float
) -> Ruling:
    """Return the verdict on a request of a session, given the one on the request alone.

    Parameters
    ----------
    stick : Stick or None
        The policy's.
    held : Held or None
        The session; ``None``: the request stands alone.
    ruling : Ruling
        The verdict on the request alone.
    score, threshold : float
        What it compared.
    """
    if stick is None or held is None or not is_held(stick, held):
        return ruling
    if ruling.route == held.route or ruling.reason not in ("above_threshold", "within_threshold"):
        return ruling
    crosses = (
        score > threshold + stick.margin
        if ruling.route == "frontier"
        else score <= threshold - stick.back
    )
    return ruling if crosses else _STICK[held.route]


def find_held(stick: Stick | None, told: object) -> Held | None:
    """Return the session that a caller tells of, where the policy keeps its model."""
    if stick is None:
        return None
    held = read_held(told)
    return held if is_held(stick, held) else None
