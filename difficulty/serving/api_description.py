"""What the service answers, as OpenAPI 3.1 describes it."""

from __future__ import annotations

from typing import Any

from difficulty import __version__
from difficulty.runtime.service import CHUNK
from difficulty.serving.decision_calls import MOST_EXPLAINED

_Form = dict[str, Any]


def describe_api(*, with_chat: bool, with_keys: bool) -> _Form:
    """Return the description; what the service was started without is left out."""
    paths = {
        "/decide": _post("Decide on one request or a list of them.", _asked(CHUNK), "Decision"),
        "/check": _post(
            "Say whether the frontier model is to be asked too, given the cheap model's answer.",
            _asked(CHUNK, "Answered"),
            "Verdict",
        ),
        "/explain": _post("Decide, and say why.", _asked(MOST_EXPLAINED), "Decision"),
        "/health": _get("The bundle that decides, and what its check of answers has counted."),
        "/healthz": _get("That the process answers; needs no key."),
        "/metrics": {
            "get": {
                "summary": "Counts since the start, as Prometheus reads them.",
                "responses": {"200": {"description": "Text.", "content": {"text/plain": {}}}},
            }
        },
        "/openapi.json": _get("This description."),
    }
    if with_chat:
        paths |= _chat_paths()
    described: _Form = {
        "openapi": "3.1.0",
        "info": {
            "title": "difficulty serve",
            "version": __version__,
            "description": "Decides per request whether a cheap model is enough.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": _schemas()},
    }
    if with_keys:
        bearer = {"type": "http", "scheme": "bearer"}
        plain = {"type": "apiKey", "in": "header", "name": "x-api-key"}
        described["components"]["securitySchemes"] = {"bearer": bearer, "plain": plain}
        described["security"] = [{"bearer": []}, {"plain": []}]
        paths["/healthz"]["get"]["security"] = []
    return described


def _chat_paths() -> dict[str, _Form]:
    body = {"application/json": {"schema": _ref("ChatRequest")}}
    streamed = {"schema": {"type": "string", "description": "Chunks as events, then [DONE]."}}
    whole = {"schema": {"type": "object", "description": "OpenAI's chat.completion."}}
    headers = {
        f"x-difficulty-{name}": {"description": meaning, "schema": {"type": "string"}}
        for name, meaning in {
            "id": "Of the request in the decision log.",
            "bundle": "The bundle that decided.",
            "route": "cheap or frontier.",
            "reason": "Why that route.",
            "fallback": "Why the frontier model was asked after the cheap one, where it was.",
            "check": "What the learned check said of the cheap answer.",
        }.items()
    }
    answer = {
        "description": "The answer.",
        "headers": headers,
        "content": {"application/json": whole, "text/event-stream": streamed},
    }
    post = {
        "summary": "Answer a chat request by the cheap or the frontier model.",
        "requestBody": {"required": True, "content": body},
        "responses": {"200": answer, "default": _refusal("OpenAIError")},
    }
    return {
        "/v1/chat/completions": {"post": post},
        "/v1/models": _get("The names that clients may ask for."),
    }


def _get(summary: str) -> _Form:
    content = {"application/json": {"schema": {"type": "object"}}}
    return {
        "get": {
            "summary": summary,
            "responses": {"200": {"description": "JSON.", "content": content}},
        }
    }


def _post(summary: str, asked: _Form, answer: str) -> _Form:
    either = {"oneOf": [_ref(answer), {"type": "array", "items": _ref(answer)}]}
    content = {"application/json": {"schema": either}}
    return {
        "post": {
            "summary": summary,
            "requestBody": {"required": True, "content": {"application/json": {"schema": asked}}},
            "responses": {
                "200": {"description": "One answer a request, in order.", "content": content},
                "default": _refusal("Error"),
            },
        }
    }


def _asked(most: int, name: str = "Request") -> _Form:
    return {"oneOf": [_ref(name), {"type": "array", "items": _ref(name), "maxItems": most}]}


def _refusal(name: str) -> _Form:
    return {
        "description": "Why the call is not answered.",
        "content": {"application/json": {"schema": _ref(name)}},
    }


def _ref(name: str) -> _Form:
    return {"$ref": f"#/components/schemas/{name}"}


def _schemas() -> dict[str, _Form]:
    text: _Form = {"type": "string"}
    number: _Form = {"type": ["number", "null"]}
    messages: _Form = {"type": "array", "items": {"type": "object"}}
    request: dict[str, _Form] = {
        "id": {"type": ["string", "number"]},
        "messages": messages,
        "prompt": text,
        "task": text,
        "prompt_tokens": {"type": "integer", "minimum": 0},
        "tools": {"type": "array", "items": {"type": "object"}},
        "checked": {"type": "boolean"},
        "held": {"type": "object"},
    }
    decision = {
        "id": text,
        "route": {"enum": ["cheap", "frontier"]},
        "model": text,
        "reason": text,
        "difficulty_score": number,
        "p_cheap_fails": number,
        "threshold": {"type": "number"},
        "fallback": {"type": ["string", "null"]},
        "bundle_version": text,
        "error": text,
    }
    verdict = {
        "id": text,
        "escalate": {"type": "boolean"},
        "reason": text,
        "answer_score": number,
        "p_answer_fails": number,
        "bundle_version": text,
        "error": text,
    }
    chat = {
        "model": text,
        "messages": {**messages, "minItems": 1},
        "stream": {"type": "boolean"},
        "metadata": {
            "type": "object",
            "description": "task, prompt_tokens, session_id: as far as clients may set them.",
        },
    }
    inner = {
        "message": text,
        "type": text,
        "param": {"type": ["string", "null"]},
        "code": {"type": ["string", "null"]},
    }
    return {
        "Request": _object(request),
        "Answered": _object({**request, "answer": {"type": ["string", "object"]}}, "answer"),
        "Decision": _object(decision, "id", "route", "model", "reason", "bundle_version"),
        "Verdict": _object(verdict, "id", "escalate", "reason", "bundle_version"),
        "Error": _object({"error": text}, "error"),
        "ChatRequest": _object(chat, "model", "messages"),
        "OpenAIError": _object({"error": _object(inner, "message", "type")}, "error"),
    }


def _object(properties: dict[str, _Form], *required: str) -> _Form:
    form: _Form = {"type": "object", "properties": properties}
    return form | ({"required": list(required)} if required else {})
