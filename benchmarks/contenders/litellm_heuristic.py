"""LiteLLM's heuristic complexity classifier, as its auto router calls it."""

from types import SimpleNamespace

from litellm.router_strategy.complexity_router.complexity_router import ComplexityRouter
from worker import serve

router = ComplexityRouter("auto", SimpleNamespace(), {}, derive_savings_baseline=False)
router.classify("first request")
serve({"classify": router.classify})
