"""Learned difficulty scores for routing LLM requests between a cheap and a frontier model.

    import difficulty as d

    traffic = d.read("calls.jsonl")                       # or a frame, a table, a list of dicts
    run = d.train(traffic, recipe="fast")
    bundle = run.ship("bundles/support-1", objective="share=0.3")
    bundle.evaluate(traffic).plot()
    d.Router.load("bundles/support-1").decide("What are your opening hours?").route

Importing this package loads nothing: each name comes when it is first asked for. A router needs
``d.Router`` alone, which loads numpy, onnxruntime and tokenizers.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "Bundle",
    "CalibrationDisplay",
    "CostQualityDisplay",
    "Decision",
    "Evaluation",
    "Router",
    "Run",
    "ScoreDisplay",
    "Traffic",
    "__version__",
    "errors",
    "evaluate",
    "ingest",
    "label",
    "read",
    "ship",
    "sklearn",
    "thresholds",
    "train",
]

if TYPE_CHECKING:
    from difficulty import errors, sklearn
    from difficulty.evaluation import Evaluation
    from difficulty.evaluation.displays import CalibrationDisplay, CostQualityDisplay, ScoreDisplay
    from difficulty.face.judging_data import evaluate
    from difficulty.face.label_offer import label
    from difficulty.face.shipped_bundle import ShippedBundle as Bundle
    from difficulty.face.shipped_bundle import ship, thresholds
    from difficulty.face.traffic_data import TrafficData as Traffic
    from difficulty.face.traffic_data import ingest, read
    from difficulty.face.trained_run import TrainedRun as Run
    from difficulty.face.trained_run import train
    from difficulty.runtime import Decision, Router

_PLACES = {
    "Bundle": "difficulty.face.shipped_bundle:ShippedBundle",
    "CalibrationDisplay": "difficulty.evaluation.displays:CalibrationDisplay",
    "CostQualityDisplay": "difficulty.evaluation.displays:CostQualityDisplay",
    "Decision": "difficulty.runtime:Decision",
    "Evaluation": "difficulty.evaluation:Evaluation",
    "Router": "difficulty.runtime:Router",
    "Run": "difficulty.face.trained_run:TrainedRun",
    "ScoreDisplay": "difficulty.evaluation.displays:ScoreDisplay",
    "Traffic": "difficulty.face.traffic_data:TrafficData",
    "errors": "difficulty.errors",
    "evaluate": "difficulty.face.judging_data:evaluate",
    "ingest": "difficulty.face.traffic_data:ingest",
    "label": "difficulty.face.label_offer:label",
    "read": "difficulty.face.traffic_data:read",
    "ship": "difficulty.face.shipped_bundle:ship",
    "sklearn": "difficulty.sklearn",
    "thresholds": "difficulty.thresholds",  # a room too; called, it is the function
    "train": "difficulty.face.trained_run:train",
}
"""Public name and where it lives; resolved late, so that importing stays free."""


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'difficulty' has no attribute {name!r}")
    module, _, member = _PLACES[name].partition(":")
    found = import_module(module)
    value = getattr(found, member) if member else found
    globals()[name] = value  # the next time it is there
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
