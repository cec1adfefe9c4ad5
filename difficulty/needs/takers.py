"""Which of the two models can take a request: the first of all rules.

    cheap cannot, frontier can:    frontier   ineligible
    frontier cannot, cheap can:    cheap      ineligible, and nothing falls back
    neither can:                   on_error   ineligible, which is told and counted
    both can:                      the other rules decide

So every other reason says that both can take the request: exploration, shadow calls, fallbacks and
whatever keeps a session on its model need no look at the limits of their own.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from difficulty.conversation.part_types import MEDIA
from difficulty.errors import RequestError
from difficulty.needs import Eligibility, ModelLimits, Needs
from difficulty.needs.limits import UNSTATED_CONTEXT
from difficulty.needs.request_needs import MESSAGE_TOKENS, code_of, tags_of
from difficulty.request import Messages, Request
from difficulty.routes import Route

Takers = Literal["both", "cheap", "frontier", "neither"]
NOT_STATED = Eligibility()
_FEW = 64
_SPEAKERS = ("system", "developer", "user", "assistant")


class Taking(NamedTuple):
    """Which models can take a request."""

    takers: Takers = "both"
    rules: tuple[str, ...] = ()
    """Why one cannot, as ``cheap.image``; the cheap model's first."""

    @property
    def route(self) -> Route | None:
        """The only route that is left; ``None`` where both are, or none is."""
        return self.takers if self.takers in ("cheap", "frontier") else None


BOTH = Taking()


def is_plain(eligibility: Eligibility | None, request: Request) -> bool:
    """Return whether both models take a request by a look at its lengths: a few short messages of
    text, which most are. Says nothing of others.
    """
    if request.needs is not None:
        return False
    chars, given = plain_chars(request.messages, request.tools), request.tokens
    left = (eligibility or NOT_STATED).least_room
    # No character has more tokens than four, by either count.
    return 0 <= 4 * chars <= left and (given is None or (type(given) is int and 0 <= given <= left))


def plain_chars(messages: Messages, tools: object) -> int:
    """Return the characters of a few messages of text, with what stands around each; -1 for
    anything else.
    """
    if tools:
        return -1
    if type(messages) is str:
        return len(messages)
    if type(messages) is not list or len(messages) > _FEW:
        return -1
    chars = 0
    for message in messages:
        # As the usual class alone: what a caller's own does is not known.
        if type(message) is not dict or len(message) != 2 or "role" not in message:
            return -1
        content = message.get("content")
        if type(content) is not str or message["role"] not in _SPEAKERS:
            return -1
        chars += MESSAGE_TOKENS + len(content)
    return chars


def needs_of(request: Request) -> Needs:
    """Return what a request needs: what is read of it, joined with what the caller says.

    Raises
    ------
    RequestError
        If the caller said something else.
    """
    told = request.needs
    if told is not None and not isinstance(told, Needs):
        raise RequestError("needs", told, rule="be Needs or None")
    if told is not None and told.is_read:
        return told
    read = Needs.of({"messages": request.messages, "tools": request.tools})
    return read if told is None else read.joined(told)


def find_takers(
    eligibility: Eligibility | None,
    needs: Needs,
    *,
    given: int | None = None,
    counted: int | None = None,
) -> Taking:
    """Return which models can take a request.

    Parameters
    ----------
    eligibility : Eligibility or None
        ``None``: nothing is stated of either model.
    needs : Needs
    given : int, optional
        Tokens of the whole prompt as the caller counted them: they count as they are. Without them
        what the characters give at most counts, which is the safe side near the limit.
    counted : int, optional
        Tokens as the scorer's tokenizer counts them, where it has: of another vocabulary than the
        model's, so 3/2 of them count where that is more.
    """
    stated = eligibility or NOT_STATED
    answer = stated.answer_tokens if needs.answer_tokens is None else needs.answer_tokens
    broken = {
        side: (
            *_find_too_long(limits, needs, answer, given=given, counted=counted, unstated=unstated),
            *_find_broken(limits, needs, known=known),
        )
        for side, limits, unstated, known in (
            ("cheap", stated.cheap, UNSTATED_CONTEXT, ()),
            ("frontier", stated.frontier, None, (*MEDIA, "unknown")),
        )
    }
    if not broken["cheap"] and not broken["frontier"]:
        return BOTH
    takers: Takers = (
        "neither"
        if broken["cheap"] and broken["frontier"]
        else "frontier"
        if broken["cheap"]
        else "cheap"
    )
    return Taking(takers, tuple(f"{side}.{rule}" for side in broken for rule in broken[side]))


def _find_too_long(
    limits: ModelLimits,
    needs: Needs,
    answer: int,
    *,
    given: int | None,
    counted: int | None,
    unstated: int | None,
) -> tuple[str, ...]:
    window = unstated if limits.context_tokens is None else limits.context_tokens
    if window is None:
        return ()
    left = window - answer
    is_long = (
        given > left
        if given is not None
        else needs.has_more_tokens(left) or (counted is not None and 3 * counted > 2 * left)
    )
    return ("context_window",) if is_long else ()


def _find_broken(limits: ModelLimits, needs: Needs, *, known: tuple[str, ...]) -> tuple[str, ...]:
    """Return the rules by which a model cannot take what a request holds and demands; ``known``:
    what it takes beside text where nobody stated it.
    """
    broken = []
    if needs.modalities:
        takes = known if limits.modalities is None else limits.modalities
        broken += [
            "unknown_part" if kind == "unknown" else kind
            for kind in needs.modalities
            if kind not in takes
        ]
    if needs.tools and limits.tools is False:
        broken.append("tools")
    if needs.json_schema and limits.json_schema is False:
        broken.append("json_schema")
    # A caller's own Needs may hold them in any case, and what is no tag.
    codes = {code_of(tag) for tag in tags_of(needs.languages)}
    if limits.languages is not None and not codes <= {*limits.languages}:
        broken.append("language")
    if not {*tags_of(needs.residency)} <= {tag.lower() for tag in limits.residency or ()}:
        broken.append("residency")
    return tuple(broken)
