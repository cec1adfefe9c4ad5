"""Channels: one kind of vector a request, with all that is to be known of the kind in one file.

A kind is a subclass of :class:`Channel` and a line in ``CHANNELS``, or an entry point of the group
``difficulty.channels`` in another package, which a recipe switches on as ``[features.extra.NAME]``.
Training, storing, searching and exporting ask the channel and know no kind by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from difficulty.channels.gains import GainTarget
from difficulty.channels.heads import LinearHead, Matrix
from difficulty.channels.shards import Embeddings, PairCounts
from difficulty.errors import InvalidValueError, RecipeError, RunError
from difficulty.plugins import known_names, resolve
from difficulty.recipe import FeatureSettings

if TYPE_CHECKING:
    from difficulty.channels.task_columns import TaskChannel
    from difficulty.encoders.base import Encoder
    from difficulty.tensors import RequestTensors, Tensor

__all__ = [
    "CHANNELS",
    "Channel",
    "HeadColumns",
    "Tasks",
    "channels_of",
    "describe",
    "kinds_of",
    "load_channel",
    "task_channels_of",
]

# in this order a model has them: the first is what weights of few outcomes shrink to
CHANNELS = {
    "ngrams": "difficulty.channels.ngrams:NgramChannel",
    "tuned": "difficulty.channels.tuned:TunedChannel",
    "task guess": "difficulty.channels.task_guess:TaskGuessChannel",
    "trees": "difficulty.channels.trees:TreeChannel",
    "embedding": "difficulty.channels.embedding:EmbeddingChannel",
    "neighbours": "difficulty.channels.neighbours:NeighbourChannel",
    "length": "difficulty.channels.length:LengthChannel",
    "numbers": "difficulty.channels.numbers:NumbersChannel",
}
FloatArray = NDArray[np.float64]
Tasks: TypeAlias = Sequence[str | None]


class HeadColumns(NamedTuple):
    """What heads on a channel read in a graph: their logits are ``columns @ weights + bias``."""

    columns: Tensor
    """(batch, width)"""
    weights: FloatArray
    """(width, n_heads)"""
    bias: FloatArray
    """(n_heads,)"""
    wording: int | None = None
    """The column with the mean log share of the token pairs, above that of the rarest."""

    @property
    def logits(self) -> Tensor:
        """The heads' logits without their bias, of shape (batch, n_heads)."""
        if np.array_equal(self.weights, np.eye(*self.weights.shape)):
            return self.columns
        return self.columns @ self.weights.astype(np.float32)


