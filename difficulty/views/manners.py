"""What people write around an ask that is no part of it: courtesy, and how to go about it.

"Hello, could you help me with this?", "Thanks in advance!", "Think step by step." and "Answer the
following question:" say nothing of *what* is asked. They are found at the ends of an ask, sentence
by sentence and never in its middle, by closed lists: every word of such a sentence names no thing
(``_LIGHT``), or is one of courtesy or of how to answer. A sentence with any word of its own stays,
whatever its other words are, and so does a question that is not after help. The lists are English.

How to answer may be the ask itself ("Explain your answer."), so it goes only where what is left
asks. Letters of options are written in one way too: ``(a)``, ``A)`` and ``- A.`` become ``A.``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

LONGEST_WORDING = 240
"""Code points of a sentence; a longer one stays."""
MOST_WORDINGS = 8
"""Sentences that are looked at from each end."""

_COURTEOUS = frozenset(
    "afternoon apologies appreciate appreciated appreciation assist assistance assisting bother"
    " bothering cheers dear disturb disturbing evening excuse favor favour forward grateful"
    " gratefully gratitude greetings hello help helpful helping helps hey hi hiya hope hoping"
    " howdy kindness mind morning obliged pardon pleasure regards sincerely sorry support thank"
    " thanks thx welcome wondering".split()
)
_TELLING = frozenset(
    "accurate accurately answer answering answers best breath brief briefly careful carefully"
    " choice concise concisely correct correctly detail detailed details exercise exercises"
    " explain explanation explanations final instruction instructions justification justify"
    " letter option precise precisely problem problems prompt query question questions reason"
    " reasoning replies reply request requests respond response responses short solution"
    " solutions solve step steps succinct succinctly task tasks think thinking thorough"
    " thoroughly thought thoughts time work working".split()
)
_LIGHT = frozenset(
    "a able about above address advance after again ahead ai all also always am amazing an and"
    " another any anybody anyone are around as ask asked asking assistant at attempt attention"
    " awesome be been before being believe below bit bot both break busy but by can chance"
    " chatgpt check claude clear clearly come complete completely conclude conclusion consider"
    " consideration could day days deep do does doing don't double down each effort end enough"
    " every everybody everyone everything expert fine finish first folks follow following follows"
    " for friend friends from fully further get getting give given giving glad go going good gpt"
    " great greatly had hand happy has have having hear hearing here here's how i i'd i'll i'm"
    " i've if in into is issue issues it it's its just keep kind kindly know let let's like line"
    " lines little long look looked looking lot lots lovely madam make makes many matter may me"
    " minute moment more most much must my need needed nice no not now of off ok okay on once one"
    " only or order other our out over own paragraph part patience place please pleased pls plz"
    " possible present provide provided put quick quickly quite read reading really right same"
    " say sense sentence sentences several should show showing single sir so some somebody"
    " someone something soon state stuck sure tackle take taking team tell than that that's the"
    " them then there there's these thing things this those thoughtful through to today together"
    " too trouble truly try trying two under understand understanding us use useful very want was"
    " way we we'd we'll week weekend well were what when which while will with without wonderful"
    " word words would write writing wrong yes you you'd you'll you're you've your yours".split()
)
_WORDS = _COURTEOUS | _TELLING | _LIGHT
_FIRSTS = _COURTEOUS | frozenset(
    "address also always and answer any attempt be before below best break but can check claude"
    " complete consider could do don't double explain first follow give glad good great have here"
    " here's i i'd i'll i'm i've in it it's just justify keep kind kindly let let's look looking"
    " make many may might most much my nice now ok okay please pleased pls plz present provide"
    " put quick quickly read really reason remember reply respond say see show so solve somebody"
    " someone state step tackle take then there think this to truly try use very we we'd will"
    " with work would write yes you you'd you'll you're you've your yours".split()
)
"""Words with which such sentences begin: most asks begin with another, so one look tells them."""
_SEPARATORS = (". ", "! ", "? ", ": ")
_BLANK = " \t\r\n"
_FIRST = re.compile("[A-Za-z\u2019']+")
_PLAIN = re.compile(r"[a-z' \t\r\n.,;:!?\"()*_~-]*")
_WORD = re.compile("[a-z']+")
_GREETING = re.compile(
    r"(?:hello|hi|hiya|hey|howdy|greetings|dear|good (?:morning|afternoon|evening|day))\b"
    r"[^,.!?:\n]{0,40},",
    re.ASCII | re.IGNORECASE,
)
_QUERIES = re.compile(
    r"(?:what|which|who|whom|whose|how|why|when|where|is|are|do(?! not)|does|did|should)\b"
)
_AFTER_HELP = re.compile(
    r"(?:please |and |so |also )*(?:(?:can|could|would|will|may|might) (?:you|i|we|any|some)"
    r"|how are you|how is it going|do you mind|mind |any (?:help|chance)|are you able)"
)
_LEAD = (
    r"(?:(?:please|pls|plz|then|now|first|also|and|but|so|just|kindly|always|remember to|try to"
    r"|be sure to|make sure to|make sure you|you should|you must|you can|you may|you will"
    r"|you need to|you have to|i want you to|i need you to|i'd like you to|i would like you to"
    r"|your task is to|your job is to|before you (?:answer|respond|reply)|before answering) )*"
)
_NOUN = (
    r".*\b(?:tasks?|problems?|questions?|exercises?|requests?|instructions?|prompt|query"
    r"|follow(?:s|ing)|below)\b"
)
_REPLY = (
    r".*\b(?:answers?|responses?|reply|solutions?|reasoning|explanations?|justification|steps?"
    r"|thoughts|letter|option|choice)\b"
)
_TELLS = re.compile(
    rf"{_LEAD}(?:answer|respond|reply|think|reason|take (?:your|a|the|some) |be |keep "
    r"|double check|check your|do your best|do not|don't|let's|let us|you are (?:a|an|the|given) "
    r"|you(?: will|'ll) be (?:given|asked)|your (?:answer|response|reply)"
    r"|break (?:it|this|the|down)|work (?:on|through|it|this|out|step|carefully)"
    r"|(?:solve|do) (?:it|this) step|explain (?:your|each|every|step|all)|justify"
    r"|show (?:your|all|each|every|me)"
    r"|(?:write|put|state|say) (?:your|only|just|down)|i have (?:a|an|one|some|two|another) "
    r"|here (?:is|are)|here's|this is|below (?:is|are)"
    rf"|(?:read|solve|complete|look at|attempt|tackle|address|follow|consider)\b{_NOUN}"
    rf"|(?:give|provide|present|make)\b{_REPLY})"
)
_ODD_LETTER = re.compile(r"\n(?!A\. )[ \t]*(?:[-*+] )?\(?[Aa][.):][ \t]")
_LETTER = re.compile(r"\n[ \t]*(?:[-*+] )?\(?([A-Ja-j])[.):][ \t]+")


class PolitePart(NamedTuple):
    """A sentence that is no part of the ask, from ``start`` to before ``end``."""

    start: int
    end: int
    kind: str
    """``courtesy``, or ``manner``: how to answer."""


def find_wordings(text: str, *, head: bool = True, tail: bool = True) -> list[PolitePart]:
    """Return the sentences of courtesy and manner at the ends of a text, in order."""
    # Most texts begin and end otherwise, which a look at two words tells.
    first = [*_at_head(text)] if head and _begins(text, _after_blank(text)) else []
    begin = first[-1].end if first else 0
    last = [*_at_tail(text, begin)] if tail and _ends(text, begin) else []
    return [*first, *reversed(last)]


def _at_head(text: str) -> Iterator[PolitePart]:
    at = 0
    for _ in range(MOST_WORDINGS):
        while at < len(text) and text[at] in _BLANK:
            at += 1
        if not _begins(text, at):
            return
        most = at + LONGEST_WORDING
        line = text.find("\n", at, most)
        last = most if line < 0 else line + 1
        places = [place for each in _SEPARATORS if (place := text.find(each, at, last)) >= 0]
        end = min(places, default=line if line >= 0 else len(text) - 1) + 1
        kind = _kind_of(text[at:end]) if end <= most else ""
        if not kind:
            greeting = _GREETING.match(text, at)
            if greeting is None or not _kind_of(greeting[0]):
                return
            kind, end = "courtesy", greeting.end()
        yield PolitePart(at, end, kind)
        at = end


def _at_tail(text: str, begin: int) -> Iterator[PolitePart]:
    end = len(text)
    for _ in range(MOST_WORDINGS):
        while end > begin and text[end - 1] in _BLANK:
            end -= 1
        at = _last_sentence(text, begin, end)
        kind = _kind_of(text[at:end]) if at >= 0 and _begins(text, at) else ""
        if not kind:
            return
        yield PolitePart(at, end, kind)
        end = at


def _last_sentence(text: str, begin: int, end: int) -> int:
    """Return where the sentence that ends at ``end`` begins; -1 where it is too long."""
    least = max(begin, end - LONGEST_WORDING)
    line = text.rfind("\n", least, end)
    place, first = line, max(line, least)
    for each in _SEPARATORS:
        if (found := text.rfind(each, first, end)) > place:
            place = found
    if place < 0 and least > begin:
        return -1
    at = begin if place < 0 else place + 1
    while at < end and text[at] in _BLANK:
        at += 1
    return at


def _ends(text: str, begin: int) -> bool:
    """Return whether the last sentence begins as such sentences do."""
    end = max(begin, len(text.rstrip(_BLANK)))
    at = _last_sentence(text, begin, end)
    return at >= 0 and _begins(text, at)


def _after_blank(text: str) -> int:
    return len(text) - len(text.lstrip(_BLANK))


def _begins(text: str, at: int) -> bool:
    word = _FIRST.match(text, at)
    return word is not None and word[0].replace("\u2019", "'").lower() in _FIRSTS


def _kind_of(sentence: str) -> str:
    """Return the kind of a sentence; ``""`` where it may say something."""
    small = sentence.replace("\u2019", "'").lower()
    if " " not in small and small.strip(".:,!\n") not in _COURTEOUS:
        return ""  # a cue such as "Answer:", at the end of many asks
    if not _PLAIN.fullmatch(small):
        return ""
    words = _WORD.findall(small)
    if not words or not _WORDS.issuperset(words):
        return ""
    said = " ".join(words)
    if "?" in small or _QUERIES.match(said):
        return "courtesy" if _is_courteous(words) and _AFTER_HELP.match(said) else ""
    if _is_courteous(words):
        return "courtesy"
    tells = not _TELLING.isdisjoint(words) and _TELLS.match(said)
    return "manner" if tells else ""


def _is_courteous(words: Sequence[str]) -> bool:
    return not _COURTEOUS.isdisjoint(words)


def with_plain_letters(text: str) -> str:
    """Return a text whose options, at least two lines that begin with letters from A on, have their
    letters as ``A.``; one in which none has a first letter in another form as it is.
    """
    if not _ODD_LETTER.search(text):
        return text
    found = [*_LETTER.finditer(text)]
    parts, at = [], 0
    for run in _runs(found):
        for option in run:
            parts += [text[at : option.start()], f"\n{option[1].upper()}. "]
            at = option.end()
    return "".join([*parts, text[at:]]) if parts else text


def _runs(found: Sequence[re.Match[str]]) -> Iterator[list[re.Match[str]]]:
    run: list[re.Match[str]] = []
    for option in [*found, None]:
        letter = option[1].upper() if option else ""
        if run and letter != chr(ord("A") + len(run)):
            if len(run) > 1:
                yield run
            run = []
        if option and letter == chr(ord("A") + len(run)):
            run.append(option)
