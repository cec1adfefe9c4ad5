"""A router that follows a bundle: it takes up a new one without a restart, and keeps the old one
when anything about the new one is wrong.

A new bundle is checked in full (hashes, signature where one is required, golden vectors on this
machine) before the first request sees it, in a process of its own with a limit of time and memory
(:mod:`difficulty.runtime.probe`); then one reference is replaced. Requests under way finish
with the bundle they began with, and every decision names the bundle that made it. What is compared
between two looks is what the folder is, never which time came first, so clocks may be set back.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from difficulty.bundle import Bundle, Policy
from difficulty.bundle.store import Trust
from difficulty.bundle.trusted import read_trusted
from difficulty.errors import BundleError, BundleNotFoundError, InvalidValueError
from difficulty.needs import Needs
from difficulty.request import Messages, Request
from difficulty.routes import Held
from difficulty.runtime.answer_checker import Answering, Asking
from difficulty.runtime.answers import AnswerVerdict
from difficulty.runtime.decision import Decision
from difficulty.runtime.golden import checked_router
from difficulty.runtime.probe import Limits, try_out
from difficulty.runtime.router import Router
from difficulty.text import one_line

if TYPE_CHECKING:
    from difficulty.runtime.explaining import Explanation

logger = logging.getLogger("difficulty.runtime")

# A bundle that was refused is looked at again after this, unchanged: what was wrong may have been
# around it, as a key file.
_RETRY_S = 60.0
_LONGEST_POINTER = 4096


class ReloadingRouter:
    """Decide as a :class:`Router` does, always by the newest bundle that passed every check.

    Safe to use from several threads. The thread that follows is begun by :meth:`start` and ends
    with the process; without it, call :meth:`look` where it suits.

    Parameters
    ----------
    locate : callable
        Returns the folder of the bundle to use now; called at every look, so it should be quick
        when nothing is new.
    interval_s : float
        Seconds between two looks.
    threads : int
        Threads ONNX Runtime may use for one request.
    trust : Trust, optional
        Whose signature every bundle must bear.
    limits : Limits, optional
        What trying out a new bundle may take; default: 60 s, 2 GiB and eight times its size.

    Raises
    ------
    BundleError
        If the first bundle fails a check: there is no old one to keep.

    Examples
    --------
    >>> with ReloadingRouter(follow_path("bundles/current")) as router:  # doctest: +SKIP
    ...     router.decide("What are your opening hours?").bundle_version
    'support-2'
    """

    def __init__(
        self,
        locate: Callable[[], Path],
        *,
        interval_s: float = 5.0,
        threads: int = 1,
        trust: Trust | None = None,
        limits: Limits | None = None,
    ) -> None:
        if not interval_s > 0:
            raise InvalidValueError("interval_s", interval_s, rule="be a number of seconds above 0")
        self.interval_s, self.threads, self.trust = interval_s, threads, trust
        self.limits = limits or Limits()
        self.switches = 0
        """How often another bundle was taken up."""
        self.refused = 0
        """How often a new bundle, or none where one was expected, was not taken up."""
        self.last_error: str | None = None
        """Why the bundle that is followed is not the one that decides; ``None`` where it is."""
        self._locate = locate
        self._checking = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._past_errors = 0
        self._past_untaken = 0
        self._refused = _Refused()
        folder = locate()
        # Before it is read: what changes in between is seen as new at the first look.
        self._mark = _take_mark(folder)
        bundle = read_trusted(folder, trust)
        self._router = checked_router(bundle, threads=threads)
        self._digest = bundle.digest

    @property
    def current(self) -> Router:
        """The router that decides now: take it once where answers must be of one bundle."""
        return self._router

    @property
    def version(self) -> str:
        """``<name>-<version>`` of the bundle that decides now."""
        return self._router.version

    @property
    def policy(self) -> Policy:
        """Policy of the bundle that decides now."""
        return self._router.policy

    @property
    def scorer_errors(self) -> int:
        """Requests that could not be scored, by any bundle so far."""
        return self._past_errors + self._router.scorer_errors

    @property
    def untaken(self) -> int:
        """Requests that neither model could take, by any bundle so far."""
        return self._past_untaken + self._router.untaken

    def decide(
        self,
        messages: Messages,
        task: str | None = None,
        *,
        tokens: int | None = None,
        tools: object = None,
        checked: bool = True,
        held: Held | None = None,
        needs: Needs | None = None,
    ) -> Decision:
        """Return the decision for one request, see :meth:`Router.decide`."""
        return self._router.decide(
            messages, task, tokens=tokens, tools=tools, checked=checked, held=held, needs=needs
        )

    def decide_many(self, requests: Iterable[Request]) -> list[Decision]:
        """Return the decisions for many requests, in order, all by one bundle."""
        return self._router.decide_many(requests)

    async def adecide(
        self,
        messages: Messages,
        task: str | None = None,
        *,
        tokens: int | None = None,
        tools: object = None,
        checked: bool = True,
        held: Held | None = None,
        needs: Needs | None = None,
    ) -> Decision:
        """Return a decision without blocking the event loop, see :meth:`Router.adecide`."""
        return await self._router.adecide(
            messages, task, tokens=tokens, tools=tools, checked=checked, held=held, needs=needs
        )

    def explain(
        self,
        messages: Messages,
        task: str | None = None,
        *,
        tokens: int | None = None,
        tools: object = None,
        checked: bool = True,
        held: Held | None = None,
        needs: Needs | None = None,
    ) -> Explanation:
        """Return why a request is decided as it is, see :meth:`Router.explain`."""
        return self._router.explain(
            messages, task, tokens=tokens, tools=tools, checked=checked, held=held, needs=needs
        )

    def consider(self, request: Request) -> Decision:
        """Return the decision without counting or logging it."""
        return self._router.consider(request)

    def check(
        self,
        request: Asking,
        answer: Answering,
        decision: Decision | None = None,
        *,
        task: str | None = None,
    ) -> AnswerVerdict:
        """Return the verdict on a cheap answer, see :meth:`Router.check`."""
        return self._router.check(request, answer, decision, task=task)

    async def acheck(
        self,
        request: Asking,
        answer: Answering,
        decision: Decision | None = None,
        *,
        task: str | None = None,
    ) -> AnswerVerdict:
        """Return a verdict without blocking the event loop, see :meth:`Router.acheck`."""
        return await self._router.acheck(request, answer, decision, task=task)

    def look(self) -> bool:
        """Look at once, also at what was refused; return whether another bundle decides now."""
        with self._checking:
            return self._look(patient=False)

    def start(self) -> Self:
        """Begin to follow in a thread; in servers that fork, call it in each worker."""
        if self._thread is None or not self._thread.is_alive():
            self._stopping.clear()
            self._thread = threading.Thread(
                target=self._follow, name="difficulty-reload", daemon=True
            )
            self._thread.start()
        return self

    def stop(self) -> None:
        """End the thread; the bundle that decides stays."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _follow(self) -> None:
        while not self._stopping.wait(self.interval_s):
            with self._checking:
                self._look(patient=True)

    def _look(self, *, patient: bool) -> bool:
        """Take up what is new; whatever goes wrong, the bundle that decides goes on deciding."""
        mark: Hashable = None
        try:
            folder = self._locate()
            mark = _take_mark(folder)
            if mark == self._mark:
                self.last_error, self._refused = None, _Refused()
                return False
            if patient and self._refused.is_recent(mark):
                return False
            return self._take_up(folder, mark)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic of a Rust library is no Exception
            self._refuse(mark, one_line(f"{error!s:.500}") or type(error).__name__)
            return False

    def _take_up(self, folder: Path, mark: Hashable) -> bool:
        bundle = read_trusted(folder, self.trust)
        is_new = bundle.digest != self._digest
        if is_new:
            # Elsewhere first: a graph that never ends would hold up every later bundle.
            try_out(bundle, self.limits)
            self._switch(bundle, Router.from_bundle(bundle, threads=self.threads))
        self._mark, self.last_error, self._refused = mark, None, _Refused()
        return is_new

    def _switch(self, bundle: Bundle, router: Router) -> None:
        old, self._router = self._router, router  # one reference, so no request waits for a lock
        self._digest = bundle.digest
        self._past_errors += old.scorer_errors
        self._past_untaken += old.untaken
        self.switches += 1
        logger.info("bundle %s decides now, in place of %s", router.version, old.version)

    def _refuse(self, mark: Hashable, reason: str) -> None:
        """Remember why; say it once, not at every look."""
        if reason != self.last_error or mark != self._refused.mark:
            self.refused += 1
            logger.warning(
                "bundle %s goes on deciding, the new one was refused: %s", self.version, reason
            )
        self.last_error, self._refused = reason, _Refused(mark, time.monotonic())


