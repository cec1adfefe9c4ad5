"""Writing a bundle in one step, and reading it with every check done before anything is built from
it: whole, and where that is asked for, signed by somebody whom the deployment trusts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from difficulty.bundle.answer_facts import AnswerFacts
from difficulty.bundle.policy import (
    BUNDLE_FORMAT,
    UNSEALED,
    FileEntry,
    Manifest,
    Policy,
    is_sealed,
    seal,
)
from difficulty.bundle.seen import SeenFilter, read_seen
from difficulty.bundle.traffic_kinds import TrafficKinds
from difficulty.bundle.traffic_reference import TrafficReference
from difficulty.conversation.request_numbers import NUMBERS_VERSION
from difficulty.errors import BundleError, BundleNotFoundError, FieldError, InvalidValueError
from difficulty.form import Form, read_json, read_toml
from difficulty.kinds import PathKind, mistaken
from difficulty.storage import local_copy, read_bounded, whole_folder
from difficulty.text import TEXT_VIEWS, quantity_text
from difficulty.views.boilerplate import LearnedView

REQUIRED_FILES = (
    "scorer.onnx",
    "tokenizer.json",
    "policy.json",
    "golden.jsonl",
    "metrics.json",
    "card.md",
)
EARLY_GRAPH = "early.onnx"
"""The small graph of early exit, in bundles that have it."""
ANSWER_GRAPH = "answer.onnx"
"""The learned check of answers, in bundles that have it."""
ANSWER_FACTS = "answer.json"
"""What its facts were in training; beside every ``answer.onnx``."""
GOLDEN_ANSWERS = "golden_answers.jsonl"
"""Its golden vectors, where it has some."""
SEEN = "seen.bin"
"""What the bundle was made from, in bundles that tell."""
REFERENCE = "reference.json"
"""What the requests were like that it was judged by, in bundles that tell."""
KINDS = "kinds.json"
"""Kinds of requests that it was trained on, in bundles that tell."""
VIEW = "view.json"
"""What text view 2 knows of the traffic, in bundles that have it."""
SIGNATURE = "signature"
_MOST_GRAPH = 1 << 31
"""Bytes of a graph: what ONNX allows."""
_MOST_BESIDE = 1 << 28
"""Bytes of all other files together."""
_MOST_MANIFEST = 1 << 24
"""Bytes of the manifest, and of the signature."""
_COPY_OR_SHIP = "Copy the whole folder, or ship it again."
# The manifest seals itself, and the signature is made over it afterwards.
_UNHASHED = {"manifest.json", SIGNATURE}
_Form = TypeVar("_Form", bound=Form)


@dataclass(frozen=True, slots=True, repr=False)
class Bundle:
    """A bundle whose files were read once and match their hashes."""

    path: Path
    manifest: Manifest
    policy: Policy
    files: Mapping[str, bytes]
    """Content of every file but the manifest and the signature, by name."""
    manifest_bytes: bytes
    signature: bytes | None = None
    """Content of the file ``signature``; reading does not check it."""

    def __repr__(self) -> str:
        """Return its label: its files have megabytes."""
        return f"Bundle({self.label}, {quantity_text(len(self.files), 'file')})"

    @property
    def label(self) -> str:
        """``<name>-<version>``, as decisions carry it."""
        return f"{self.manifest.name}-{self.manifest.version}"

    @property
    def seen(self) -> tuple[SeenFilter, ...] | None:
        """Filters of the requests that it was made from; ``None`` where it does not tell."""
        content = self.files.get(SEEN)
        return None if content is None else read_seen(content)

    @property
    def answer_facts(self) -> AnswerFacts | None:
        """What the facts about answers were; ``None`` where it has no check of answers."""
        content = self.files.get(ANSWER_FACTS)
        return None if content is None else _parse_json(AnswerFacts, content, ANSWER_FACTS)

    @property
    def reference(self) -> TrafficReference | None:
        """What the requests were like that it was judged by; ``None`` where it does not tell."""
        content = self.files.get(REFERENCE)
        return None if content is None else _parse_json(TrafficReference, content, REFERENCE)

    @property
    def kinds(self) -> TrafficKinds | None:
        """Kinds of requests that it was trained on; ``None`` where it does not tell."""
        content = self.files.get(KINDS)
        return None if content is None else _parse_json(TrafficKinds, content, KINDS)

    @property
    def learned_view(self) -> LearnedView | None:
        """What its text view knows of the traffic; ``None`` for view 1."""
        content = self.files.get(VIEW)
        return None if content is None else _read_view(content)

    @property
    def hashes(self) -> dict[str, str]:
        """sha256 of every file but the signature, as read, in hexadecimal digits."""
        listed = {name: entry.sha256 for name, entry in self.manifest.files.items()}
        return {**listed, "manifest.json": _sha256(self.manifest_bytes)}

    @property
    def contents(self) -> dict[str, bytes]:
        """Content of every file of the folder, by name."""
        signature = {} if self.signature is None else {SIGNATURE: self.signature}
        return {**self.files, "manifest.json": self.manifest_bytes, **signature}

    def next_manifest(self, *, name: str, version: str) -> dict[str, Any]:
        """Return what :func:`write_bundle` takes for a new bundle that keeps the rest of this
        one.
        """
        return {
            # Both are computed anew when the bundle is written.
            **self.manifest.as_dict(without={"files", "sha256"}),
            "name": name,
            "version": version,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    @property
    def digest(self) -> str:
        """One hash of the whole folder, signature included."""
        signature = "" if self.signature is None else _sha256(self.signature)
        return _sha256(f"{_sha256(self.manifest_bytes)} {signature}".encode())


def write_bundle(
    folder: Path,
    files: Mapping[str, bytes],
    manifest: Mapping[str, Any],
    *,
    sign: Callable[[Path], object] | None = None,
) -> Bundle:
    """Write a bundle folder: all of it appears, or nothing.

    Parameters
    ----------
    folder : Path
        Must not exist yet: bundles are never changed in place.
    files : mapping of str to bytes
        Content of every file but the manifest; ``REQUIRED_FILES`` are among them.
    manifest : mapping
        Fields of :class:`Manifest` without ``files`` and ``sha256``.
    sign : callable, optional
        Given the finished folder before it appears under its name, to put a signature into it.

    Raises
    ------
    BundleError
        If the folder exists, a required file is missing, or a field is wrong.
    """
    if folder.exists():
        raise _exists(folder, "choose a new version")
    missing = sorted({*REQUIRED_FILES} - {*files})
    if missing:
        raise BundleError(
            f"a bundle needs the files {', '.join(REQUIRED_FILES)}: got none of"
            f" {', '.join(missing)}."
        )
    # Sorted, so that equal contents make equal manifests.
    entries = {
        name: FileEntry(sha256=_sha256(content), bytes=len(content))
        for name, content in sorted(files.items())
    }
    checked = _parse(Manifest, {**manifest, "files": entries, "sha256": UNSEALED}, "manifest.json")
    _parse_json(Policy, files["policy.json"], "policy.json")
    with whole_folder(folder, durable=True) as unfinished:
        _write_all(unfinished, {**files, "manifest.json": seal(_json_bytes(checked))})
        if sign:
            sign(unfinished)
        written = read_bundle(unfinished)  # what cannot be read back is not shipped
    return replace(written, path=folder)


def copy_bundle(bundle: Bundle, folder: Path) -> None:
    """Write a bundle that was read into a new folder, byte for byte: all of it appears, or nothing.

    Raises
    ------
    BundleError
        If the folder exists.
    """
    if folder.exists():
        raise _exists(folder, "choose another folder")
    with whole_folder(folder, durable=True) as unfinished:
        _write_all(unfinished, bundle.contents)


def _exists(folder: Path, advice: str) -> BundleError:
    return BundleError(
        f"bundle {str(folder)!r} exists already. Bundles are never overwritten: {advice}."
    )


def read_bundle(folder: str | Path) -> Bundle:
    """Read a bundle, from a folder or behind a URL, and check it: format, file list, sizes, hashes,
    policy.

    Raises
    ------
    BundleNotFoundError
        If there is no bundle at this path.
    BundleError
        If anything is damaged, missing, added or of a newer format; the message names the file.
    """
    with local_copy(folder) as copy:
        return _read_folder(copy)


def _read_folder(folder: Path) -> Bundle:
    if not (folder / "manifest.json").is_file() and (told := mistaken(folder, PathKind.BUNDLE)):
        raise BundleError(told)
    if not folder.is_dir():
        raise BundleNotFoundError(
            f"no bundle at {str(folder)!r}: expected a folder written by 'difficulty ship'."
        )
    if not (folder / "manifest.json").exists():
        raise BundleError(f"bundle {str(folder)!r} has no manifest.json. {_COPY_OR_SHIP}")
    manifest_bytes = _read_plain(folder / "manifest.json", _COPY_OR_SHIP)
    manifest = _read_manifest(manifest_bytes)
    _check_sizes(manifest)
    # From the folder's own listing, so that a name like ../x is never opened (docs/bundle.md).
    _check_names({path.name for path in folder.iterdir()}, manifest)
    # Once: the bytes that were hashed are those that are used.
    files = {name: _read_checked(folder / name, entry) for name, entry in manifest.files.items()}
    policy = _parse_json(Policy, files["policy.json"], "policy.json")
    # Policies can be written by hand: what they ask for has to be there.
    if policy.min_familiarity > 0 and "familiarity" not in manifest.outputs:
        raise BundleError(
            "policy.json asks for a min_familiarity, but this scorer has no familiarity output. Set"
            " it to 0 or train again."
        )
    if policy.early and EARLY_GRAPH not in files:
        raise BundleError(
            f"policy.json has early cut-offs, but the bundle has no {EARLY_GRAPH}. Ship the bundle"
            " again."
        )
    _check_answer_files(policy, files)
    if SEEN in files:
        read_seen(files[SEEN])
    _check_view_file(manifest, files)
    if REFERENCE in files:
        _parse_json(TrafficReference, files[REFERENCE], REFERENCE)
    if KINDS in files:
        _parse_json(TrafficKinds, files[KINDS], KINDS)
    return Bundle(
        folder, manifest, policy, files, manifest_bytes, _read_signature(folder / SIGNATURE)
    )


def _check_view_file(manifest: Manifest, files: Mapping[str, bytes]) -> None:
    if (VIEW in files) != (manifest.text_view > 1):
        raise BundleError(
            f"a bundle must have {VIEW} where its text view is 2, and there alone: text_view is"
            f" {manifest.text_view}. Ship the bundle again."
        )
    if VIEW in files:
        _read_view(files[VIEW])


def _read_view(content: bytes) -> LearnedView:
    try:
        return LearnedView.parse(content)
    except InvalidValueError as error:
        raise BundleError(f"{VIEW} cannot be read: {error} Ship the bundle again.") from error


def _check_answer_files(policy: Policy, files: Mapping[str, bytes]) -> None:
    """Refuse a policy with a check of answers that the bundle lacks, and half of a check."""
    if policy.answer and ANSWER_GRAPH not in files:
        raise BundleError(
            f"policy.json has a check of answers, but the bundle has no {ANSWER_GRAPH}. Ship the"
            " bundle again, or leave 'answer' out of the policy."
        )
    if (ANSWER_GRAPH in files) != (ANSWER_FACTS in files):
        there, lacks = (
            (ANSWER_GRAPH, ANSWER_FACTS) if ANSWER_GRAPH in files else (ANSWER_FACTS, ANSWER_GRAPH)
        )
        raise BundleError(
            f"a bundle with {there} must have {lacks} too: got none. Ship the bundle again."
        )
    if ANSWER_FACTS in files:
        _parse_json(AnswerFacts, files[ANSWER_FACTS], ANSWER_FACTS)


@dataclass(frozen=True, kw_only=True)
class Trust(Form):
    """Whose signatures a deployment accepts: said where the router runs, never in the bundle. One
    of the keys must have signed, or a certificate that leads to one of the roots.

    The files are read at every check, so that a key that is replaced or withdrawn counts from the
    next bundle on.
    """

    public_keys: tuple[Path, ...] = ()
    """PEM files of elliptic-curve public keys."""
    certificates: tuple[Path, ...] = ()
    """PEM files of root and intermediate certificates that signing certificates must lead to."""
    subjects: tuple[str, ...] = ()
    """Subjects of signing certificates, as ``CN=release,O=Example``; empty: any."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.public_keys and not self.certificates:
            raise FieldError("must name at least one of public_keys and certificates")
        if self.subjects and not self.certificates:
            raise FieldError("must hold certificates beside subjects: a key has no subject")


