"""The facts: every number that is computed about an answer, in one fixed order.

To add a kind of fact, write a module with ``NAMES`` and a function from a :class:`Pair` to as many
numbers, and add a line to ``KINDS``. What a number means, or where it stands, changes only with
``FACTS_VERSION``: models are trained on it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from difficulty.answers import arithmetic, cues, final, options, shape, tools
from difficulty.answers.answer import Answer, Asked
from difficulty.answers.pair import Pair

FACTS_VERSION = 1
KINDS: tuple[tuple[tuple[str, ...], Callable[[Pair], list[float]]], ...] = (
    (tools.NAMES, tools.read_tools),
    (arithmetic.NAMES, arithmetic.read_arithmetic),
    (final.NAMES, final.read_final),
    (options.NAMES, options.read_options),
    (cues.NAMES, cues.read_cues),
    (shape.NAMES, shape.read_shape),
)
"""Names of a kind's facts, and the function that reads them."""
FACTS: tuple[str, ...] = tuple(name for names, _ in KINDS for name in names)


def read_facts(asked: Asked, answer: Answer) -> NDArray[np.float32]:
    """Return the facts of an answer.

    Parameters
    ----------
    asked : Asked
    answer : Answer

    Returns
    -------
    ndarray of shape (len(FACTS),)
        In the order of ``FACTS``; ``nan`` where a fact is not known, such as those about tool calls
        where no tool was offered.
    """
    pair = Pair(asked, answer)
    return np.array([value for _, read in KINDS for value in read(pair)], dtype=np.float32)
