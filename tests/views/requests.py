"""Requests made of odd pieces, for readers that have to agree on every one."""

import random

PIECES = (
    *("\n", "\n\n", " ", ": ", "? ", "\t", "\r\n", ". "),
    *(
        "Which of these is heaviest?",
        "Please sum up the text.",
        "Question: why?",
        "Context: it rains",
    ),
    *("A. lead", "B. feathers", "1) one", "Answer:", "Summarise", "[1] a passage", "Source: 東京"),
    *("<context>", "</context>", "<system-reminder>", "</system-reminder>", "<question>"),
    *("</question>", "<div class='a'>", "</div>", "<документ>", "</b>", "<b>"),
    *("```", "```python", "~~~", "> quoted", "On Monday, 3 March, Ann wrote:", "at a.b(c.js:1)"),
    *('  File "a.py", line 3, in b', "    return 1", "Traceback (most", "| a | b | c |", "a\tb\tc"),
    *("1,2,3,4", '{"a": [', "]}", "{", "}", "QUJD" * 60, "é\ud83d", "\U0001f600", "\u2028", "ſK"),
    *("The tide was out and the boats lay on their sides in the mud of the harbour. " * 4,),
    *(
        "Hello, could you help me with this?",
        "Thanks in advance!",
        "Hi there,",
        "Think it through.",
    ),
    *("Answer the following question:", "Explain your answer.", "(a) iron", "b) tin", "- A. zinc"),
    *("Error: no such file", '{"error": null}', "Permission denied", "ValueError: no number"),
    *("Let’s think step by step.", "calculate it", "how many are left", "Best regards", "\n> and"),
    *("A sentence that comes again and again.", "word " * 60, "слово " * 50, "\x85", "\u00a0"),
)
TYPES = ("image_url", "input_audio", "text", "document", "video", "no such type")
ROLES = ("user", "user", "user", "assistant", "system", "tool", "developer", "function", None)


def odd_conversations(n, seed=0):
    """Return conversations of pieces in random order, some of them long."""
    rng = random.Random(seed)

    def text():
        most = rng.choice((5, 20, 80, 200))
        few = rng.sample(PIECES, rng.choice((4, 12, len(PIECES))))
        return "".join(rng.choice(few) + rng.choice(("", "\n", " ")) for _ in range(most))

    return [
        [_odd_message(rng, text()) for _ in range(rng.choice((1, 1, 1, 2, 5)))] for _ in range(n)
    ]


def _odd_message(rng, text):
    message = {"role": rng.choice(ROLES), "content": text}
    if rng.random() < 0.2:
        message["content"] = [{"type": kind, "text": text} for kind in rng.sample(TYPES, 2)]
    if rng.random() < 0.1:
        message |= rng.choice(({"is_error": True}, {"is_error": False}, {"marks": "file error x"}))
    return message
