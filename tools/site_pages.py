"""Bring what pages of ``docs/`` link to outside of it into the site, so that no link of it ends.

A hook of MkDocs, named in ``mkdocs.yml``: Markdown files such as ``benchmarks/README.md`` become
pages under ``source/``, other files are copied there, a folder stands for its README. Links are
turned to them. A link to a folder without a README becomes plain text.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

REPOSITORY = Path(__file__).resolve().parents[1]
DOCS = REPOSITORY / "docs"
FOLDER = "source"
"""Where in the site lies what lies outside of ``docs/``."""
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add every file that a page leads to, and what those lead to in turn."""
    waiting = [path for path in DOCS.glob("*.md")]
    added: set[str] = set()
    while waiting:
        for target in _outside(waiting.pop()):
            uri = _uri(target)
            if uri in added:
                continue
            added.add(uri)
            files.append(File.generated(config, uri, abs_src_path=str(target)))
            if target.suffix == ".md":
                waiting.append(target)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links that leave ``docs/`` to where the site has what they name."""
    uri = page.file.src_uri
    inside = uri.removeprefix(f"{FOLDER}/")
    source = (DOCS if inside == uri else REPOSITORY) / inside

    def turned(link: re.Match[str]) -> str:
        mark, text, target = link.groups()
        where, hash_, anchor = target.partition("#")
        if not where or re.match(r"[a-z]+:", where):
            return link[0]
        found = _file_of((source.parent / where).resolve())
        if found is None:
            return text
        if found.is_relative_to(DOCS) and source.is_relative_to(DOCS):
            return link[0]
        to = posixpath.relpath(_uri(found), posixpath.dirname(uri) or ".")
        return f"{mark}[{text}]({to}{hash_}{anchor})"

    return LINK.sub(turned, markdown)


def _outside(page: Path) -> list[Path]:
    """Return the files outside of ``docs/`` that a page links to."""
    targets = (target for _, _, target in LINK.findall(page.read_text(encoding="utf-8")))
    paths = (
        _file_of((page.parent / target.partition("#")[0]).resolve())
        for target in targets
        if not re.match(r"[a-z]+:|#", target)
    )
    return [path for path in paths if path is not None and not path.is_relative_to(DOCS)]


def _file_of(path: Path) -> Path | None:
    """Return the file that a link to ``path`` shows: a folder's is its README."""
    if path.is_dir():
        path = path / "README.md"
    return path if path.is_file() else None


def _uri(path: Path) -> str:
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS).as_posix()
    return f"{FOLDER}/{path.relative_to(REPOSITORY).as_posix()}"