class Channel:
    """A kind of vector: what never changes (``prepare``), then what is learned (``fit``).

    The defaults are those of a channel that is neither an embedding nor n-grams, learns nothing
    and reads no task; a subclass says where it differs.

    Attributes
    ----------
    name : str
        Of the kind, unique in a model.
    strength : float
        Inverse regularisation of the heads on these vectors.
    encoder : Encoder or None
        Whose embeddings it reads.
    vocabulary_size : int or None
        Number of token ids; ``None`` where any will do.
    heads : pair of LinearHead, optional
        Fitted when the channel was made, cheap first; others are fitted with the model.
    """

    name: str
    strength: float = 1.0
    encoder: Encoder | None = None
    heads: tuple[LinearHead, LinearHead | None] | None = None
    vocabulary_size: int | None = None

    reads_embeddings = False
    """Whether the first argument of the constructor is an encoder."""
    is_light = False
    """Whether early exit may read it alone: it costs no encoder, and exports the heads' logits."""
    stands_alone = True
    """Whether it knows enough of a request to count as much as others until labels say more."""
    share = 1.0
    """How much it counts beside others until labels say more."""
    earns_share = False
    """Whether it counts only where what it says out of fold is seen to go with the gain."""
    knows_gain = False
    """Whether a head of its own says the gain, in place of the difference of two probabilities."""
    knows_failures = True
    """Whether heads on it say how likely either model fails."""
    leads_tasks = False
    """Whether a model that begins with it has task columns."""
    read_with_task = False
    """Whether it says what no task does, so that it is read also beside task columns."""
    reads_numbers = False
    """Whether it reads the numbers beside the ids (``conversation.request_numbers``)."""
    reads_task_beside = False
    """Whether it reads the task only for the channels that stand beside it."""
    knows_outcomes = False
    """Whether outcomes of the fit samples shaped its vectors, but for those :meth:`unseen`."""
    fits_once = False
    """Whether what it learns holds nothing of the outcomes, so that folds need not learn anew."""

    def prepare(self, ids: Sequence[Sequence[int]], tasks: Tasks | None = None) -> Matrix:
        """Return one row a request; this is done once, folds take rows of it."""
        raise NotImplementedError

    def fit(self, prepared: Matrix) -> Any:
        """Learn from prepared rows; return the array that :meth:`transform` needs, or nothing."""
        return None

    def fit_gain(
        self, prepared: Matrix, state: Any, target: GainTarget, earlier: Any = None
    ) -> tuple[Any, LinearHead]:
        """Return the state, with what is learned of the gain, and the head that says it; asked only
        of a channel that ``knows_gain``.

        Parameters
        ----------
        prepared : array of shape (n_requests, width)
        state
            What :meth:`fit` returned.
        target : GainTarget
        earlier
            State of a fit on more requests of the same traffic, for what need not be chosen anew.
        """
        raise NotImplementedError

    def transform(self, prepared: Matrix, state: Any) -> Matrix:
        """Return the vectors that heads read, of shape (n_requests, dim)."""
        return prepared

    def stored(self, head: LinearHead, state: Any) -> LinearHead:
        """Return a fitted head as a graph keeps it, so that Python says what the graph says."""
        return head

    def settings(self) -> dict[str, Any]:
        """Return what the constructor needs beside encoder and strength, as JSON."""
        return {}

    @classmethod
    def load(cls, settings: Mapping[str, Any], encoder: Encoder | None) -> Self:
        """Return the channel of some settings, its strength among them."""
        return cls(*([encoder] if cls.reads_embeddings else []), **settings)

    @classmethod
    def from_features(
        cls, features: FeatureSettings, encoder: Encoder, tasks: Sequence[str]
    ) -> Self | None:
        """Return the channel that a recipe asks for; ``None`` where it wants none.

        By default what stands under the kind's name, there or in ``extra``, goes to :meth:`load`.

        Raises
        ------
        RecipeError
            If the constructor does not take the settings.
        """
        section = getattr(features, cls.name, None)
        settings = section.as_dict() if section else features.extra.get(cls.name)
        try:
            return None if settings is None else cls.load(settings, encoder)
        except TypeError as error:
            # Only the constructor knows which settings a kind of another package takes.
            raise RecipeError(
                f"features.extra.{cls.name} is not what it takes: {error}."
            ) from error

    def with_tasks(self, tasks: Sequence[str]) -> TaskChannel | None:
        """Return the channel with task columns that stands beside it, where there is one."""
        return None

    def beside_mean(self, tasks: Sequence[str]) -> TaskChannel | None:
        """Return the channel that says what the mean gain of a task leaves over, where there is
        one.
        """
        return None

    def embeddings(self, prepared: Matrix) -> Embeddings | None:
        """Return the unit vectors among the prepared rows, where there are some."""
        return None

    def pair_counts(self, prepared: Matrix) -> PairCounts | None:
        """Return the counts of token pairs among the prepared rows, one column a bucket."""
        return None

    def token_counts(self, prepared: Matrix) -> FloatArray | None:
        """Return the number of tokens of each prepared row, where they are counted; shape (n,)."""
        return None

    def topic_centres(self, state: Any) -> FloatArray | None:
        """Return centres of the embeddings, where that is what it learned."""
        return None

    def unseen(self, groups: Sequence[str]) -> NDArray[np.bool_]:
        """Return, for each fit sample, whether its outcomes shaped nothing here."""
        return np.ones(len(groups), dtype=np.bool_)

    def logits_unseen(
        self, ids: Sequence[Sequence[int]], groups: Sequence[str]
    ) -> tuple[FloatArray, FloatArray] | None:
        """Return logits of both outcomes of the fit samples by heads and vectors that their
        outcomes did not shape, where the channel has those ready.
        """
        return None

    def export_vectors(self, requests: RequestTensors, state: Any) -> Tensor:
        """Add to a graph what :meth:`transform` gives, float32 of shape (batch, dim)."""
        raise InvalidValueError(
            "channel",
            self.name,
            rule="be one that can be exported",
            hint="Give its class a method export_vectors.",
        )

    def export_heads(
        self,
        requests: RequestTensors,
        state: Any,
        heads: Sequence[LinearHead],
        log_share: FloatArray | None = None,
    ) -> HeadColumns:
        """Add to a graph what heads on the vectors read.

        Parameters
        ----------
        requests : RequestTensors
        state
            What :meth:`fit` returned.
        heads : sequence of LinearHead
        log_share : ndarray, optional
            Of each bucket of token pairs; a channel that counts them adds the column of their mean.
        """
        weights = np.stack([head.coefficients for head in heads], axis=1)
        bias = np.array([head.intercept for head in heads])
        return HeadColumns(self.export_vectors(requests, state), weights, bias)


