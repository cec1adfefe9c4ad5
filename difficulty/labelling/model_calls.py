"""One call of one model through litellm's SDK: what came back, what it cost, and what a failure of
it means. No other module of labelling knows litellm.
"""

from __future__ import annotations

import asyncio
import math
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal, NamedTuple, Protocol

from difficulty.economics.prices import TokenPrice
from difficulty.errors import InvalidValueError, MissingExtraError

FailureKind = Literal["limited", "again", "request", "denied", "account"]
"""``limited``: too many calls; ``again``: may go well the next time; ``request``: this request
never will; ``denied``: this request will not, or none will (a policy, a route, a key): whether the
model ever answered tells; ``account``: none will.
"""
# What a chat template may add to each message and to each request, in tokens; generous.
_TOKENS_A_MESSAGE, _TOKENS_A_REQUEST, _TOKENS_OF_TOOLS = 16, 64, 1_024
_UNSENT = {"ConnectError", "ConnectTimeout", "ClientConnectorError", "ConnectionRefusedError"}
"""Errors below an error by which a call never reached anybody."""
_GRACE_S = 5.0  # an own deadline behind litellm's, which does not count every wait
_COST_HEADER = "llm_provider-x-litellm-response-cost"


class CallPrice(Protocol):
    """What a call costs by its tokens."""

    def usd(self, prompt: int, completion: int, *, cached: int = 0) -> float:
        """Return USD of a call that read ``prompt`` tokens, of them ``cached`` from the provider's
        cache, and wrote ``completion``.
        """


@dataclass(frozen=True, slots=True)
class ListedPrice:
    """A price of the user's price list."""

    price: TokenPrice

    def usd(self, prompt: int, completion: int, *, cached: int = 0) -> float:
        """Return USD of a call."""
        reused = self.price.input if self.price.cached_input is None else self.price.cached_input
        fresh = (prompt - cached) * self.price.input
        return (fresh + cached * reused + completion * self.price.output) / 1e6


@dataclass(frozen=True, slots=True)
class KnownPrice:
    """The price that litellm knows of a model, with the steps that long prompts have."""

    model: str

    def usd(self, prompt: int, completion: int, *, cached: int = 0) -> float:
        """Return USD of a call."""
        from litellm import cost_per_token

        costs = cost_per_token(
            model=self.model,
            prompt_tokens=prompt,
            completion_tokens=completion,
            cache_read_input_tokens=cached,
        )
        return float(sum(costs))


@dataclass(frozen=True, slots=True, kw_only=True)
class CalledModel:
    """A model that can be called."""

    name: str
    """As litellm calls it: ``provider/model``."""
    price: CallPrice
    max_tokens: int
    """Most tokens of an answer."""
    base_url: str | None = None
    """Of a server that speaks OpenAI's protocol; ``None``: the provider's own."""
    api_key_env: str | None = None
    """Environment variable with the key for ``base_url``; other keys are litellm's matter."""
    temperature: float | None = None
    """``None``: the model's own."""

    @property
    def litellm_name(self) -> str:
        """The name with the provider that litellm needs for a server of one's own."""
        own = self.base_url is not None and not self.name.startswith("openai/")
        return f"openai/{self.name}" if own else self.name

    def worst_usd(self, prompt_tokens: int) -> float:
        """Return the most that a call may cost whose prompt has at most that many tokens."""
        return self.price.usd(prompt_tokens, self.max_tokens)


class ModelQuestion(NamedTuple):
    """What a model is asked."""

    messages: tuple[Mapping[str, str], ...]
    tools: tuple[Mapping[str, Any], ...] = ()


