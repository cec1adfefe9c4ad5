"""Our's router, with the tokenizer alone and, where the bundle holds an encoder's graph, nothing
else: ``bundle.py BUNDLE``.
"""

import sys

from worker import serve

from difficulty.request import Request
from difficulty.runtime import Router

router = Router.load(sys.argv[1])
raw = router.scorer.tokenizer.tokenizer


def decide(text: str) -> object:
    """Decide on one user message."""
    return router.decide([{"role": "user", "content": text}])


def forget() -> None:
    """Make every word a new one."""
    router.scorer.tokenizer.forget()


decide("first request")
serve(
    {"tokenizer": raw.encode, "decide": decide, "decide, all words new": decide},
    batches={"decide": lambda texts: router.decide_many([Request(text) for text in texts])},
    before={"decide, all words new": forget},
)
