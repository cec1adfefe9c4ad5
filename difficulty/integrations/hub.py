"""The Hugging Face Hub: bundles as model repositories, traffic as data set repositories.

    push("bundles/support-1", "acme/support")       # and its card as the page
    pull_bundle("acme/support", "bundles/support-1", revision="9f2c...")

Another address than huggingface.co is named by ``HF_ENDPOINT``, or ``endpoint=``. What is pulled is
checked like any bundle: hashes, and with ``trust`` its signature.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

from difficulty import __version__
from difficulty.bundle import Bundle, Trust
from difficulty.bundle.store import copy_bundle
from difficulty.bundle.trusted import read_trusted
from difficulty.errors import InvalidValueError, MissingExtraError, RegistryError
from difficulty.kinds import PathKind, kind_of
from difficulty.storage import refuse_existing

try:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError
except ImportError as error:  # pragma: no cover - installed without the extra
    raise MissingExtraError("the Hub", package="huggingface_hub", extra="hub") from error

Kind = Literal["bundle", "traffic"]

_REPOSITORIES: Mapping[Kind, str] = {"bundle": "model", "traffic": "dataset"}
_PAGE, _TRAFFIC = "README.md", "traffic.parquet"
# What the Hub and its library put beside our files.
_NOT_OURS = (_PAGE, ".gitattributes", ".cache")


class Pushed(NamedTuple):
    """What was pushed, and where."""

    url: str
    commit: str
    """Pull by it, and nobody can put another bundle in its place."""


def push(
    path: str | Path,
    repository: str,
    *,
    private: bool = True,
    message: str | None = None,
    trust: Trust | None = None,
    token: str | None = None,
    endpoint: str | None = None,
) -> Pushed:
    """Push a bundle, or traffic, to a repository, which is made where there is none.

    Parameters
    ----------
    path : str or Path
        A bundle folder, which is checked first, or a file that ``ingest`` wrote. Traffic holds the
        texts of requests; a bundle holds none.
    repository : str
        ``owner/name``.
    private : bool, default True
        Whether a repository that is made is private; one that is there stays as it is.
    message : str, optional
        Of the commit.
    trust : Trust, optional
        Whose signature a bundle must bear.
    token, endpoint : str, optional
        Default: what ``huggingface_hub`` finds in the environment.

    Returns
    -------
    Pushed

    Raises
    ------
    BundleError
        If the bundle fails a check; nothing is sent.
    InvalidValueError
        If the path is neither.
    RegistryError
        If the Hub refuses or does not answer.
    """
    place, account = Path(path), _Account(token, endpoint)
    if kind_of(place) is PathKind.BUNDLE:
        bundle = read_trusted(place, trust)
        files: dict[str, bytes | Path] = {**bundle.contents}
        files[_PAGE] = write_model_page(bundle).encode("utf-8")
        said = message or f"Bundle {bundle.label}"
        return _commit("bundle", repository, files, said, account, private=private)
    if place.is_file() and place.suffix == ".parquet":
        files = {_TRAFFIC: place, _PAGE: _write_traffic_page().encode("utf-8")}
        said = message or f"Traffic {place.name}"
        return _commit("traffic", repository, files, said, account, private=private)
    rule = "be a bundle folder, or a traffic file that 'difficulty ingest' wrote"
    raise InvalidValueError("path", str(path), rule=rule)


def pull_bundle(
    repository: str,
    out: str | Path,
    *,
    revision: str | None = None,
    trust: Trust | None = None,
    token: str | None = None,
    endpoint: str | None = None,
) -> Bundle:
    """Pull a bundle into a new folder: all of it appears, checked, or nothing.

    Parameters
    ----------
    out : str or Path
        Must not exist yet.
    revision : str, optional
        Commit, tag or branch; default: the newest. A commit alone names one bundle for good.
    trust : Trust, optional
        Whose signature the bundle must bear.

    Raises
    ------
    BundleError
        If what came fails a check, ``SignatureError`` if its signature does.
    RegistryError
        If there is no such repository, or the Hub does not answer.
    """
    folder = Path(out)
    refuse_existing(folder)
    with _snapshot("bundle", repository, revision, _Account(token, endpoint)) as came:
        bundle = read_trusted(came, trust)
        copy_bundle(bundle, folder)
    return bundle


def pull_traffic(
    repository: str,
    out: str | Path,
    *,
    revision: str | None = None,
    token: str | None = None,
    endpoint: str | None = None,
) -> Path:
    """Pull traffic into a new file, and return its path; arguments and errors as of
    :func:`pull_bundle`.
    """
    path = Path(out)
    refuse_existing(path)
    with _snapshot("traffic", repository, revision, _Account(token, endpoint)) as came:
        if not (came / _TRAFFIC).is_file():
            raise RegistryError(
                f"the data set {repository!r} has no {_TRAFFIC}. Push traffic by"
                " difficulty.integrations.hub.push."
            )
        shutil.move(came / _TRAFFIC, path)
    return path


def write_model_page(bundle: Bundle) -> str:
    """Return the page of a bundle's repository: what the Hub reads at its head, then the bundle's
    own card, then how to use it.
    """
    head = [
        "---",
        "library_name: difficulty",
        "pipeline_tag: text-classification",
        "tags: [difficulty, llm-routing, onnx]",
        f"difficulty_bundle: {bundle.label}",
        f"difficulty_digest: {bundle.digest}",
        "---",
        "",
    ]
    card = bundle.files["card.md"].decode("utf-8", "replace").rstrip()
    use = [
        "",
        "## Use",
        "",
        "```python",
        "from difficulty.integrations.hub import pull_bundle",
        "from difficulty.runtime import Router",
        "",
        f'pull_bundle("OWNER/NAME", "{bundle.label}")',
        f'Router.load("{bundle.label}").decide("Which label fits: invoice or complaint?").route',
        "```",
        "",
        f"Pushed by difficulty {__version__}.",
    ]
    return "\n".join([*head, card, *use]) + "\n"


def _write_traffic_page() -> str:
    return (
        "---\n"
        "tags: [difficulty, llm-routing]\n"
        f"configs:\n- config_name: default\n  data_files: {_TRAFFIC}\n"
        "---\n\n"
        "# Labelled traffic\n\n"
        "Requests with what a cheap and a frontier model made of them, as `difficulty ingest`"
        " writes them. It holds the texts of requests: keep it as private as they are.\n"
    )


class _Account(NamedTuple):
    """How the Hub is reached."""

    token: str | None
    endpoint: str | None


def _commit(
    kind: Kind,
    repository: str,
    files: Mapping[str, bytes | Path],
    message: str,
    account: _Account,
    *,
    private: bool,
) -> Pushed:
    api, repo_type = HfApi(endpoint=account.endpoint, token=account.token), _REPOSITORIES[kind]
    with _told(repository):
        api.create_repo(repository, repo_type=repo_type, private=private, exist_ok=True)
        there = api.list_repo_files(repository, repo_type=repo_type)
        # A bundle is its files and no more: what another version had must go.
        operations: list[Any] = [
            CommitOperationDelete(name)
            for name in there
            if name not in files and name not in _NOT_OURS and "/" not in name
        ]
        operations += [CommitOperationAdd(name, content) for name, content in files.items()]
        commit = api.create_commit(
            repository, operations, commit_message=message, repo_type=repo_type
        )
    return Pushed(str(commit.commit_url), str(commit.oid))


@contextmanager
def _snapshot(
    kind: Kind, repository: str, revision: str | None, account: _Account
) -> Iterator[Path]:
    """Give a folder with a repository's files, those of the Hub itself left out."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "came"
        with _told(repository):
            snapshot_download(
                repository,
                repo_type=_REPOSITORIES[kind],
                revision=revision,
                local_dir=folder,
                token=account.token,
                endpoint=account.endpoint,
                ignore_patterns=list(_NOT_OURS),
            )
        shutil.rmtree(folder / ".cache", ignore_errors=True)  # the library's own notes
        yield folder


@contextmanager
def _told(repository: str) -> Iterator[None]:
    """Put what the Hub says into one sentence."""
    try:
        yield
    except (HfHubHTTPError, OSError, ValueError) as error:
        said = " ".join(str(error).split())[:300]
        raise RegistryError(
            f"the Hub did not do it for {repository!r}: {said}. Check the name and the token"
            " (hf auth login), or HF_ENDPOINT."
        ) from error
