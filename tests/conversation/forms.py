"""Generated requests, as OpenAI's chat, Anthropic's messages and OpenAI's Responses write them."""

import json

from hypothesis import strategies as st

PIXEL = "iVBORw0KGgo="


def chat_body(steps):
    """OpenAI's chat messages."""
    body = {"messages": []}
    for place, step in enumerate(steps):
        kind, *given = step
        if kind == "call":
            name, arguments = given
            function = {"name": name, "arguments": json.dumps(arguments, separators=(",", ":"))}
            call = {"id": f"c{place}", "type": "function", "function": function}
            body["messages"].append({"role": "assistant", "content": None, "tool_calls": [call]})
        elif kind == "result":
            body["messages"].append(
                {"role": "tool", "tool_call_id": f"c{place - 1}", "content": given[0]}
            )
        elif kind == "image":
            url = {"url": f"data:image/png;base64,{PIXEL}"}
            body["messages"].append(
                {"role": "user", "content": [{"type": "image_url", "image_url": url}]}
            )
        else:
            body["messages"].append({"role": kind, "content": given[0]})
    return body


def anthropic_body(steps):
    """Anthropic's messages, the instructions beside them."""
    body = {"messages": []}
    for place, step in enumerate(steps):
        kind, *given = step
        role = "assistant" if kind in ("assistant", "call") else "user"
        if kind == "system":
            body["system"] = [{"type": "text", "text": given[0]}]
            continue
        if kind == "call":
            block = {"type": "tool_use", "id": f"t{place}", "name": given[0], "input": given[1]}
        elif kind == "result":
            inner = [{"type": "text", "text": given[0]}]
            block = {"type": "tool_result", "tool_use_id": f"t{place - 1}", "content": inner}
        elif kind == "image":
            source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
            block = {"type": "image", "source": source}
        else:
            block = {"type": "text", "text": given[0]}
        if body["messages"] and body["messages"][-1]["role"] == role:
            body["messages"][-1]["content"].append(block)
        else:
            body["messages"].append({"role": role, "content": [block]})
    return body


def responses_body(steps):
    """Items of OpenAI's Responses."""
    body = {"input": []}
    for place, step in enumerate(steps):
        kind, *given = step
        if kind == "system":
            body["instructions"] = given[0]
        elif kind == "call":
            written = json.dumps(given[1], separators=(",", ":"))
            form = {"type": "function_call", "name": given[0], "arguments": written}
            body["input"].append({**form, "call_id": f"r{place}"})
        elif kind == "result":
            form = {"type": "function_call_output", "output": given[0]}
            body["input"].append({**form, "call_id": f"r{place - 1}"})
        else:
            name = "output_text" if kind == "assistant" else "input_text"
            part = {"type": name, "text": given[0]} if given else {}
            if kind == "image":
                part = {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"}
            role = "user" if kind == "image" else kind
            body["input"].append({"type": "message", "role": role, "content": [part]})
    return body


said = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)
names = st.sampled_from(["search", "run_tests", "weather"])
arguments = st.dictionaries(st.text("abc", min_size=1), st.integers(0, 9) | said, max_size=3)
steps = st.one_of(
    st.tuples(st.sampled_from(["user", "assistant"]), said).map(lambda step: [step]),
    st.just([("image",)]),
    st.tuples(names, arguments, said).map(
        lambda call: [("call", call[0], call[1]), ("result", call[2])]
    ),
)
requests = st.tuples(st.none() | said, st.lists(steps, min_size=1, max_size=6)).map(
    lambda drawn: [
        *([("system", drawn[0])] if drawn[0] else []),
        *(step for each in drawn[1] for step in each),
    ]
)
BODIES = (chat_body, anthropic_body, responses_body)
