"""Mutated files: each is refused in a sentence with exit code 2, or is still one; never a
traceback, and exit code 1 only where a command judged what it could read.
"""

import contextlib
import io
import random
import shutil
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from difficulty.bundle import read_bundle
from difficulty.bundle.folder_registry import FolderRegistry
from difficulty.bundle.signature import SigningKey, sign_bundle
from difficulty.bundle.store import Trust, load_trust
from difficulty.cli import main
from difficulty.economics import load_price_list
from difficulty.errors import DifficultyError
from difficulty.gateway.log import DecisionLog
from difficulty.gateway.log_files import JsonLinesSink, read_log
from difficulty.recipe import load_recipe
from difficulty.request import read_requests
from difficulty.stages.judging import shipped_figures
from difficulty.stages.verify import verify
from tests.attack.conftest import sized
from tests.attack.mutations import mutated
from tests.attack.workers import attack
from tests.conftest import REPOSITORY
from tests.events import event_of
from tests.stages.test_damaged import reseal
from tests.versions import SAVED

JUDGING = {"verify", "thresholds", "train", "economics"}
"""Commands that also say no."""
LONGEST_MESSAGE = 2_000
SEALED = ("policy.json", "golden.jsonl", "metrics.json", "tokenizer.json", "card.md")
CARELESS = 25
"""One in so many files that were read is also given to its command, and one in five that were
refused.
"""


class Kind(NamedTuple):
    """A kind of file: what is damaged, who reads it, and the command that is given it."""

    source: Path
    put: Callable[[bytes], None]
    read: Callable[[], object]
    command: tuple
    is_needed: bool = True
    """Whether the command refuses what the reader refuses: some pass over lines, or need no
    figures.
    """


def damage(findings, folder, *, counts, seed, traffic):
    """Read mutations of some kinds of file, so many of each."""
    victims = kinds(folder, Path(traffic))
    for kind, count in counts.items():
        rng, victim = random.Random(f"{seed} {kind}"), victims[kind]
        content = victim.source.read_bytes()
        victim.put(content)
        victim.read()  # the file as it was is one
        for number in range(count):
            findings.counts["cases"] += 1
            changed = mutated(content, rng)
            victim.put(changed)
            with findings.case(f"{kind} {number} of seed {seed}", cpu_s=60.0):
                refused = read(victim, findings, kind)
                if rng.randrange(5 if refused else CARELESS) == 0:
                    run(victim.command, refused and victim.is_needed, findings)


def read(victim, findings, kind):
    """Return whether the reader refuses the file."""
    try:
        victim.read()
    except DifficultyError as error:
        findings.counts["refused"] += 1
        if error.exit_code != 2 or len(str(error)) > LONGEST_MESSAGE:
            findings.fault("exit code 1 or a long message", f"{kind} {len(str(error))} {error}")
        return True
    except BaseException:
        findings.fault(f"{kind} raised", traceback.format_exc()[-450:])
        return True
    return False


