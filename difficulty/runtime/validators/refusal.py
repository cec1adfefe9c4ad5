"""Validator ``refusal``: the model does not decline.

Conservative: a phrase of the list must stand in the first 160 characters of an answer that is at
most 600 characters long. A helpful answer that says what it cannot do goes on, and is left alone;
so is one in a language that the list does not have.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from difficulty.errors import UnknownNameError
from difficulty.runtime.validators.answer import Answer, Asked, Verdict

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

_WITHIN, _LONGEST = 160, 600
_PLAIN = str.maketrans({"’": "'", "‘": "'", "，": ","})


class Refusal:
    """Fail answers that decline.

    Parameters
    ----------
    languages : sequence of str, optional
        Which of ``PHRASES`` to look for; default: all.
    phrases : sequence of str
        Further phrases of your own, in any case.
    """

    def __init__(
        self, *, languages: Sequence[str] | None = None, phrases: Sequence[str] = ()
    ) -> None:
        chosen = (
            PHRASES
            if languages is None
            else {name: PHRASES[name] for name in languages if name in PHRASES}
        )
        if languages is not None and len(chosen) != len(set(languages)):
            raise UnknownNameError("language", sorted(set(languages) - {*PHRASES})[0], PHRASES)
        self._phrases = [
            _plain(phrase) for listed in (*chosen.values(), phrases) for phrase in listed
        ]

    def __call__(self, answer: Answer, asked: Asked) -> Verdict | None:
        """Return whether the answer does not decline; ``None`` for one without text."""
        text = answer.text.strip()
        if not text or answer.tool_calls:
            return None
        if len(text) > _LONGEST:
            return Verdict(True)
        beginning = _plain(text[:_WITHIN])
        return (
            Verdict(False, "declines")
            if any(phrase in beginning for phrase in self._phrases)
            else Verdict(True)
        )


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text).translate(_PLAIN).casefold()