def load_trust(path: Path) -> Trust:
    """Read a trust file (TOML: ``public_keys``, ``certificates``, ``subjects``); its paths count
    from its own folder.

    Raises
    ------
    InvalidValueError
        If the file is missing or no TOML.
    FieldError
        If it names nobody, or holds an unknown key.
    """
    trust = Trust.parse_from(path.name, read_toml(path, "trust file"))
    here = {
        name: tuple(path.parent / file for file in getattr(trust, name))
        for name in ("public_keys", "certificates")
    }
    return replace(trust, **here)


def _read_manifest(content: bytes) -> Manifest:
    entries = _load_json(content, "manifest.json")
    number = entries.get("format") if isinstance(entries, dict) else None
    # The format first: of a newer one, no other check would say what is wrong.
    if isinstance(number, int) and number > BUNDLE_FORMAT:
        raise BundleError(
            f"bundle format {number} is newer than this runtime reads (1 to {BUNDLE_FORMAT})."
            " Upgrade difficulty or export again."
        )
    if number != BUNDLE_FORMAT:
        raise BundleError(
            f"manifest.json must name the bundle format (1 to {BUNDLE_FORMAT}): got {number!r}."
            " Ship the bundle again."
        )
    manifest = _parse(Manifest, entries, "manifest.json")
    if not is_sealed(content, manifest.sha256):
        raise BundleError(
            "bundle file manifest.json was changed: its hash is not its own. Copy the folder again,"
            " or ship it again."
        )
    if manifest.request_numbers not in (None, NUMBERS_VERSION):
        raise BundleError(
            f"request numbers {manifest.request_numbers} are not those that this runtime knows"
            f" ({NUMBERS_VERSION}). Upgrade difficulty."
        )
    if manifest.text_view not in TEXT_VIEWS:
        raise BundleError(
            f"text view {manifest.text_view} is not one this runtime knows ({list(TEXT_VIEWS)})."
            " Upgrade difficulty."
        )
    return manifest


