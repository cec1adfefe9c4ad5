"""Bodies of requests in the three forms, and what each truly needs: written apart from what reads
them.
"""

import base64
import json
from dataclasses import dataclass, field

PICTURE = base64.b64encode(b"\x89PNG" + bytes(96)).decode()
WORDS = "please sort the letters of this order by the day on which they came in and say why".split()
IMAGE_TOKENS_AT_LEAST = 85
FORMS = ("chat", "anthropic", "responses")
MEDIA = {
    "chat": {
        "image": {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}},
        "audio": {"type": "input_audio", "input_audio": {"data": PICTURE, "format": "wav"}},
        "video": {"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{PICTURE}"}},
        "file": {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PICTURE}"}},
        "unknown": {"type": "hologram", "hologram": {"id": "h1"}},
    },
    "anthropic": {
        "image": {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": PICTURE},
        },
        "file": {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": PICTURE},
        },
        "unknown": {"type": "hologram"},
    },
    "responses": {
        "image": {"type": "input_image", "image_url": "https://example.com/cat.png"},
        "audio": {"type": "input_audio", "data": PICTURE},
        "file": {"type": "input_file", "file_data": PICTURE},
        "unknown": {"type": "input_smell"},
    },
}
"""By form and kind."""
SCHEMA = {"type": "object", "properties": {"day": {"type": "string", "description": "The day"}}}
TOOLS = {
    "chat": [{"type": "function", "function": {"name": "find", "parameters": SCHEMA}}],
    "anthropic": [{"name": "find", "description": "Finds it.", "input_schema": SCHEMA}],
    "responses": [{"type": "function", "name": "find", "parameters": SCHEMA}],
}
ASKS_SCHEMA = {
    "chat": {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}},
    "anthropic": {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
    "responses": {"text": {"format": {"type": "json_schema", "schema": SCHEMA}}},
}
ROOM = {"chat": "max_tokens", "anthropic": "max_tokens", "responses": "max_output_tokens"}
TEXT_PART = {"chat": "text", "anthropic": "text", "responses": "input_text"}


@dataclass
class Truth:
    """What a generated request truly needs."""

    kinds: set = field(default_factory=set)
    tools: bool = False
    schema: bool = False
    languages: set = field(default_factory=set)
    residency: set = field(default_factory=set)
    answer: int | None = None
    texts: list = field(default_factory=list)
    images: int = 0


def make_body(rng, form=None):
    """Return a generated body, its form, and the truth about it."""
    form, truth, body = form or str(rng.choice(FORMS)), Truth(), {}
    text = " ".join(rng.choice(WORDS, _length(rng)).tolist())
    truth.texts.append(text)
    parts = [{"type": TEXT_PART[form], "text": text}]
    for kind in rng.permutation(list(MEDIA[form])).tolist()[: _few(rng)]:
        parts.insert(int(rng.integers(0, 2)), MEDIA[form][kind])
        truth.kinds.add(kind)
        truth.images += kind == "image"
    is_plain = len(parts) == 1 and rng.random() < 0.7
    question = {"role": "user", "content": text if is_plain else parts}
    messages = [question]
    if rng.random() < 0.2:
        messages = [*_loop(rng, form, truth), *messages]
    elif rng.random() < 0.2:
        messages = [{"role": "user", "content": "hello there"}, _said(form, "yes?"), *messages]
    body["input" if form == "responses" else "messages"] = messages
    if rng.random() < 0.2:
        body["tools"], truth.tools = TOOLS[form], True
        truth.texts.append(json.dumps(TOOLS[form]))
    if rng.random() < 0.15:
        body |= ASKS_SCHEMA[form]
        truth.schema = True
    if rng.random() < 0.5:
        truth.answer = int(rng.choice([0, 1, 500, 4_096, 100_000]))
        body[ROOM[form]] = truth.answer
    if rng.random() < 0.15:
        language = str(rng.choice(["de", "th", "en-US"]))
        body["metadata"] = {"languages": [language]}
        truth.languages = {language[:2]}
    if rng.random() < 0.15:
        tag = str(rng.choice(["eu", "us", "moon"]))
        body.setdefault("metadata", {})["residency"] = tag.upper()
        truth.residency = {tag}
    return body, form, truth


def _length(rng):
    """Words, most often few, sometimes about the windows."""
    kind = rng.random()
    if kind < 0.6:
        return int(rng.integers(1, 120))
    return int(rng.integers(2_000, 9_000)) if kind < 0.97 else int(rng.integers(20_000, 80_000))


def _few(rng):
    return int(rng.choice([0, 0, 0, 0, 1, 1, 2]))


def _said(form, text):
    content = [{"type": "output_text", "text": text}] if form == "responses" else text
    return {"role": "assistant", "content": content}


def _loop(rng, form, truth):
    """Return a call and its result, which may hold an image."""
    truth.tools = True
    with_image = form == "anthropic" and rng.random() < 0.5
    if with_image:
        truth.kinds.add("image")
        truth.images += 1
    truth.texts += ['find {"day": "Monday"}', "nothing was found"]
    if form == "chat":
        call = {"id": "c1", "type": "function"}
        call["function"] = {"name": "find", "arguments": '{"day": "Monday"}'}
        return [
            {"role": "user", "content": "what came on Monday?"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "nothing was found"},
        ]
    if form == "anthropic":
        result = [{"type": "text", "text": "nothing was found"}]
        result += [MEDIA["anthropic"]["image"]] if with_image else []
        use = {"type": "tool_use", "id": "c1", "name": "find", "input": {"day": "Monday"}}
        return [
            {"role": "user", "content": "what came on Monday?"},
            {"role": "assistant", "content": [use]},
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "c1", "content": result}],
            },
        ]
    call = {"type": "function_call", "call_id": "c1", "name": "find"}
    return [
        {"role": "user", "content": "what came on Monday?"},
        call | {"arguments": '{"day": "Monday"}'},
        {"type": "function_call_output", "call_id": "c1", "output": "nothing was found"},
    ]