def run(words, refused, findings):
    """Run a command in this process."""
    findings.counts["commands"] += 1
    out, err, code = io.StringIO(), io.StringIO(), 0
    before, sys.argv = sys.argv, ["difficulty", *map(str, words)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as stopped:
        code = stopped.code or 0
    except BaseException:
        findings.fault("tracebacks", f"{words[0]}: {traceback.format_exc()[-450:]}")
        return
    finally:
        sys.argv = before
    allowed = {2} if refused else {0, 1, 2} if words[0] in JUDGING else {0, 2}
    if code not in allowed or "\x1b[2J" in out.getvalue() + err.getvalue():
        findings.fault("wrong exit codes", f"{words[0]} {code}: {err.getvalue()[-300:]}")


def kinds(folder, traffic):
    """Return every kind of file by name; those of a bundle are sealed anew, as a forger would."""
    bundle = shutil.copytree(SAVED, folder / "words-1")
    signed = shutil.copytree(SAVED, folder / "signed-1")
    file, out = folder / "in", folder / "out"
    made = {
        "recipe": _toml(
            REPOSITORY / "pipelines" / "fast.toml",
            folder,
            load_recipe,
            lambda path: ("train", traffic, "--recipe", path, "-o", out),
        ),
        "price list": _toml(
            REPOSITORY / "data" / "prices.example.toml",
            folder,
            load_price_list,
            lambda path: (
                *("economics", "--traffic", traffic, "--prices", path),
                *("--keep-cheap", "0.5", "--requests-per-month", "1000", "--draws", "40"),
            ),
        ),
        "manifest": Kind(
            SAVED / "manifest.json",
            lambda content: _put_manifest(bundle, content),
            lambda: verify(bundle),
            ("verify", bundle),
        ),
        "journal": _journal(folder),
        "log": _log(folder, out),
        "requests": Kind(
            _requests(folder / "source.jsonl"),
            file.with_suffix(".jsonl").write_bytes,
            lambda: [*read_requests(file.with_suffix(".jsonl"))],
            ("route", SAVED, "--input", file.with_suffix(".jsonl"), "--json"),
        ),
        **_signature_and_trust(folder, signed),
    }
    for name in SEALED:
        whole = shutil.copytree(SAVED, folder / name / "words-1")
        made[name] = Kind(
            traffic.parent / "small-1" / name if name == "metrics.json" else SAVED / name,
            partial(_put_in, whole, name.replace(".", "__")),
            partial(_read_figures if name == "metrics.json" else verify, whole),
            ("verify", whole),
            name != "metrics.json",
        )
    return made


def _toml(source, folder, load, command):
    path = folder / "in.toml"
    return Kind(source, path.write_bytes, lambda: load(path), command(path))


def _put_in(bundle, name, content):
    reseal(bundle, **{name: content})


def _read_figures(bundle):
    shipped_figures(read_bundle(bundle))


def _put_manifest(bundle, content):
    """Write a manifest and seal it where it still has a place for that."""
    from difficulty.bundle.policy import UNSEALED, seal

    old = read_bundle(SAVED).manifest.sha256.encode()
    with contextlib.suppress(Exception):  # what cannot be sealed stays as it is
        content = seal(content.replace(old, UNSEALED.encode()))
    (bundle / "manifest.json").write_bytes(content)


def _journal(folder):
    registry = FolderRegistry(folder / "registry")
    bundle = read_bundle(SAVED)
    for _ in range(2):
        version = registry.publish(bundle, "words", tags={}, metrics={})
    registry.promote(version, replacing=None, notes={})
    source = folder / "journal"
    path = folder / "registry" / "words" / "journal.json"

    shutil.copy(path, source)

    def read_journal():
        for ask in (registry.aliases, registry.versions, registry.previous):
            ask("words")

    return Kind(
        source,
        path.write_bytes,
        read_journal,
        ("versions", "words", "--registry", folder / "registry"),
    )


def _log(folder, out):
    log = DecisionLog([JsonLinesSink(folder / "written")])
    for number in range(5):
        messages = ({"role": "user", "content": f"request {number}"},)
        log.write(event_of(number, messages=messages))
    log.close()
    (source,) = (folder / "written").iterdir()
    path = folder / "in.jsonl"
    return Kind(
        source,
        path.write_bytes,
        lambda: [*read_log(path)],
        ("ingest", path, "-o", out / "traffic.parquet", "--format", "log"),
        is_needed=False,
    )


def _requests(path):
    path.write_text(
        '{"id": 1, "messages": [{"role": "user", "content": "w3 w17"}], "task": "classify"}\n'
        '{"id": "b", "prompt": "w150 w180", "prompt_tokens": 7}\n'
    )
    return path


def _signature_and_trust(folder, signed):
    """Return a signature by a key that is trusted, and the file that says so."""
    from tests.keys import write_pair

    pair = write_pair(folder, "release")
    sign_bundle(signed, SigningKey(private_key=pair.private, ask_password=lambda: ""))
    trust, source = folder / "trust.toml", folder / "trust.source"
    source.write_text(f'public_keys = ["{pair.public.name}"]\n')
    trust.write_bytes(source.read_bytes())
    whom = Trust(public_keys=(pair.public,))
    signature = shutil.copy(signed / "signature", folder / "signature.source")
    return {
        "signature": Kind(
            signature,
            (signed / "signature").write_bytes,
            lambda: verify(signed, trust=whom),
            ("verify", signed, "--public-key", pair.public),
        ),
        "trust file": Kind(
            source,
            trust.write_bytes,
            lambda: load_trust(trust),
            ("verify", signed, "--trust", trust),
        ),
    }


FULL = {
    "what people write": {"recipe": 2_000, "price list": 1_500, "requests": 400, "trust file": 100},
    "files of bundles": {
        "manifest": 1_500,
        "policy.json": 1_000,
        "golden.jsonl": 400,
        "metrics.json": 200,
        "tokenizer.json": 600,
        "card.md": 100,
    },
    "journals, logs, signatures": {"journal": 1_000, "log": 800, "signature": 400},
}
"""Ten thousand."""


@pytest.mark.slow
@pytest.mark.parametrize("what", FULL)
def test_mutated_files(tmp_path, journey, tally, what):
    pytest.importorskip("model_signing")
    counts = {kind: sized(count) for kind, count in FULL[what].items()}
    options = {"counts": counts, "seed": 0, "traffic": str(journey.traffic)}
    tally(f"mutated: {what}", attack(tmp_path, f"{__name__}:damage", **options))
