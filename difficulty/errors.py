"""Every error this package raises on purpose.

``DifficultyError`` is the root. A leaf is also the builtin its caller would expect, so ``except
ValueError`` keeps working. Messages say four things: the subject, the rule, what came, the next
step. The command line prints them as they are and exits with ``exit_code``: 2 for bad input, 1
where the input was fine and the answer is no.
"""

from __future__ import annotations

from collections.abc import Iterable

_LONGEST = 1_500  # characters of a message; its end says what to do
_KINDS: dict[type, str] = {
    bool: "true or false",
    dict: "an object",
    float: "a number",
    int: "a number",
    list: "a list",
    str: "a text",
    type(None): "null",
}


class DifficultyError(Exception):
    """Root of every error raised on purpose. Its message is cut in the middle where a file or a
    library made it long.
    """

    exit_code = 2

    def __str__(self) -> str:
        told = super().__str__()
        if len(told) <= _LONGEST:
            return told
        half = _LONGEST // 2
        return f"{told[:half]} [... {len(told) - 2 * half:,} characters ...] {told[-half:]}"


class InvalidValueError(DifficultyError, ValueError):
    """A value breaks the rule of its field."""

    def __init__(self, subject: str, value: object, *, rule: str, hint: str = "") -> None:
        # By repr, so that "1" and 1 look different.
        super().__init__(
            f"{subject} must {rule}: got {_repr(value)}." + (f" {hint}" if hint else "")
        )


def _repr(value: object) -> str:
    try:
        return repr(value)
    except ValueError:  # Python spells no whole number of more than 4,300 digits
        return "a number of thousands of digits"


class RequestError(InvalidValueError):
    """A part of a request is not what it must be. The message names the kind of what came and
    never its content: requests are the users' own.
    """

    def __init__(self, subject: str, value: object, *, rule: str) -> None:
        # Past the parent, which would show the value.
        Exception.__init__(self, f"{subject} must {rule}: got {name_kind(value):.60}.")


def name_kind(value: object) -> str:
    """Return what a value is in JSON's words; of what JSON has not, its class's name."""
    return _KINDS.get(type(value)) or type(value).__name__


def tell_json_fault(error: Exception) -> str:
    """Return why a text is no JSON, in words of people and without a word of the text.

    Parameters
    ----------
    error : Exception
        What ``json`` raised, or the decoding of the text: ``ValueError`` or ``RecursionError``.
    """
    if isinstance(error, UnicodeDecodeError):
        came = error.object[error.start]
        return f"it is no UTF-8, from byte {came:#04x} at position {error.start} on"
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    line, column = getattr(error, "lineno", None), getattr(error, "colno", None)
    if line is None:
        return "a number is too large, or none"  # of thousands of digits, NaN, 1e999
    document = getattr(error, "doc", "")
    # Of one line it would say nothing, and most come from a file with lines of its own.
    place = (
        f"at line {line}, column {column}"
        if "\n" in document.rstrip()
        else f"at character {column}"
    )
    if str(error).startswith("Extra data"):
        return f"it ends {place}, and more follows"
    if not document.strip():
        return "it is empty"
    is_cut = not document[getattr(error, "pos", 0) :].strip() or "Unterminated" in str(error)
    return "it ends too soon" if is_cut else f"it breaks {place}"


class FieldError(DifficultyError, ValueError):
    """A field of a file is missing, unknown, or of a value that is not allowed.

    Parameters
    ----------
    problem : str
        What is wrong, without the field's name: ``must be a number: got 'much'``.
    where : tuple
        Names and positions that lead to the field; empty where the whole is wrong.
    file : str, optional
        Name of the file, where known.
    advice : str, optional
        What to do about it, as a sentence.
    """

    def __init__(
        self, problem: str, *, where: tuple[object, ...] = (), file: str = "", advice: str = ""
    ) -> None:
        field = ".".join(map(str, where))
        subject = f"{file}: {field}" if file and field else field or file or "content"
        super().__init__(f"{subject} {problem}.{advice and f' {advice}'}")
        self.problem = problem
        self.where = where

    def inside(self, name: object) -> FieldError:
        """Return the error as seen from around ``name``."""
        return FieldError(self.problem, where=(name, *self.where))


