"""What the parts of a request are called: one table of the types of OpenAI's chat and Responses and
of Anthropic's messages, for whoever reads what was said and whoever asks what a model has to take.
"""

from __future__ import annotations

from typing import Literal

PartType = Literal[
    "image",
    "audio",
    "video",
    "file",
    "text",
    "refusal",
    "thought",
    "quote",
    "message",
    "call",
    "result",
    "hosted_result",
]

MEDIA = ("image", "audio", "video", "file")
"""Kinds of what is attached."""
WITH_OUTPUT = ("function_call_output", "custom_tool_call_output")
"""Results that stand in ``output``."""

_NAMES: dict[PartType, tuple[str, ...]] = {
    "image": ("image", "image_url", "input_image"),
    "audio": ("audio", "input_audio", "audio_url"),
    "video": ("video", "video_url", "input_video"),
    "file": ("file", "input_file", "document", "container_upload"),
    "text": ("text", "input_text", "output_text", "summary_text"),
    "refusal": ("refusal",),
    # What a model thought to itself: it takes room, and no other model is sent it.
    "thought": ("thinking", "redacted_thinking", "reasoning", "reasoning_text"),
    "quote": ("search_result",),
    "message": ("message",),
    "call": ("tool_use", "server_tool_use", "mcp_tool_use", "function_call", "custom_tool_call"),
    "result": ("tool_result", "mcp_tool_result", *WITH_OUTPUT),
    # Of tools that the provider runs itself, in forms of its own: no text to read, but tools.
    "hosted_result": ("web_search_tool_result", "code_execution_tool_result"),
}
TYPES: dict[str, PartType] = {name: kind for kind, names in _NAMES.items() for name in names}
"""What each type of part is; a type that is not here is not known."""


def type_of(name: object) -> PartType | None:
    """Return what a part is by the ``type`` that it bears; ``None`` where nobody knows."""
    return TYPES.get(name) if isinstance(name, str) else None
