"""Courtesy and instructions in other words than ``difficulty.perturb`` has them, and than the lists
of text view 2 were written by: no word was added to a list after these had been scored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

GREETINGS = (
    "Hey there! Got a minute?",
    "Good day to you.",
    "Hi everyone, first time asking here.",
    "Hello again, sorry to come back to you so soon.",
    "Dear Sir or Madam,",
    "Hope your week is going great!",
    "Hiya, I could do with a hand on this.",
    "Hi, can anybody help me with the one below?",
    "Excuse me, may I ask you something?",
    "Greetings! I need your expertise.",
)
THANKS = (
    "Thx!",
    "Thanks a million for any pointers.",
    "Cheers, you are the best.",
    "I owe you one.",
    "With kind regards and many thanks",
    "That would be a great help, thank you.",
    "Thanks for bearing with me!",
    "Would really appreciate it.",
    "Have a lovely evening, and thank you again.",
    "Please let me know. Thanks!",
)
BEFORE = (
    "Please answer this one:",
    "Consider the following problem carefully.",
    "I want you to act as a careful problem solver.",
    "Take a look at the question below and respond.",
    "You will be given a question. Give me your best answer.",
    "Your task is to answer the question that follows.",
    "Can you solve this for me?",
    "Here's a question for you:",
    "Try to answer as well as possible.",
    "Read each word before you respond.",
)
BEHIND = (
    "Keep it brief.",
    "No explanation needed, just the answer.",
    "Explain how you got there.",
    "Reason through this one step at a time.",
    "Provide the reasoning behind your choice.",
    "Please be precise and to the point.",
    "First think, then answer.",
    "Answer in two sentences at most.",
    "Let's take it slowly, step by step.",
    "Check your answer twice before you finish.",
)
OTHER_WORDINGS: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "polite_other_words": (GREETINGS, THANKS),
    "instruction_other_words": (BEFORE, ()),
    "manner_other_words": ((), BEHIND),
}
"""By name: what may stand in front of an ask, and what behind it."""


def put_around(
    name: str, requests: Sequence[Sequence[Mapping[str, str]]], *, ids: Sequence[str]
) -> list[list[dict[str, str]]]:
    """Return requests with some of these words around the last message of each."""
    before, behind = OTHER_WORDINGS[name]
    changed = []
    for messages, row in zip(requests, ids, strict=True):
        rng = np.random.default_rng([*f"{name}:{row}".encode()])
        parts = [
            *([str(rng.choice(before))] if before else []),
            messages[-1]["content"],
            *([str(rng.choice(behind))] if behind else []),
        ]
        last = {**messages[-1], "content": "\n\n".join(parts)}
        changed.append([*map(dict, messages[:-1]), last])
    return changed