class UnknownNameError(DifficultyError, ValueError):
    """A name that no registry knows."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        from difflib import get_close_matches  # here, as only a refusal needs it

        names = sorted(known)
        near = get_close_matches(name, names, n=1, cutoff=0.7)
        meant = f", perhaps {near[0]!r} is meant" if near else ""
        super().__init__(f"unknown {kind} {name!r}{meant}. Known: {', '.join(names) or 'none'}.")


class OutputExistsError(DifficultyError, FileExistsError):
    """Something is already where a command would write."""


class RecipeError(DifficultyError, ValueError):
    """A recipe file cannot be read or holds a key or value that is not allowed."""


class TrafficError(DifficultyError, ValueError):
    """Labelled traffic cannot be used as it is."""


class TrafficNotFoundError(TrafficError, FileNotFoundError):
    """A traffic file or folder does not exist."""


class TooFewSamplesError(TrafficError):
    """The traffic holds too few samples, or too few of one outcome, for what was asked."""


class SeenTrafficError(TooFewSamplesError):
    """Nothing is left of the traffic that the scorer did not learn from."""

    exit_code = 1


class UndefinedMetricError(DifficultyError, ValueError):
    """A metric has no value on this input, for example AUROC with one class."""


class EncoderError(DifficultyError, ValueError):
    """An encoder folder is missing, damaged or of an unknown format."""


class EncoderNotFoundError(EncoderError, FileNotFoundError):
    """No encoder of that name, in no folder and not on the Hub."""


class RunError(DifficultyError, ValueError):
    """A run folder is missing, damaged or of an unknown version."""


class BundleError(DifficultyError, ValueError):
    """A bundle is damaged, incomplete or of an unknown version."""


class BundleNotFoundError(BundleError, FileNotFoundError):
    """There is no bundle at this path."""


class LogError(DifficultyError, ValueError):
    """A decision log cannot be read, or is of an unknown format."""


class SignatureError(BundleError):
    """A bundle is not signed by whom a deployment trusts, or is not what was signed."""


class SigningKeyError(DifficultyError, ValueError):
    """A key or certificate file cannot be used; the message never holds what is in it."""


class RegistryError(DifficultyError, ValueError):
    """A registry cannot be used, or does not hold what was asked for."""


class PromotedMeanwhileError(RegistryError):
    """Another process changed the champion first."""

    exit_code = 1

    def __init__(self, name: str, *, expected: int | None, found: int | None) -> None:
        was, now = (f"version {number}" if number else "none" for number in (expected, found))
        super().__init__(
            f"the champion of {name!r} is {now} by now, and was {was} when this began. Nothing was"
            " changed: promote again."
        )


class StorageError(DifficultyError, OSError):
    """A file or folder behind a URL cannot be read or written."""


class StorageNotFoundError(StorageError, FileNotFoundError):
    """Nothing lies at a URL."""


class ScoringError(DifficultyError, ValueError):
    """A request cannot be scored, for example because it holds no text."""


class TrackingError(DifficultyError):
    """The store that runs are recorded in cannot be used."""


class EngineError(DifficultyError, RuntimeError):
    """Workers that a job is spread over cannot be had, or are lost again and again."""


class MissingExtraError(DifficultyError, ImportError):
    """A package that this job needs is not installed; ``extra`` is ``None`` where no extra of ours
    has it.
    """

    def __init__(self, job: str, *, package: str, extra: str | None) -> None:
        command = f"pip install {package}" if extra is None else install_command(extra)
        super().__init__(
            f"{job} needs the package {package!r}, which is not installed. Run: {command}"
        )


class UnsupportedSystemError(DifficultyError, RuntimeError):
    """A job needs what POSIX systems alone have; no package brings it."""

    def __init__(self, job: str, *, module: str) -> None:
        import sys

        super().__init__(
            f"{job} needs {module!r}, which Linux and macOS have and {sys.platform} has not. Run it"
            " there, or in a container or WSL."
        )


def install_command(extra: str) -> str:
    """Return the command that adds an extra to this installation, from where it came: the checkout
    it runs from, the wheel or repository it was installed from, else the index.
    """
    # Here: routers import this module, and are seldom told to install something.
    import json
    from importlib.metadata import PackageNotFoundError, distribution
    from pathlib import Path

    checkout = Path(__file__).resolve().parents[1]
    if (checkout / "pyproject.toml").is_file() and (checkout / "pipelines").is_dir():
        place = "." if checkout == Path.cwd() else str(checkout)
        return f"pip install -e {_quoted(f'{place}[{extra}]')}"
    try:
        origin = json.loads(distribution("difficulty").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        origin = {}
    url = origin.get("url", "")
    if url and "vcs_info" in origin:
        url = f"{origin['vcs_info']['vcs']}+{url}@{origin['vcs_info']['commit_id']}"
    return (
        f"pip install {_quoted(f'difficulty[{extra}] @ {url}' if url else f'difficulty[{extra}]')}"
    )


def _quoted(text: str) -> str:
    import shlex

    # Brackets are a pattern to zsh: quoted whatever else stands there.
    return shlex.quote(text) if "'" in text else f"'{text}'"


def in_python(message: str) -> str:
    """Return a message as somebody at a prompt reads it: options are keyword arguments there.

    ``Pass --teacher RUN`` becomes ``Pass teacher=RUN``, ``insist with --allow-no-signal`` becomes
    ``insist with allow_no_signal=True``; a command that is spelt out stays a command.
    """
    import re  # routers import this module, and say nothing to a prompt

    # A command, in quotes, in brackets or after "Run:", or an option with what follows it.
    parts = re.compile(
        r"(?P<command>'difficulty [^']*'|\(difficulty [^)]*\)|\bRun: [^;]*"
        r"|\bdifficulty [a-z-]+ [A-Z-].*)"
        r"|(?<![\w-])--(?P<option>[a-z][a-z0-9-]*)"
        r"(?P<value> (?:(?:N|X|[A-Z]{2,})\b|[0-9][0-9.]*(?=[\s,;:)])|[a-z_]+=[0-9.]*[0-9]"
        r"|off\b|auto\b))?"
    )

    def said(part: re.Match[str]) -> str:
        if part["command"]:
            return part["command"]
        name, value = part["option"], (part["value"] or "").strip()
        if name in _OTHERWISE:
            return _OTHERWISE[name].format(value=value or "...")
        argument = name.replace("-", "_")
        if name in _SWITCHES:
            return f"{argument}=True"
        if not value:
            return argument
        is_text = not value.isupper() and not value[0].isdigit()
        return f'{argument}="{value}"' if is_text else f"{argument}={value}"

    return parts.sub(said, message)


_SWITCHES = {"accept-selection-bias", "allow-no-signal", "allow-rejects", "keep-rule", "per-task"}
_OTHERWISE = {
    "no-rule": 'policy={{"easy_tasks": [], "hard_tasks": []}}',
    "min-familiarity": 'policy={{"min_familiarity": {value}}}',
    "max-cheap-tokens": 'policy={{"max_cheap_tokens": {value}}}',
    "catch-rate": 'policy={{"catch_rate": {value}}}',
    "easy-task": 'policy={{"easy_tasks": [...]}}',
    "hard-task": 'policy={{"hard_tasks": [...]}}',
    "cheap-model": "models=(cheap, frontier)",
    "frontier-model": "models=(cheap, frontier)",
    "no-seen": "seen=False",
    "no-early": "early=False",
    "map": "columns",
}
"""Options whose argument has another name."""


class NoSignalError(DifficultyError):
    """The score does no better than chance could, so routing by it is routing at random."""

    exit_code = 1


class LosingRuleError(DifficultyError):
    """A task of the rule costs quality that the score would have for the same money."""

    exit_code = 1


class NotAttainableError(DifficultyError):
    """The objective cannot be reached on this traffic; the nearest attainable point is in the
    message.
    """

    exit_code = 1


class ParityError(DifficultyError):
    """The exported graph does not reproduce the Python model closely enough to be shipped."""

    exit_code = 1