def _check_names(names: set[str], manifest: Manifest) -> None:
    listed = {*manifest.files}
    missing = sorted(({*REQUIRED_FILES} | listed) - names)
    if missing:
        raise BundleError(
            f"bundle file {missing[0]} is missing. Copy the whole folder, or ship it again."
        )
    unlisted = sorted({*REQUIRED_FILES} - listed) + sorted(names - listed - _UNHASHED)
    if unlisted:
        raise BundleError(
            f"bundle file {unlisted[0]} is not in the manifest. Remove it, or ship the bundle"
            " again."
        )


def _check_sizes(manifest: Manifest) -> None:
    """Refuse a bundle that would fill the memory, before anything of it is read."""
    graphs = {"scorer.onnx", EARLY_GRAPH, ANSWER_GRAPH}
    sizes = {name: entry.bytes for name, entry in manifest.files.items()}
    beside = {name: size for name, size in sizes.items() if name not in graphs}
    large = [name for name in graphs if sizes.get(name, 0) > _MOST_GRAPH]
    if sum(beside.values()) > _MOST_BESIDE:
        large.append(max(beside, key=lambda name: beside[name]))
    if large:
        raise BundleError(
            f"bundle file {large[0]} is too large: a graph may have {_MOST_GRAPH:,} bytes, and all"
            f" files beside the graphs {_MOST_BESIDE:,}. Ship the bundle again."
        )


