"""What a request's body asks and offers, whichever API it was written for.

OpenAI's chat completions have ``messages``; Anthropic's messages have the instructions beside them,
in ``system``; OpenAI's Responses have ``input`` in their place and the instructions in
``instructions``. Whoever reads a body, to train or to decide, reads it here: the same request has
the same text and the same numbers in every form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from difficulty.conversation.chat_form import as_chat
from difficulty.text import is_list

_INSTRUCTIONS = ("system", "instructions")
_DECLARED = ("functionDeclarations", "function_declarations")


def messages_of(body: Mapping[str, Any]) -> Any:
    """Return the messages of a body as a chat has them, its instructions before them; what is no
    list, and stands there alone, as it came. ``None`` where the body has neither messages nor
    input.
    """
    asked = body.get("messages")
    if asked is None:
        asked = body.get("input")
    told = [body[name] for name in _INSTRUCTIONS if body.get(name)]
    told = [each for each in told if isinstance(each, str) or is_list(each)]
    if isinstance(asked, str) and told:
        asked = [{"role": "user", "content": asked}]
    if not is_list(asked):
        return asked
    own = as_chat(asked)
    return [*({"role": "system", "content": each} for each in told), *own] if told else own


def tools_of(body: Mapping[str, Any]) -> Any:
    """Return the tools that a body offers, each as an object with a ``name`` or a ``function``;
    what is no list as it came. ``None`` where it offers none.

    Read are ``tools`` of OpenAI's chat and Responses and of Anthropic, as they are; the older
    ``functions`` of a chat; its custom tools; and those of Google and of Bedrock.
    """
    tools = body.get("tools")
    if not tools and isinstance(body.get("toolConfig"), Mapping):
        tools = body["toolConfig"].get("tools")
    if not tools and body.get("functions"):
        tools = body["functions"]
    if not tools:
        return None
    if not is_list(tools) or all(map(_is_usual, tools)):
        return tools
    return [usual for tool in tools for usual in _usual(tool)]


def _is_usual(tool: object) -> bool:
    # Most tools by far, so they are told by one look each.
    return not isinstance(tool, Mapping) or "function" in tool or "name" in tool


def _usual(tool: Any) -> Iterator[Any]:
    """Yield what a tool offers to call."""
    if _is_usual(tool):
        yield tool
        return
    declared: Sequence[Any] = next(
        (tool[name] for name in _DECLARED if is_list(tool.get(name))), ()
    )
    custom, spec = tool.get("custom"), tool.get("toolSpec")
    if declared:
        yield from declared
    elif isinstance(custom, Mapping):
        yield custom
    elif isinstance(spec, Mapping):
        schema = spec.get("inputSchema")
        inner = schema.get("json") if isinstance(schema, Mapping) else None
        yield {**spec, "parameters": inner}
    else:
        yield tool
