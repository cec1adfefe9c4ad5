"""The messages of a request's body, whichever API it was written for.

OpenAI's chat completions have ``messages``; Anthropic's messages have the instructions beside them,
in ``system``; OpenAI's Responses have ``input`` in their place and the instructions in
``instructions``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from difficulty.text import is_list

_INSTRUCTIONS = ("system", "instructions")


def messages_of(body: Mapping[str, Any]) -> Any:
    """Return the messages of a body with its instructions before them; what is no list, and stands
    there alone, as it came. ``None`` where the body has neither messages nor input.
    """
    asked = body.get("messages")
    if asked is None:
        asked = body.get("input")
    told = [body[name] for name in _INSTRUCTIONS if body.get(name)]
    told = [each for each in told if isinstance(each, str) or is_list(each)]
    if asked is None or not told:
        return asked
    own = [{"role": "user", "content": asked}] if isinstance(asked, str) else asked
    if not is_list(own):
        return asked
    return [*({"role": "system", "content": each} for each in told), *own]