def _read_plain(path: Path, advice: str, *, most: int = _MOST_MANIFEST) -> bytes:
    """Read a file that is no link: a link may point out of the folder, and change with its aim."""
    if path.is_symlink() or not path.is_file():
        raise BundleError(f"bundle file {path.name} must be a plain file. {advice}")
    try:
        return read_bounded(path, most=most)
    except ValueError as error:
        raise BundleError(f"bundle file {path.name} is too large: {error}. {advice}") from error


def _read_checked(path: Path, entry: FileEntry) -> bytes:
    # By its size first: a file that grew is not read to its end.
    is_whole = path.is_symlink() or not path.is_file() or path.stat().st_size == entry.bytes
    content = _read_plain(path, _COPY_OR_SHIP, most=entry.bytes) if is_whole else b""
    if len(content) != entry.bytes or _sha256(content) != entry.sha256:
        raise BundleError(
            f"bundle file {path.name} was changed: its hash is not the manifest's. Copy the folder"
            " again, or ship it again."
        )
    return content


def _read_signature(path: Path) -> bytes | None:
    if not path.is_symlink() and not path.exists():  # a link to nothing is not nothing
        return None
    return _read_plain(path, "Copy the whole folder, or sign the bundle again.")


def _parse_json(kind: type[_Form], content: bytes, name: str) -> _Form:
    return _parse(kind, _load_json(content, name), name)


def _load_json(content: bytes, name: str) -> Any:
    try:
        return read_json(content)
    except ValueError as error:
        raise BundleError(
            f"{name} is not valid JSON ({error}). Copy the folder again, or ship it again."
        ) from error


def _parse(kind: type[_Form], content: Any, name: str) -> _Form:
    return kind.parse_from(name, content, error=BundleError, advice="Ship the bundle again.")


def _json_bytes(record: Form) -> bytes:
    return (json.dumps(record.as_dict(), indent=2, ensure_ascii=False) + "\n").encode()


def _write_all(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