class ModelReply(NamedTuple):
    """What came back."""

    message: dict[str, Any]
    """The assistant message, with ``finish_reason`` where that is unusual."""
    prompt_tokens: int | None
    completion_tokens: int | None
    usd: float | None
    """Billed: what the server says, or tokens by price, whichever is more; ``None``: unknown."""

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form, for the journal."""
        return dict(self._asdict())


class CallFailure(Exception):
    """A call brought nothing. The text says what kind of failure, and nothing of the request."""

    def __init__(
        self, why: str, *, kind: FailureKind, billed: bool, retry_after_s: float | None = None
    ) -> None:
        super().__init__(why)
        self.kind = kind
        self.billed = billed
        """Whether it may have been billed."""
        self.retry_after_s = retry_after_s


def most_prompt_tokens(question: ModelQuestion) -> int:
    """Return a number of tokens that no tokenizer exceeds: those in use make at most a token of a
    byte, and templates add some to each message.
    """
    n_bytes = sum(
        len(str(text).encode("utf-8", "surrogatepass"))
        for message in question.messages
        for text in message.values()
    )
    tools = len(repr(question.tools).encode("utf-8", "surrogatepass")) if question.tools else 0
    beside = _TOKENS_A_MESSAGE * len(question.messages) + _TOKENS_A_REQUEST
    return n_bytes + beside + (tools + _TOKENS_OF_TOOLS if tools else 0)


def known_price(model: str) -> KnownPrice | None:
    """Return the price that litellm knows of a model; ``None`` where it knows none."""
    _import_litellm()
    price = KnownPrice(model)
    try:
        a_million = price.usd(1_000_000, 1_000_000)
    except Exception:  # its errors for an unknown model have no common class
        return None
    return price if math.isfinite(a_million) else None


def refuse_unknown_provider(model: CalledModel) -> None:
    """Refuse a name of which litellm does not know whom to ask.

    Raises
    ------
    InvalidValueError
        If it knows no such provider.
    """
    litellm = _import_litellm()
    try:
        litellm.get_llm_provider(model.litellm_name)
    except Exception as error:
        raise InvalidValueError(
            "a model",
            model.name,
            rule="name its provider, as openai/gpt-4o-mini",
            hint="For a server of your own pass --base-url URL.",
        ) from error


class ModelCaller:
    """Call models.

    Parameters
    ----------
    timeout_s : float
        Most seconds of a call.
    client : object, optional
        An ``openai.AsyncOpenAI`` to call through, in place of litellm's own: for tests.
    """

    def __init__(self, *, timeout_s: float = 120.0, client: Any = None) -> None:
        self._timeout_s, self._client = timeout_s, client
        self._litellm: Any = None

    async def __call__(self, model: CalledModel, question: ModelQuestion) -> ModelReply:
        """Make one attempt.

        Raises
        ------
        CallFailure
            If nothing came back.
        """
        litellm = self._litellm = self._litellm or _import_litellm()
        options = self._options(model)
        if question.tools:
            options["tools"] = [dict(tool) for tool in question.tools]
        call = litellm.acompletion(
            model=model.litellm_name, messages=[dict(m) for m in question.messages], **options
        )
        try:
            response = await asyncio.wait_for(call, self._timeout_s + _GRACE_S)
            return _reply(response.model_dump(), _headers(response), model.price)
        except TimeoutError as error:
            raise CallFailure("no answer in time", kind="again", billed=True) from error
        except asyncio.CancelledError:
            raise
        except Exception as error:
            raise _failure(error) from error

    async def close(self) -> None:
        """Close the connections that litellm keeps."""
        if self._litellm is not None:
            await self._litellm.close_litellm_async_clients()

    def _options(self, model: CalledModel) -> dict[str, Any]:
        # One attempt a call: what is not known to be paid once must not be asked twice.
        options: dict[str, Any] = {
            "timeout": self._timeout_s,
            "max_retries": 0,
            "num_retries": 0,
            "max_tokens": model.max_tokens,
            "drop_params": True,  # some models take no temperature
        }
        if model.temperature is not None:
            options["temperature"] = model.temperature
        if model.base_url is not None:
            # Never a provider's key from the environment: the server is somebody else.
            key = os.environ.get(model.api_key_env, "") if model.api_key_env else ""
            options |= {"api_base": model.base_url, "api_key": key or "none"}
        if self._client is not None:
            options["client"] = self._client
        return options


def _import_litellm() -> Any:
    try:
        import litellm
    except ImportError as error:
        raise MissingExtraError("calling models", package="litellm", extra="label") from error
    litellm.suppress_debug_info = True  # it prints to standard output
    # Of its own types, once a process, on the standard error of whoever runs the command.
    warnings.filterwarnings("ignore", "(?s).*ReadOnly", UserWarning, "pydantic")
    return litellm


def _headers(response: Any) -> Mapping[str, Any]:
    hidden = getattr(response, "_hidden_params", None) or {}
    return hidden.get("additional_headers") or {}


def _reply(body: Mapping[str, Any], headers: Mapping[str, Any], price: CallPrice) -> ModelReply:
    choices = body.get("choices") or ()
    if not choices or not isinstance(choices[0].get("message"), Mapping):
        # It was generated, and so it was billed.
        raise CallFailure("an answer without a message", kind="again", billed=True)
    usage = body.get("usage") or {}
    prompt, completion = (
        _count(usage.get(name)) for name in ("prompt_tokens", "completion_tokens")
    )
    if not prompt:  # litellm writes 0 where a server says nothing
        prompt = completion = None
    cached = _count((usage.get("prompt_tokens_details") or {}).get("cached_tokens")) or 0
    stated = [_amount(usage.get("cost")), _amount(headers.get(_COST_HEADER))]
    if prompt is not None and completion is not None:
        stated.append(price.usd(prompt, completion, cached=min(cached, prompt)))
    bills = [usd for usd in stated if usd is not None]
    message = {
        name: value
        for name, value in choices[0]["message"].items()
        if name in ("content", "tool_calls", "refusal") and value
    }
    finish = choices[0].get("finish_reason")
    if finish not in ("stop", "tool_calls", None):
        message["finish_reason"] = str(finish)
    return ModelReply(
        {"role": "assistant", "content": "", **message},
        prompt,
        completion,
        max(bills, default=None),
    )


def _count(value: Any) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value if whole else None


def _amount(value: Any) -> float | None:
    try:
        usd = float(value)
    except (TypeError, ValueError):
        return None
    return usd if usd >= 0.0 and math.isfinite(usd) else None


def _failure(error: Exception) -> CallFailure:
    if isinstance(error, CallFailure):
        return error
    chain = _chain(error)
    status = getattr(error, "status_code", None)
    name = type(error).__name__
    if any(type(part).__name__ in _UNSENT for part in chain):
        return CallFailure(f"no connection ({name})", kind="again", billed=False)
    why = f"HTTP {status} ({name})" if isinstance(status, int) else name
    if status == 429:
        after = _retry_after(chain)
        return CallFailure(why, kind="limited", billed=False, retry_after_s=after)
    if status in (503, 529):
        after = _retry_after(chain)
        return CallFailure(why, kind="again", billed=False, retry_after_s=after)
    if status in (401, 403, 404):
        return CallFailure(why, kind="denied", billed=False)
    if status == 402:
        return CallFailure(why, kind="account", billed=False)
    if isinstance(status, int) and 400 <= status < 500 and status != 408:
        return CallFailure(why, kind="request", billed=False)
    # An answer that was cut off, a server that fell over: somebody may have generated.
    return CallFailure(why, kind="again", billed=True)


def _chain(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    below: BaseException | None = error
    while below is not None and below not in chain:
        chain.append(below)
        below = below.__cause__ or below.__context__
    return chain


def _retry_after(chain: list[BaseException]) -> float | None:
    for error in chain:
        for headers in (
            getattr(error, "litellm_response_headers", None),
            getattr(getattr(error, "response", None), "headers", None),
        ):
            if headers and (seconds := _seconds(headers)) is not None:
                return seconds
    return None


def _seconds(headers: Mapping[str, Any]) -> float | None:
    milliseconds = _amount(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1_000
    written = headers.get("retry-after")
    if (seconds := _amount(written)) is not None:
        return seconds
    try:
        when = parsedate_to_datetime(str(written))
        return max(0.0, (when.astimezone(UTC) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


def same_model(one: str, other: str) -> bool:
    """Return whether two names are of one model: logs seldom name the provider."""
    names = [name.strip().lower() for name in (one, other)]
    return names[0] == names[1] or names[0].rpartition("/")[2] == names[1].rpartition("/")[2]
