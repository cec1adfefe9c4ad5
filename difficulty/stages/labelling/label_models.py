"""What ``label`` is told, and the models and the judge that come of it, each refused with a
sentence where it cannot be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, get_args

from difficulty.bundle import Bundle
from difficulty.economics.prices import PriceList, TokenPrice
from difficulty.errors import InvalidValueError, UnknownNameError
from difficulty.form import Record
from difficulty.labelling.model_calls import (
    CalledModel,
    CallPrice,
    ListedPrice,
    known_price,
    refuse_unknown_provider,
    same_model,
)
from difficulty.routes import Route
from difficulty.stages.labelling.answer_judges import (
    BOTH,
    DEFAULT_RULES,
    EXACT,
    PEOPLE,
    PYTHON,
    VALIDATORS,
    AnswerJudge,
    ExactMatch,
    FunctionJudge,
    ModelJudge,
    People,
    ValidatorChecks,
)

ROLES = (*get_args(Route), "judge")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelOptions(Record):
    """What is to be labelled, by whom, and for how much."""

    cheap: str
    frontier: str
    judge: str
    """A model as litellm names it, ``exact``, ``validators``, ``python:module:function`` or
    ``people``.
    """
    budget_usd: float
    n: int | None = None
    """Requests; ``None``: as many as the budget buys."""
    random_share: float | None = None
    """Share of them chosen by chance alone; ``None``: the usual."""
    reference: str | None = None
    """Column of reference answers."""
    allow_own_judge: bool = False
    """Whether a model of the pair may judge the pair."""
    max_tokens: int = 1_024
    judge_max_tokens: int = 512
    at_once: int = 8
    """Most calls under way."""
    timeout_s: float = 120.0
    base_urls: Mapping[str, str] = field(default_factory=dict)
    """Address of an OpenAI-compatible server for ``cheap``, ``frontier`` and ``judge``; others are
    called at their provider.
    """
    api_key_envs: Mapping[str, str] = field(default_factory=dict)
    """Environment variable with the key of such a server."""
    repeat_lost: bool = False
    """Whether calls of which nobody knows whether they were paid are made again."""
    allowed: tuple[str, ...] = ()
    """Packages whose functions ``python`` validators may call."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("max_tokens", "judge_max_tokens", "at_once", "timeout_s"):
            value = getattr(self, name)
            if not value > 0:
                raise InvalidValueError(name, value, rule="be above 0")
        if self.n is not None and self.n < 1:
            raise InvalidValueError("the number of requests", self.n, rule="be 1 or more")
        for subject, named in (
            ("--base-url", self.base_urls),
            ("--api-key-env", self.api_key_envs),
        ):
            for role in named:
                if role not in ROLES:
                    raise UnknownNameError(f"model of {subject}", role, ROLES)
        if same_model(self.cheap, self.frontier):
            raise InvalidValueError(
                "the cheap and the frontier model", self.cheap, rule="be two models"
            )

    @property
    def judge_is_model(self) -> bool:
        """Whether a model judges."""
        return self.judge not in (EXACT, VALIDATORS, PEOPLE) and not self.judge.startswith(PYTHON)


class LabelModels(NamedTuple):
    """The models that are called; ``judge`` is ``None`` where no model judges."""

    cheap: CalledModel
    frontier: CalledModel
    judge: CalledModel | None

    def of(self, side: Route) -> CalledModel:
        """Return a model of the pair."""
        return self.cheap if side == "cheap" else self.frontier


def pick_models(options: LabelOptions, prices: PriceList | None) -> LabelModels:
    """Return the models with their prices.

    Raises
    ------
    InvalidValueError
        If a price is unknown, a provider is, or the judge is a model of the pair.
    """
    if options.judge_is_model and not options.allow_own_judge:
        for side in BOTH:
            if same_model(options.judge, getattr(options, side)):
                raise InvalidValueError(
                    "the judge",
                    options.judge,
                    rule=f"be neither of the two models: it is the {side} one, and models favour"
                    " their own answers",
                    hint="Choose another, or pass --allow-own-judge.",
                )
    return LabelModels(
        _model("cheap", options.cheap, options, prices, options.max_tokens),
        _model("frontier", options.frontier, options, prices, options.max_tokens),
        _model("judge", options.judge, options, prices, options.judge_max_tokens, temperature=0.0)
        if options.judge_is_model
        else None,
    )


def _model(
    role: str,
    name: str,
    options: LabelOptions,
    prices: PriceList | None,
    max_tokens: int,
    *,
    temperature: float | None = None,
) -> CalledModel:
    base_url = options.base_urls.get(role)
    model = CalledModel(
        name=name,
        price=_price(role, name, prices, own_server=base_url is not None),
        max_tokens=max_tokens,
        base_url=base_url,
        api_key_env=options.api_key_envs.get(role),
        temperature=temperature,
    )
    refuse_unknown_provider(model)
    return model


def _price(role: str, name: str, prices: PriceList | None, *, own_server: bool) -> CallPrice:
    listed: TokenPrice | None = getattr(prices, role) if prices else None
    if listed is not None:
        return ListedPrice(listed)
    # Of a server of one's own nobody but the user knows what a name costs there.
    known = None if own_server else known_price(name)
    if known is None:
        whose = (
            "a server of your own" if own_server else "a model that litellm's prices do not name"
        )
        raise InvalidValueError(
            f"the price of the {role} model",
            name,
            rule=f"be known before money is spent, and it is {whose}",
            hint=f"Write it into a price list, [{role}] with input and output in USD per million"
            " tokens, and pass --prices FILE.",
        )
    return known


def pick_judge(options: LabelOptions, models: LabelModels, bundle: Bundle | None) -> AnswerJudge:
    """Return who judges.

    Raises
    ------
    InvalidValueError
        If there is no such function.
    BundleError
        If the bundle's validators cannot be built.
    """
    if models.judge is not None:
        return ModelJudge(models.judge)
    if options.judge == EXACT:
        return ExactMatch()
    if options.judge == PEOPLE:
        return People()
    if options.judge == VALIDATORS:
        rules = bundle.policy.fallback.validators if bundle else ()
        return ValidatorChecks(rules or DEFAULT_RULES, allowed=options.allowed)
    return FunctionJudge(options.judge)
