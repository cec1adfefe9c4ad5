"""What routers import: load a bundle, decide. Needs numpy, onnxruntime and tokenizers only."""

from difficulty.bundle.store import Trust, load_trust
from difficulty.request import Request
from difficulty.runtime.answers import AnswerVerdict
from difficulty.runtime.decision import Decision
from difficulty.runtime.reload import ReloadingRouter, follow_path
from difficulty.runtime.router import Router
from difficulty.runtime.scorer import Score, Scorer

__all__ = [
    "AnswerVerdict",
    "Decision",
    "ReloadingRouter",
    "Request",
    "Router",
    "Score",
    "Scorer",
    "Trust",
    "follow_path",
    "load_trust",
]
