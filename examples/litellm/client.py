"""A client that sends many requests through the proxy, some at a time, and notes what came back."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import httpx

from examples.litellm.proxy import Proxy

__all__ = ["Reply", "ask", "body_of", "send", "send_until"]


class Reply(NamedTuple):
    """What the client saw of one request."""

    id: str
    """Of the row that was sent."""
    status: int
    """0 where no answer came."""
    decision: dict[str, str]
    """The headers ``x-difficulty-...`` without that prefix: id, bundle, route, reason, fallback."""
    text: str
    latency_ms: float


def body_of(row: dict[str, Any], *, model: str = "auto") -> dict[str, Any]:
    """Return the request of a row of labelled traffic, with its task and count of tokens where they
    are known.
    """
    known = {name: row.get(name) for name in ("task", "prompt_tokens")}
    metadata = {name: value for name, value in known.items() if value is not None}
    return {"model": model, "messages": row["messages"], "metadata": metadata}


def send(
    proxy: Proxy, rows: Sequence[dict[str, Any]], *, at_once: int, model: str = "auto"
) -> list[Reply]:
    """Send rows and return the replies in their order."""
    return asyncio.run(_send(proxy, rows, at_once, model))


def send_until(
    stop: threading.Event,
    proxy: Proxy,
    rows: Sequence[dict[str, Any]],
    *,
    at_once: int,
    keep: Callable[[dict[str, Any], Reply], None],
) -> None:
    """Send rows over and over until told to stop, and hand each with its reply to ``keep`` as it
    comes.
    """
    turn = itertools.cycle(rows)

    async def one(client: httpx.AsyncClient) -> None:
        while not stop.is_set():
            row = next(turn)
            keep(row, await _ask(client, row["id"], body_of(row)))

    async def all_of_them() -> None:
        async with _client(proxy, at_once) as client:
            await asyncio.gather(*(one(client) for _ in range(at_once)))

    asyncio.run(all_of_them())


def ask(proxy: Proxy, body: dict[str, Any], *, name: str = "") -> Reply:
    """Send one request and wait for its reply."""

    async def once() -> Reply:
        async with _client(proxy, 1) as client:
            return await _ask(client, name, body)

    return asyncio.run(once())


async def _send(
    proxy: Proxy, rows: Sequence[dict[str, Any]], at_once: int, model: str
) -> list[Reply]:
    turn = asyncio.Semaphore(at_once)

    async def one(client: httpx.AsyncClient, row: dict[str, Any]) -> Reply:
        async with turn:
            return await _ask(client, row["id"], body_of(row, model=model))

    async with _client(proxy, at_once) as client:
        return await asyncio.gather(*(one(client, row) for row in rows))


def _client(proxy: Proxy, at_once: int) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)
    headers = {"authorization": f"Bearer {proxy.key}"}
    return httpx.AsyncClient(
        base_url=proxy.url, headers=headers, timeout=120, limits=limits, trust_env=False
    )


async def _ask(client: httpx.AsyncClient, name: str, body: dict[str, Any]) -> Reply:
    began = time.perf_counter()
    try:
        response = await client.post("/v1/chat/completions", json=body)
    except httpx.TransportError as error:
        return Reply(name, 0, {}, repr(error), _ms(began))
    took = _ms(began)
    prefix = "x-difficulty-"
    decision = {
        key.removeprefix(prefix): value
        for key, value in response.headers.items()
        if key.startswith(prefix)
    }
    return Reply(name, response.status_code, decision, response.text, took)


def _ms(began: float) -> float:
    return (time.perf_counter() - began) * 1000