class _Refused(NamedTuple):
    """What was refused last, and when by the monotonic clock."""

    mark: Hashable = None
    at_s: float = 0.0

    def is_recent(self, mark: Hashable) -> bool:
        return mark == self.mark and time.monotonic() - self.at_s < _RETRY_S


def follow_path(path: str | Path) -> Callable[[], Path]:
    """Return what finds a bundle by a path.

    Parameters
    ----------
    path : str or Path
        A bundle folder, a link to one, or a file of one line that names one, from the file's own
        folder where it is relative. To switch versions, replace the link or the file in one step
        (``mv`` over the old one).
    """
    followed = Path(path)

    def locate() -> Path:
        folder = followed.parent / _read_pointer(followed) if followed.is_file() else followed
        if not folder.is_dir():
            raise BundleNotFoundError(
                f"no bundle at {str(folder)!r}: expected a folder written by 'difficulty ship'."
            )
        # Of a link that is replaced meanwhile, all files then come from one of its two targets.
        return folder.resolve()

    return locate


def _read_pointer(file: Path) -> str:
    with file.open("rb") as opened:
        content = opened.read(_LONGEST_POINTER + 1)
    lines = content.decode(errors="replace").split("\n")
    if (
        not lines[0].strip()
        or len(content) > _LONGEST_POINTER
        or any(line.strip() for line in lines[1:])
    ):
        raise BundleError(
            f"{str(file)!r} must be a bundle folder, or hold one line with the path of one: it is"
            " neither."
        )
    return lines[0].strip()


def _take_mark(folder: Path) -> Hashable:
    """Return what changes when the folder or a file in it is replaced or written to."""
    stats = [(path.name, path.lstat()) for path in sorted(folder.iterdir())]
    return str(folder), tuple(
        (name, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        for name, stat in stats
    )
