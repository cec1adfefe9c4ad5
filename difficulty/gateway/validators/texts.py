"""Validators of what an answer says: ``non_empty``, ``refusal``, ``regex`` and ``python``."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from difficulty.answers.answer import Answer, Asked
from difficulty.errors import InvalidValueError, MissingExtraError, UnknownNameError
from difficulty.gateway.validators import Verdict


class NonEmpty:
    """Fail answers without text and tool calls; with ``whole``, also those cut off."""

    def __init__(self, *, whole: bool = False) -> None:
        self.whole = whole

    def is_quick(self, answer: Answer, asked: Asked) -> bool:
        """Return that it is."""
        return True

    def __call__(self, answer: Answer, asked: Asked) -> Verdict:
        """Return whether the answer says something."""
        if not answer.text.strip() and not answer.tool_calls:
            return Verdict(False, "empty")
        if self.whole and answer.finish_reason == "length":
            return Verdict(False, "cut off by the token limit")
        return Verdict(True)


PHRASES = {
    "en": (
        "i can't help with",
        "i cannot help with",
        "i can't assist with",
        "i cannot assist with",
        "i'm not able to help",
        "i am not able to help",
        "i'm unable to help",
        "i am unable to help",
        "i'm unable to assist",
        "i am unable to assist",
        "i can't comply",
        "i cannot comply",
        "i can't fulfill",
        "i cannot fulfill",
        "i won't be able to help",
        "i'm sorry, but i can't",
        "i'm sorry, but i cannot",
        "i am sorry, but i cannot",
        "sorry, i can't help",
        "as an ai language model, i cannot",
        "as an ai, i cannot",
        "i must decline",
    ),
    "de": (
        "dabei kann ich nicht helfen",
        "dabei kann ich ihnen nicht helfen",
        "dabei kann ich dir nicht helfen",
        "damit kann ich nicht helfen",
        "es tut mir leid, aber ich kann",
        "ich kann diese anfrage nicht",
        "als ki-sprachmodell kann ich",
    ),
    "fr": (
        "je ne peux pas vous aider",
        "je ne peux pas t'aider",
        "je ne suis pas en mesure de",
        "je suis desole, mais je ne peux pas",
        "je suis désolé, mais je ne peux pas",
        "en tant qu'ia, je ne peux pas",
    ),
    "es": (
        "no puedo ayudarte con",
        "no puedo ayudarle con",
        "lo siento, pero no puedo",
        "no me es posible ayudar",
        "como modelo de lenguaje, no puedo",
    ),
    "it": ("non posso aiutarti con", "non posso aiutarla con", "mi dispiace, ma non posso"),
    "pt": ("não posso ajudar com", "desculpe, mas não posso", "lamento, mas não posso"),
    "nl": ("daar kan ik niet bij helpen", "het spijt me, maar ik kan"),
    "pl": ("nie mogę w tym pomóc", "przykro mi, ale nie mogę"),
    "zh": ("我无法提供帮助", "很抱歉,我无法", "抱歉,我不能"),
    "ja": ("申し訳ありませんが、お手伝いできません", "申し訳ございませんが、お答えできません"),
}
"""Language to phrases, in lower case with plain apostrophes and commas."""

# Refusals are short and decline at once: a phrase further on, or in a long answer, is most often
# part of what was asked for.
_WITHIN, _LONGEST = 160, 600
_PLAIN = str.maketrans({"’": "'", "‘": "'", "，": ","})


class Refusal:
    """Fail answers that decline.

    Parameters
    ----------
    languages : sequence of str, optional
        Which of ``PHRASES`` to look for; default: all.
    phrases : sequence of str
        Your own, in any case.
    """

    def __init__(
        self, *, languages: Sequence[str] | None = None, phrases: Sequence[str] = ()
    ) -> None:
        chosen = PHRASES if languages is None else dict.fromkeys(languages)
        if unknown := sorted({*chosen} - {*PHRASES}):
            raise UnknownNameError("language", unknown[0], PHRASES)
        listed = [*phrases, *(phrase for name in chosen for phrase in PHRASES[name])]
        self._phrases = [*map(_normalise, listed)]

    def is_quick(self, answer: Answer, asked: Asked) -> bool:
        """Return that it is: only the beginning is read."""
        return True

    def __call__(self, answer: Answer, asked: Asked) -> Verdict | None:
        """Return whether the answer does not decline; ``None`` for one without text."""
        text = answer.text.strip()
        if not text or answer.tool_calls:
            return None
        if len(text) > _LONGEST:
            return Verdict(True)
        beginning = _normalise(text[:_WITHIN])
        declines = any(phrase in beginning for phrase in self._phrases)
        return Verdict(not declines, "declines" if declines else "")


def _normalise(text: str) -> str:
    return unicodedata.normalize("NFC", text).translate(_PLAIN).casefold()


_TIMEOUT_S = 0.05


class Pattern:
    """Fail answers in which a pattern is not found, or with ``absent`` those in which it is.

    Matching stops after 50 milliseconds, and nothing is known then.

    Parameters
    ----------
    pattern : str
        Searched for anywhere; begin with ``^`` and end with ``$`` to match the whole answer.
    absent : bool
        Whether the pattern must not be found.
    max_chars : int
        Longer answers fail.
    """

    def __init__(self, *, pattern: str, absent: bool = False, max_chars: int = 20_000) -> None:
        regex = _import_regex()
        try:
            self._pattern = regex.compile(pattern)
        except regex.error as error:
            raise InvalidValueError(
                "pattern", pattern, rule="be a regular expression", hint=f"{error}."
            ) from error
        self.absent = absent
        self.max_chars = max_chars

    def __call__(self, answer: Answer, asked: Asked) -> Verdict | None:
        """Return whether the answer has the pattern; ``None`` for tool calls without text."""
        if answer.tool_calls and not answer.text:
            return None
        if len(answer.text) > self.max_chars:
            return Verdict(False, f"longer than {self.max_chars:,} characters")
        is_there = self._pattern.search(answer.text, timeout=_TIMEOUT_S) is not None
        if is_there != self.absent:
            return Verdict(True)
        return Verdict(False, "pattern found" if is_there else "pattern not found")


def search(pattern: str, text: str) -> bool:
    """Return whether an untrusted pattern is found; ``TimeoutError`` after 50 ms."""
    return _import_regex().search(pattern, text, timeout=_TIMEOUT_S) is not None


def _import_regex() -> Any:
    try:
        import regex
    except ImportError as error:
        raise MissingExtraError("the regex validator", package="regex", extra="gateway") from error
    return regex


class PythonFunction:
    """Ask a function ``f(answer, asked)`` that returns true, false, or ``None`` where it has
    nothing to say.

    Parameters
    ----------
    function : str
        ``package.module:name``; the package must be importable where the router runs.
    allowed : sequence of str
        Packages or modules that may be named, from the router's settings.
    """

    def __init__(self, *, function: str, allowed: Sequence[str] = ()) -> None:
        module, _, name = function.partition(":")
        if not name or not module:
            raise InvalidValueError("function", function, rule="be written package.module:name")
        if not any(module == prefix or module.startswith(f"{prefix}.") for prefix in allowed):
            raise InvalidValueError(
                "function",
                function,
                rule=f"be of an allowed package ({', '.join(allowed) or 'none'})",
                hint="Allow it in the router's settings.",
            )
        try:
            self._function = getattr(import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise InvalidValueError(
                "function", function, rule="be importable here", hint=f"{error}."
            ) from error
        if not callable(self._function):
            raise InvalidValueError("function", function, rule="be a function")

    def __call__(self, answer: Answer, asked: Asked) -> Verdict | None:
        """Return what the function says."""
        passed = self._function(answer, asked)
        if passed is None:
            return None
        return Verdict(bool(passed), "" if passed else "refused by your function")
