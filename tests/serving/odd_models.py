"""Two models on loopback that answer byte for byte what a request's text asks of them, sound or
not: ``cheap=empty frontier=fine`` in the last message.
"""

import asyncio
import contextlib
import json
import re
import threading
import time
from collections import defaultdict
from contextlib import closing, contextmanager

FINE = {"cheap": "Fine, says cheap.", "frontier": "Fine, says frontier."}
SECRET_WORD = "sk-upstream"
"""Stands in what models say of themselves: no client may see it."""
_USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def completion(choices, **more):
    return {"id": "c-1", "object": "chat.completion", "created": 1, "model": "m", "usage": _USAGE,
            "choices": choices, **more}  # fmt: skip


def message(content="", finish="stop", **more):
    """Return a completion of one message."""
    return completion([{"index": 0, "finish_reason": finish,
                        "message": {"role": "assistant", "content": content, **more}}])  # fmt: skip


CALL = {"id": "t-1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
FAULT = {"error": {"message": f"{SECRET_WORD} broke", "type": "server_error", "code": None}}
WHOLE = {
    "no_choices": completion([]),
    "null_choices": completion(None),
    "choices_object": completion({}),
    "null_choice": completion([None]),
    "null_message": completion([{"index": 0, "message": None, "finish_reason": "stop"}]),
    "no_message": completion([{"index": 0, "finish_reason": "stop"}]),
    "empty": message(""),
    "blank": message(" \n\t"),
    "null": message(None),
    "cut_to_nothing": message("", "length"),
    "filtered": message("", "content_filter"),
    "no_calls": message(None, "tool_calls", tool_calls=[]),
    "number": message(5),
    "parts": message([{"type": "text", "text": "Fine, in parts."}]),
    "call": message(None, "tool_calls", tool_calls=[CALL]),
    "old_call": message(None, "function_call", function_call=CALL["function"]),
    "refusal": message(None, refusal="I will not."),
    "thought": message("", reasoning_content="Hm."),
    "error_body": FAULT,
    "detail_body": {"detail": f"{SECRET_WORD} not found"},
    "text_body": "Fine.",
    "null_body": None,
    "list_body": [],
    "empty_object": {},
}
"""Answers of status 200, as JSON."""
RAW = {
    "html": (200, "text/html", b"<html>proxy login</html>"),
    "nothing": (200, "application/json", b""),
    "broken": (200, "application/json", b'{"choices": ['),
    "no_utf8": (200, "application/json", b'{"choices": "\xff"}'),
    "400": (400, "application/json", b'{"error": {"message": "temperature is too high"}}'),
    "401": (401, "application/json", json.dumps(FAULT).encode()),
    "404": (404, "application/json", json.dumps(FAULT).encode()),
    "429": (429, "application/json", json.dumps(FAULT).encode()),
    "500": (500, "application/json", json.dumps(FAULT).encode()),
    "502": (502, "text/html", b"<html>sk-upstream bad gateway</html>"),
    "redirect": (302, "text/plain", b""),
}


def _chunk(delta, finish=None):
    return {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}  # fmt: skip


def _event(form):
    return f"data: {form if isinstance(form, str) else json.dumps(form)}\n\n".encode()


_ROLE, _STOP, _DONE = _chunk({"role": "assistant", "content": ""}), _chunk({}, "stop"), "[DONE]"
_LAST = {**_chunk({}), "choices": [], "usage": _USAGE}
STREAMS = {
    "no_events": [],
    "only_done": [_DONE],
    "only_role": [_ROLE, _STOP, _LAST, _DONE],
    "empty": [_ROLE, _chunk({"content": ""}), _STOP, _LAST, _DONE],
    "blank": [_ROLE, _chunk({"content": "\n "}), _STOP, _LAST, _DONE],
    "no_choices": [_LAST, _DONE],
    "null_choices": [{**_LAST, "choices": None}, _DONE],
    "null_delta": [_chunk(None), _STOP, _DONE],
    "error_first": [FAULT, _DONE],
    "error_later": [_ROLE, _chunk({"content": "Half "}), FAULT],
    "no_json": ["{half", _DONE],
    "text_event": ['"text"', _DONE],
    "no_end": [_ROLE, _chunk({"content": "Half "})],
    "call": [_ROLE, _chunk({"tool_calls": [{"index": 0, **CALL}]}), _chunk({}, "tool_calls"),
             _LAST, _DONE],
    "refusal": [_ROLE, _chunk({"refusal": "I will not."}), _STOP, _LAST, _DONE],
    "number": [_ROLE, _chunk({"content": 5}), _STOP, _LAST, _DONE],
}  # fmt: skip


class OddModels:
    """Both models, and which of them were asked, by the request's last text."""

    def __init__(self):
        self.asked = defaultdict(list)

    async def answer(self, reader, writer):
        """Answer one connection."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError), closing(writer):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
                body = json.loads(await reader.readexactly(length))
                side, text = head.split("/")[1], str(body["messages"][-1].get("content"))
                self.asked[text].append(side)
                told = dict(word.split("=") for word in text.split() if word.count("=") == 1)
                if not await self._say(told.get(side, "fine"), side, body.get("stream"), writer):
                    break

    async def _say(self, name, side, is_stream, writer):
        """Write an answer; return whether the connection goes on."""
        kind = "text/event-stream" if is_stream else "application/json"
        if name in FAULTS:
            await _fail(name, kind, writer)
            return False
        status = 200
        if name in RAW:
            status, kind, content = RAW[name]
        elif is_stream:
            words = [_chunk({"content": word}) for word in re.findall(r"\S+ ?", FINE[side])]
            events = {"fine": [_ROLE, *words, _STOP, _LAST, _DONE], **STREAMS}[name]
            content = b"".join(map(_event, events))
        else:
            form = message(FINE[side]) if name == "fine" else WHOLE[name]
            content = json.dumps(form).encode()
        writer.write(_head(status, kind, len(content)) + content)
        await writer.drain()
        return True


FAULTS = ("hang", "close", "reset", "drip", "short", "pause")
"""No answer, an answer without an end, or half of one."""


async def _fail(name, kind, writer):
    if name == "hang":
        await asyncio.sleep(30)
    elif name == "reset":
        writer.transport.abort()
    elif name == "drip":
        writer.write(_head(200, kind, 10_000))
        for _ in range(100):
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.1)
    elif name in ("short", "pause"):
        half = _event(_ROLE) + _event(_chunk({"content": "Half "}))
        writer.write(_head(200, kind, 10_000) + (half if "event" in kind else b'{"choices": ['))
        await writer.drain()
        await asyncio.sleep(30 * (name == "pause"))


def _head(status, kind, length):
    return (
        f"HTTP/1.1 {status} Said\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n"
        "Retry-After: 7\r\nLocation: /elsewhere\r\n\r\n"
    ).encode()


@contextmanager
def odd_models():
    """Serve them in a thread; give them, and their address."""
    models, loop, ports = OddModels(), asyncio.new_event_loop(), []

    async def listen():
        server = await asyncio.start_server(models.answer, "127.0.0.1", 0)
        ports.append(server.sockets[0].getsockname()[1])
        return server

    def run():
        server = loop.run_until_complete(listen())
        loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(asyncio.sleep(0.01))  # transports close in turns of their own

    thread = threading.Thread(target=run)
    thread.start()
    while not ports:
        time.sleep(0.01)
    try:
        yield models, f"http://127.0.0.1:{ports[0]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
