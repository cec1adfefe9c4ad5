"""What changes the look of an ask and not what is asked: case, spaces, typos, polite words, an
instruction before or behind, Markdown, a code fence, other letters of options.

Each takes the text of the ask and a source of chance, and returns the text; one that has nothing to
change returns it as it is.
"""

from __future__ import annotations

import re

import numpy as np

Rng = np.random.Generator
TYPO_RATE = 0.02
"""Share of the letters that a typo befalls."""
_GREETINGS = (
    "Hello! I hope you are well.",
    "Hi there,",
    "Good morning,",
    "Hey, quick question for you.",
)
_REQUESTS = (
    "Could you please help me with the following?",
    "I would be grateful if you could look at this for me.",
    "Would you mind having a look at what follows?",
)
_THANKS = (
    "Thank you very much in advance!",
    "Many thanks for your time.",
    "I really appreciate your help, thanks a lot.",
)
_BEFORE = (
    "Work on the task below as well as you can.",
    "Read carefully what follows and give the best answer you know.",
    "You are given a request. Respond to it correctly.",
)
_BEHIND = (
    "Let's think step by step.",
    "Think it through step by step, then give the final answer.",
    "Take your time and explain each step before you conclude.",
)
# One instruction, as users of other languages write it around an English ask.
_IN_OTHER_LANGUAGES = (
    "Bitte lies die folgende Aufgabe genau und gib die beste Antwort.",
    "Por favor, lee con atención la tarea siguiente y da la mejor respuesta.",
    "Lis attentivement ce qui suit et donne la meilleure réponse.",
    "请仔细阅读下面的题目，并给出最好的回答。",
    "Внимательно прочитай задание ниже и дай лучший ответ.",
    "कृपया नीचे दिया गया कार्य ध्यान से पढ़ें और सबसे अच्छा उत्तर दें।",
)
_OPTION = re.compile(r"^([A-J])\. ", re.MULTILINE)
_BESIDE = dict(zip("qwertyuiopasdfghjklzxcvbnm", "wqwrtytuiosasdfghjkxzxcvbn", strict=True))


def upper_case(text: str, rng: Rng) -> str:
    """Write all of it in capitals."""
    return text.upper()


def double_spaces(text: str, rng: Rng) -> str:
    """Write two spaces for one."""
    return text.replace(" ", "  ")


def end_with_newlines(text: str, rng: Rng) -> str:
    """Add one to three empty lines."""
    return text + "\n" * int(rng.integers(1, 4))


def make_typos(text: str, rng: Rng) -> str:
    """Leave out, double, swap or mistype about one letter in fifty."""
    letters, hit = list(text), rng.random(len(text)) < TYPO_RATE
    for place in np.flatnonzero(hit).tolist():
        letter = text[place]
        if not letter.isalpha():
            continue
        kind = int(rng.integers(4))
        if kind == 0:
            letters[place] = ""
        elif kind == 1:
            letters[place] = letter * 2
        elif kind == 2 and place + 1 < len(text):
            letters[place], letters[place + 1] = letters[place + 1], letters[place]
        else:
            letters[place] = _BESIDE.get(letter.lower(), letter)
    return "".join(letters)


def add_polite_words(text: str, rng: Rng) -> str:
    """Greet before it and thank behind it."""
    greeting, asking, thanks = (_one_of(part, rng) for part in (_GREETINGS, _REQUESTS, _THANKS))
    return f"{greeting} {asking}\n\n{text}\n\n{thanks}"


def put_instruction_before(text: str, rng: Rng) -> str:
    """Begin with a general instruction."""
    return f"{_one_of(_BEFORE, rng)}\n\n{text}"


def put_instruction_behind(text: str, rng: Rng) -> str:
    """End with "think step by step"."""
    return f"{text}\n\n{_one_of(_BEHIND, rng)}"


def put_foreign_instruction(text: str, rng: Rng) -> str:
    """Begin with an instruction in another language."""
    return f"{_one_of(_IN_OTHER_LANGUAGES, rng)}\n\n{text}"


def write_as_markdown(text: str, rng: Rng) -> str:
    """Put it under a heading, its first line in bold and lists with bullets."""
    first, *rest = text.split("\n")
    lines = [f"- {line}" if _OPTION.match(line) else line for line in rest]
    return "\n".join(["## Task", "", f"**{first}**" if first.strip() else first, *lines])


def put_in_fence(text: str, rng: Rng) -> str:
    """Put it in a code fence."""
    return f"```text\n{text}\n```"


def change_option_letters(text: str, rng: Rng) -> str:
    """Write ``A)`` for ``A.`` before options, where there are some."""
    return _OPTION.sub(r"\1) ", text)


def _one_of(choices: tuple[str, ...], rng: Rng) -> str:
    return choices[int(rng.integers(len(choices)))]