def kinds_of(features: FeatureSettings) -> list[type[Channel]]:
    """Return the kinds that a recipe may use: all of this package, and those that it names.

    Raises
    ------
    UnknownNameError
        If ``features.extra`` names a kind that is not installed.
    RecipeError
        If it names one that has a section of its own.
    """
    taken = sorted(name for name in features.extra if name in CHANNELS or hasattr(features, name))
    if taken:
        raise RecipeError(
            f"features.extra is for channels of other packages: got {taken[0]!r}, which has a"
            " section of its own under features."
        )
    return [_kind(name) for name in (*CHANNELS, *sorted(features.extra))]


def channels_of(
    features: FeatureSettings,
    encoder: Encoder,
    tasks: Sequence[str] = (),
    *,
    ready: Sequence[Channel] = (),
) -> list[Channel]:
    """Return the channels of a recipe, the simplest first, those of other packages last.

    Parameters
    ----------
    features : FeatureSettings
    encoder : Encoder
    tasks : sequence of str
        Tasks to know.
    ready : sequence of Channel
        Channels that took training of their own; each takes its kind's place.

    Raises
    ------
    UnknownNameError, RecipeError
        See :func:`kinds_of`.
    """
    by_name = {channel.name: channel for channel in ready}
    channels = [
        by_name.get(kind.name) or kind.from_features(features, encoder, tasks)
        for kind in kinds_of(features)
    ]
    return [channel for channel in channels if channel]


def task_channels_of(channels: Sequence[Channel], tasks: Sequence[str]) -> list[TaskChannel]:
    """Return the channels with task columns beside some channels.

    There are none without tasks, or where the first channel cannot lead them.
    """
    if not tasks or not channels[0].leads_tasks:
        return []
    besides = [channel.with_tasks(tasks) for channel in channels]
    besides += [channel.beside_mean(tasks) for channel in channels]
    return [beside for beside in besides if beside]


def describe(channel: Channel) -> dict[str, Any]:
    """Return what :func:`load_channel` needs, as JSON.

    Raises
    ------
    RunError
        If the channel's kind is not registered, so that nobody could load it.
    """
    names = known_names(CHANNELS, kind="channel")
    if channel.name not in names:
        raise RunError(f"the channel {channel.name!r} cannot be saved. Known: {', '.join(names)}.")
    entry = {"name": channel.name, "strength": channel.strength}
    if channel.encoder:
        entry["encoder_digest"] = channel.encoder.digest
    return entry | channel.settings()


def load_channel(entry: Mapping[str, Any], encoder: Encoder | None) -> Channel:
    """Return the channel that :func:`describe` wrote of.

    Raises
    ------
    RunError
        If it reads embeddings of another encoder.
    UnknownNameError
        If its kind is not installed.
    """
    digest = entry.get("encoder_digest")
    if digest and (encoder is None or encoder.digest != digest):
        got = encoder.digest[:12] if encoder else None
        raise RunError(
            f"the model was fitted with encoder {digest[:12]}: got {got}. Restore the encoder"
            " folder."
        )
    settings = {key: entry[key] for key in entry.keys() - {"name", "encoder_digest"}}
    return _kind(entry["name"]).load(settings, encoder)


def _kind(name: str) -> type[Channel]:
    kind: type[Channel] = resolve(name, CHANNELS, kind="channel")
    if kind.name != name:  # else its settings would be looked for under another name
        raise InvalidValueError("name of a channel", kind.name, rule=f"be as registered, {name!r}")
    return kind
