"""By which names people call the columns of the traffic contract, to say which was probably
meant. Nothing is ever read by such a name on its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

SYNONYMS: dict[str, tuple[str, ...]] = {
    "id": ("requestid", "traceid", "uuid", "rowid", "sampleid", "questionid", "callid"),
    "request": ("traceid", "requestid", "questionid", "conversationid", "promptid", "id"),
    "prompt": (
        *("question", "query", "usertext", "usermessage", "userinput", "userquery", "userprompt"),
        *("instruction", "input", "text", "request", "requesttext", "prompttext", "ask"),
    ),
    "messages": ("conversation", "conversations", "chat", "history", "chathistory", "dialog"),
    "system": ("systemprompt", "systemmessage", "instructions"),
    "task": ("usecase", "category", "feature", "intent", "tasktype", "subject", "evalname", "tag"),
    "group": ("userid", "user", "customer", "sessionid", "session", "conversationid", "threadid"),
    "timestamp": ("time", "createdat", "datetime", "date", "starttime", "created", "ts", "tstamp"),
    "model": ("modelname", "modelid", "llm", "engine", "deployment"),
    "quality": ("score", "rating", "grade", "correct", "accuracy", "reward", "stars", "judgescore")
    + ("thumbsup", "thumbs", "userfeedback", "feedback", "liked", "helpful", "evalscore", "label"),
    "passed": ("pass", "passes", "ok", "success", "valid", "verdict", "result"),
    "answer": ("completion", "response", "output", "reply", "responsetext", "generation"),
    "tokens": ("outputtokens", "completiontokens", "tokensout", "generatedtokens"),
    "prompt_tokens": ("inputtokens", "tokensin", "promptlength"),
    "cached_tokens": ("cachedinputtokens", "cachereadtokens", "cachereadinputtokens"),
    "cost": ("costusd", "totalcost", "spend", "price", "usd", "pricecost"),
}
"""Field to other names of it, without case and signs."""
REFERENCES = ("expected", "expected_answer", "reference", "reference_answer") + (
    *("gold", "gold_answer", "ground_truth", "target"),
)
"""Columns of right answers: kept as they are, and looked at by who judges by them."""


def plain_name(name: str) -> str:
    """Return a name without case and what stands between its words: ``Cheap Quality``."""
    return re.sub(r"[\W_]+", "", name[:100].casefold())


def nearest_columns(field: str, columns: Iterable[str], *, most: int = 3) -> list[str]:
    """Return the columns that may hold a field, the likeliest first."""
    names: dict[str, str] = {}
    for column in columns:
        names.setdefault(plain_name(column.rpartition(".")[2] or column), column)
    wanted: Sequence[str] = (plain_name(field), *SYNONYMS.get(field, ()))
    exact = [names[name] for name in wanted if name in names]
    near = [
        names[match]
        for name in wanted
        for match in get_close_matches(name, names, n=most, cutoff=0.75)
    ]
    within = [
        column for plain, column in names.items() if len(plain) > 4 and plain_name(field) in plain
    ]
    return list(dict.fromkeys([*exact, *near, *within]))[:most]


def advice(field: str, columns: Iterable[str], *, option: str = "--map") -> str:
    """Return which option would read a field from which column; the columns where none is near."""
    names = list(columns)
    if near := nearest_columns(field, names):
        others = f" (or {', '.join(f'{name!r:.80}' for name in near[1:])})" if near[1:] else ""
        return f'Nearest: {near[0]!r:.80}{others}; {option} {field}="{near[0]:.80}".'
    told = ", ".join(f"{name!r:.80}" for name in names[:20])
    return f"Columns: {told or 'none'}{', ...' if len(names) > 20 else ''}."
