"""Answers made by chance, of which the facts say something, and n-grams as well."""

import numpy as np
from scipy.special import expit, logit

from difficulty.answer_check.answered import Answered, LabelledAnswers
from difficulty.answers.facts import FACTS
from difficulty.traffic.outcomes import Outcomes

VOCABULARY = 50


def made_answers(n, *, seed=0, signal=1.5, groups=None):
    """Return labelled answers: facts 3 and 5 and token 7 say whether one fails, and what the scorer
    says of the request is calibrated.
    """
    rng = np.random.default_rng(seed)
    facts = rng.normal(size=(n, len(FACTS))).astype(np.float32)
    facts[:, 12:] = 0.0
    facts[:, 0] = 1.0
    facts[rng.random(n) < 0.3, 1] = np.nan
    facts[:, 2] = np.nan
    p_request = expit(rng.normal(size=n))
    says = rng.random(n) < 0.4
    z = logit(p_request) + signal * (facts[:, 3] * (facts[:, 5] > 0) + says - 0.4)
    fails = (rng.random(n) < expit(z)).astype(float)
    frontier = (rng.random(n) < 0.2).astype(float)
    ids = [
        [*rng.integers(8, VOCABULARY, rng.integers(1, 9)).tolist(), *([7] if one else [])]
        for one in says
    ]
    return LabelledAnswers(
        answered=Answered(
            facts=facts,
            ids=ids,
            request=np.column_stack([p_request, np.full(n, 0.2)]).astype(np.float32),
        ),
        outcomes=Outcomes(
            cheap_quality=1.0 - fails,
            frontier_quality=1.0 - frontier,
            preferred_gain=np.full(n, np.nan),
            weight=np.ones(n),
        ),
        groups=[f"g{row}" for row in range(n)] if groups is None else groups,
    )
