"""From scores and outcomes to an operating point: a threshold, with what to expect of it.

``OBJECTIVES`` names the ways to choose one. An objective is a file here and a line in this dict;
another package adds one through the entry point group ``difficulty.objectives``. It is a function
of :class:`~difficulty.thresholds.policy_curve.PolicyCurve` and a number, and returns a threshold,
or a :class:`~difficulty.thresholds.policy_curve.Choice` where it promises something. Its
keyword-only parameters are options that the user may give: ``risk=0.2,delta=0.05``. One with the
option ``delta`` promises what it finds with confidence ``1 - delta``; where thresholds are chosen
per task, it sees the samples of one task alone, never pooled ones.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any, Final

__all__ = ["OBJECTIVES"]

OBJECTIVES: Final = {
    "cost": "difficulty.thresholds.objectives:threshold_for_cost",
    "mean_quality": "difficulty.thresholds.objectives:threshold_for_mean_quality",
    "missed": "difficulty.thresholds.promises:threshold_for_missed",
    "quality": "difficulty.thresholds.objectives:threshold_for_quality",
    "risk": "difficulty.thresholds.promises:threshold_for_risk",
    "share": "difficulty.thresholds.objectives:threshold_for_share",
    "utility": "difficulty.thresholds.objectives:threshold_for_utility",
}


class _CallableRoom(ModuleType):
    """The room, which is the function ``difficulty.thresholds`` where it is called: in a package a
    room and a function of one name have one place.
    """

    def __call__(self, bundle: Any, data: Any, out: Any, objective: str, **options: Any) -> Any:
        """Choose a bundle's thresholds again; see ``difficulty.face.shipped_bundle.thresholds``."""
        # By name: the function lives in the house above this room, which knows nothing of it.
        face = import_module("difficulty.face.shipped_bundle")
        return face.thresholds(bundle, data, out, objective, **options)


sys.modules[__name__].__class__ = _CallableRoom
