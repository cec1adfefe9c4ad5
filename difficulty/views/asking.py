"""Which part of a long text asks, and which part was put around it.

People, and the programs that write for them, put the ask at an end: behind what it is about, or in
front of it. A long text is cut into paragraphs (one without, into lines); the last ones that ask
are the ask, with a first one that instructs. A text of which no end asks is left whole, and so is
one with little around the ask.

The sizes were chosen so that plain public requests stay whole: with these, 11 of 14,042 MMLU
requests change (40 with 2,500 for ``LEAST_LINED``), 1 of 721 of competition maths and none of 3,231
others (``benchmarks/text_view_two.py``); an article of 4,400 characters in front of a question is
context there too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

LEAST_PARTED = 1200
"""A shorter text is all ask, unless a label at its beginning says otherwise."""
LEAST_LINED = 3000
"""The same where lines stand for paragraphs."""
LEAST_AROUND = 800
"""Fewer code points around the ask stay."""
LEAST_LABELLED = 300
"""The same where a label names them."""
MOST_GROWN = 3
"""Parts at the end in which an ask is looked for, beside options and cues such as ``Answer:``."""
LONGEST_CUE = 40
LONGEST_INSTRUCTION = 600
LONGEST_FIRST = 2500
"""Code points of an ask with options at the beginning."""
END_OF_PART = 300
"""Code points at an end of a long part that are looked at."""

_GAP = re.compile(r"\n[ \t\r]*\n[ \t\r\n]*")
_ASK_LABEL = re.compile(
    r"(?:#{1,4} |\*\*)?(?:(?:user|my|the|final|current)[ _])?"
    r"(?:question|query|task|instruction|instructions|request|problem|ask|q)(?: [0-9]{1,3})?"
    r"(?:\*\*)?[ ]?:",
    re.ASCII | re.IGNORECASE,
)
_CONTEXT_LABEL = re.compile(
    r"(?:#{1,4} |\*\*|\[|\()?(?:context|document|documents|passage|passages|source|sources"
    r"|reference|references|background|excerpt|excerpts|snippet|article|text|search results?"
    r"|retrieved|knowledge|evidence|result|chunk|page|information|notes?)\b[^\n:]{0,60}[:\]\)]"
    r"|\[[0-9]{1,3}\]|\([0-9]{1,3}\) |[0-9]{1,3}[.)] ",
    re.ASCII | re.IGNORECASE,
)
_OPTION = re.compile(r"(?:\A|\n)[ \t]*\(?[A-Ja-j1-9][.):][ \t]")
_MARK = re.compile("[?\uff1f\u061f](?=[ \t\n\r\"')*\\]\u201d\u2019]|\\Z)|\uff1f")
_VERB = (
    "adapt|add|add up|adjust|analyse|analyze|answer|apply|arrange|ask|assess|assign|book"
    "|brainstorm|build|buy|calculate|call|cancel|categorise|categorize|check|choose|classify"
    "|clean|collect|combine|compare|complete|compose|compute|configure|connect|consider"
    "|continue|contrast|convert|copy|correct|count|create|criticise|criticize|critique|debug"
    "|decide|decode|define|delete|demonstrate|deploy|derive|describe|design|detect|determine"
    "|develop|discuss|display|divide|download|draft|draw|edit|elaborate|encode|estimate"
    "|evaluate|examine|execute|expand|explain|export|extract|fetch|fill|filter|find|fix|follow"
    "|forecast|format|generate|get|give|guess|help|highlight|identify|implement|import|improve"
    "|infer|insert|install|interpret|invent|investigate|join|justify|list|load|locate|look"
    "|look up|make|match|measure|merge|move|multiply|name|open|optimise|optimize|order"
    "|organise|organize|outline|paint|paraphrase|parse|perform|pick|plan|play|plot|post"
    "|practise|predict|prepare|print|proceed|produce|proofread|propose|prove|provide|pull"
    "|query|quote|rank|rate|read|recall|recommend|reduce|refactor|remind|remove|rename"
    "|rephrase|replace|reply|reschedule|research|reserve|reset|respond|restate|retrieve|return"
    "|review|revise|rework|rewrite|run|save|say|scan|schedule|search|select|send|set a|set up"
    "|share|shorten|show|simplify|simulate|sketch|solve|sort|speak|spell|split|start a|state"
    "|submit|substitute|suggest|sum up|summarise|summarize|swap|take|teach|tell|test|track"
    "|train|transform|translate|trim|turn|update|use|validate|verify|visit|visualise|visualize"
    "|watch|write"
)
_INSTRUCTS = re.compile(
    rf"(?:(?:please|now|then|first|kindly|just|finally|carefully|briefly),? )*(?:{_VERB})\b",
    re.ASCII | re.IGNORECASE,
)
_QUESTION = re.compile(
    r"(?:and |so |but |then |also )?(?:what|which|who|whom|whose"
    r"|how (?:many|much|long|far|old|often|big|tall|fast|do|does|did|can|could|would|is|are|to)"
    r"|(?:why|where|when) (?:is|are|was|were|do|does|did|can|will|would|should))\b",
    re.ASCII | re.IGNORECASE,
)
# Behind a condition: "If all of them are sold, how much".
_THEN = re.compile(
    r"[,;] (?:and |then |please )*(?:(?:calculate|compute|determine|estimate|evaluate|explain|find"
    r"|solve)|how (?:many|much|long|far|old|often)|what (?:is|are|was|were|will|would))\b",
    re.ASCII | re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?:] +|\n")
_WANTS = re.compile(
    r"\b(?:please|can you|could you|would you|will you|help me|tell me|show me|i need|i want"
    r"|i would like|i'd like|let me know|how (?:do|can|should|would) (?:i|we))\b",
    re.ASCII | re.IGNORECASE,
)
_PREFACE = re.compile(
    r"\b(?:context|passage|passages|document|documents|source|sources|excerpt|excerpts"
    r"|information|snippet|snippets|search results|knowledge|background|references)\b",
    re.ASCII | re.IGNORECASE,
)


class AskSpan(NamedTuple):
    """A part of a text, from ``start`` to before ``end``."""

    start: int
    end: int


def find_ask(text: str) -> list[AskSpan] | None:
    """Return the parts of a text that ask, in order; ``None`` where all of it is to stay."""
    if len(text) < LEAST_LABELLED:
        return None
    begin = len(text) - len(text.lstrip(" \t\r\n"))
    if len(text) < LEAST_PARTED and not _CONTEXT_LABEL.match(text, begin):
        return None
    parts = _paragraphs(text)
    spans = _end_that_asks(text, parts)
    # An ask this long may be a paragraph whose first lines stand around it.
    last = spans[-1] if spans else AskSpan(0, len(text))
    if last.end - last.start >= LEAST_LINED and last.end >= parts[-1].end:
        inner = _end_that_asks(text, _lines(text, last))
        if inner:
            return [*(spans[:-1] if spans else []), *inner]
    return spans


def _paragraphs(text: str) -> list[AskSpan]:
    spans, at = [], len(text) - len(text.lstrip(" \t\r\n"))
    for gap in _GAP.finditer(text):
        if gap.start() > at:
            spans.append(AskSpan(at, gap.start()))
        at = gap.end()
    if at < len(text):
        spans.append(AskSpan(at, len(text)))
    return spans or [AskSpan(0, len(text))]


def _lines(text: str, part: AskSpan) -> list[AskSpan]:
    spans, at = [], part.start
    for line in text[part.start : part.end].split("\n"):
        if line.strip(" \t\r"):
            spans.append(AskSpan(at, at + len(line)))
        at += len(line) + 1
    return spans


def _end_that_asks(text: str, parts: Sequence[AskSpan]) -> list[AskSpan] | None:
    if len(parts) < 2 or _ASK_LABEL.match(text, parts[0].start, parts[0].end):
        return None
    begin, labelled = _last_label(text, parts), True
    if begin is None:
        begin, labelled = _tail(text, parts), False
    head = text[parts[0].start : parts[0].end]
    spans: list[AskSpan] = []
    if begin is not None and begin > 0:
        spans = [AskSpan(parts[begin].start, parts[-1].end)]
        if _is_instruction(head) and not labelled:
            spans.insert(0, parts[0])
    elif begin is None and _asks_first(head):
        spans = [parts[0]]
    else:
        return None
    around = sum(part.end - part.start for part in parts) - sum(
        min(part.end, span.end) - part.start
        for part in parts
        for span in spans
        if span.start <= part.start < span.end
    )
    named = any(_CONTEXT_LABEL.match(text, part.start, part.end) for part in parts[:3])
    return spans if around >= (LEAST_LABELLED if named or labelled else LEAST_AROUND) else None


def _last_label(text: str, parts: Sequence[AskSpan]) -> int | None:
    """Return the last part that a label names as the ask, where less stands behind it than in
    front.
    """
    for place in range(len(parts) - 1, 0, -1):
        if _ASK_LABEL.match(text, parts[place].start, parts[place].end):
            behind = parts[-1].end - parts[place].start
            return place if behind < parts[place].start else None
    return None


def _tail(text: str, parts: Sequence[AskSpan]) -> int | None:
    """Return where the last parts that ask begin; ``None`` where they do not ask."""
    is_asked, grown = False, 0
    for place in range(len(parts) - 1, -1, -1):
        content = text[parts[place].start : parts[place].end]
        if _starts_context(content):
            return None
        if _OPTION.match(content):
            is_asked = True  # what stands before options is what they answer
            continue
        if len(content) <= LONGEST_CUE and content.rstrip(" \t\r").endswith(":"):
            continue
        if is_asked:
            return place
        if _ends_ask(content):
            return place or None  # the first part asks: it may stand in front of what it is about
        grown += 1
        if grown >= MOST_GROWN:
            return None
    return None


def _starts_context(content: str) -> bool:
    return (
        len(content) >= LEAST_LABELLED
        and bool(_CONTEXT_LABEL.match(content))
        and not _MARK.search(content)
    )


def _ends_ask(content: str) -> bool:
    """Return whether a part asks, a long one where it begins or ends: of a report's sentences some
    ask too.
    """
    if len(content) <= LONGEST_INSTRUCTION:
        return asks(content)
    if _has_options(content):
        return True
    if len(content) > LONGEST_FIRST:
        return bool(_MARK.search(content[-END_OF_PART:]))
    return asks(f"{content[:END_OF_PART]}\n{content[-END_OF_PART:]}")


def asks(content: str) -> bool:
    """Return whether a text asks something, as far as its words show."""
    return bool(
        _MARK.search(content)
        or _has_options(content)
        or _opens(content, 0)
        or _WANTS.search(content)
        or _last_sentence_asks(content)
    )


def _opens(content: str, at: int) -> bool:
    return bool(_INSTRUCTS.match(content, at) or _QUESTION.match(content, at))


def _last_sentence_asks(content: str) -> bool:
    end = len(content.rstrip(" \t\r\n"))
    least, at = max(0, end - LONGEST_INSTRUCTION), 0
    for found in _SENTENCE_END.finditer(content, least, end):
        at = found.end()
    return _opens(content, at) or _THEN.search(content, max(at, least), end) is not None


def _asks_first(content: str) -> bool:
    longest = LONGEST_FIRST if _has_options(content) else LONGEST_INSTRUCTION
    return len(content) <= longest and asks(content)


def _has_options(content: str) -> bool:
    return len(_OPTION.findall(content)) > 1


def _is_instruction(content: str) -> bool:
    """Return whether a first paragraph belongs to the ask beside a last one that asks."""
    if len(content) > LONGEST_INSTRUCTION or _PREFACE.search(content):
        return False
    ends = len(content) <= LEAST_LABELLED and content.rstrip(" \t\r\n").endswith(("?", ":"))
    return bool(ends or _INSTRUCTS.match(content) or _WANTS.search(content))
