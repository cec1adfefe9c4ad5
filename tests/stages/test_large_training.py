"""Large traffic is trained on in shards: the same run, whatever was in memory, however many
processes read, and whether or not it was stopped on the way.
"""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

import numpy as np
import pytest

from difficulty.channels import shards
from difficulty.encoders.base import StaticEncoder
from difficulty.engine import LocalEngine
from difficulty.stages import train as train_module
from difficulty.traffic.stored import text_columns
from difficulty.training.run import Run
from tests.conftest import REPOSITORY
from tests.journey import DRAWS, recipe_of, write_recipe

KILLS = 4


class Stopped(BaseException):
    """A process that is killed."""


@pytest.fixture(scope="module")
def large(journey, tmp_path_factory):
    """A run that was trained in shards of 100 requests, its texts left in the file; one that was
    stopped after its model was finished and then went on; and what the second made again.
    """
    folder, fits = tmp_path_factory.mktemp("large"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "LARGE", 1)
        patch.setattr(shards, "SHARD_ROWS", 100)
        patch.setattr(shards, "MOST_IN_MEMORY", 0)
        patch.setattr(text_columns, "MOST_IN_MEMORY", 0)
        fit = train_module.DifficultyModel.fit
        patch.setattr(
            train_module.DifficultyModel,
            "fit",
            lambda model, *data, **more: (fits.append(1), fit(model, *data, **more))[1],
        )
        whole = trained(journey, folder / "whole")
        undisturbed = len(fits)
        with pytest.MonkeyPatch.context() as stopping:
            stopping.setattr(train_module, "_evaluate", _stop)
            with pytest.raises(Stopped):
                trained(journey, folder / "stopped")
        assert not (folder / "stopped").exists()
        del fits[:]
        engine = LocalEngine(processes=2)
        again = trained(journey, folder / "stopped", resume=True, engine=engine)
        left = sorted(path.name for path in folder.iterdir())
    return whole, again, undisturbed, len(fits), left


def trained(journey, out, **more):
    """Train the small recipe."""
    encoder = StaticEncoder.load(journey.encoder)
    recipe = recipe_of(journey.encoder)
    more |= {"draws": DRAWS, "more_labels": False, "unseen_tasks": False}
    run, _ = train_module.train(journey.traffic, out, recipe=recipe, encoder=encoder, **more)
    return run


def _stop(*_, **__):
    raise Stopped


def hashes(run):
    """Return the hash of every file but the one with the time and the place."""
    return {
        path.relative_to(run.folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(run.folder.rglob("*"))
        if path.is_file() and path.name not in ("run.json", "metrics.json")
    }


def test_a_run_that_went_on_is_the_one_that_was_not_stopped(large):
    """File by file; its model is taken up, not fitted again, and no part is left."""
    whole, again, undisturbed, refitted, left = large
    assert hashes(whole) == hashes(again)
    assert (undisturbed > 0, refitted) == (True, 0)
    assert left == ["stopped", "whole"]


def test_a_run_in_shards_says_what_one_in_memory_says(large, journey):
    """Heads end within a tolerance of one optimum, from either side."""
    run, small = large[0], Run.read(journey.run)
    ours, theirs = (
        each.model.predict(np_ids(small), None).difficulty_score for each in (run, small)
    )
    assert np.corrcoef(ours, theirs)[0, 1] > 0.99
    assert np.abs(ours - theirs).max() < 0.05
    assert run.record.samples == small.record.samples
    names, scores = run.out_of_fold[:2]
    expected = small.out_of_fold
    assert names == expected.ids
    assert np.corrcoef(scores.difficulty_score, expected.scores.difficulty_score)[0, 1] > 0.98


def np_ids(run):
    """Return the token ids of the test samples."""
    texts = [view.text for view in run.test.views(run.view)]
    return [row.ids for row in run.tokenizer.encode_batch(texts)]


def command_of(journey, folder, out):
    """Return the words of a training in shards, in a process of its own."""
    program = (
        "from difficulty.channels import shards;"
        "from difficulty.traffic.stored import text_columns;"
        "shards.LARGE = 1; shards.SHARD_ROWS = 100; shards.MOST_IN_MEMORY = 0;"
        "text_columns.MOST_IN_MEMORY = 0; from difficulty.cli import main; main()"
    )
    recipe = write_recipe(folder / "small.toml", journey.encoder)
    command = [sys.executable, "-c", program, "train", str(journey.traffic), "-o", str(out)]
    command += ["--recipe", str(recipe), "--no-tracking", "--resume"]
    return [*command, "--no-more-labels", "--no-unseen-tasks"]


QUIET = {"stdout": subprocess.DEVNULL, "env": {**os.environ, "PYTHONPATH": str(REPOSITORY)}}


@pytest.mark.slow
@pytest.mark.parametrize("part", ["tokens", "model"])
def test_a_killed_process_goes_on_at_its_last_finished_part(large, journey, tmp_path, part):
    """SIGKILL as soon as a part stands there; the run is that of the process that went on, and the
    undisturbed one.
    """
    out = tmp_path / "run"
    command = command_of(journey, tmp_path, out)
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, **QUIET)
    while process.poll() is None and not (tmp_path / ".run.parts" / part).exists():
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert (tmp_path / ".run.parts" / part).exists()
    subprocess.run(command, check=True, **QUIET)
    assert not (tmp_path / ".run.parts").exists()
    files = hashes(Run.read(out))
    assert files == {name: hashes(large[0])[name] for name in files}


@pytest.mark.slow
def test_a_process_killed_at_random_moments_goes_on_to_the_same_run(large, journey, tmp_path):
    """Wherever the kill falls: between parts, inside of one, while a file is written."""
    begun = time.monotonic()
    subprocess.run(command_of(journey, tmp_path, tmp_path / "whole"), check=True, **QUIET)
    lasted, seed = time.monotonic() - begun, random.randrange(10**6)
    sys.stdout.write(f"seed {seed}\n")
    command, moments = command_of(journey, tmp_path, tmp_path / "run"), random.Random(seed)
    for _ in range(KILLS):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, **QUIET)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=moments.uniform(0, lasted))
        process.kill()
        if process.wait() == 0:  # it was done before: once more
            shutil.rmtree(tmp_path / "run")
    subprocess.run(command, check=True, **QUIET)
    run, whole = (hashes(Run.read(tmp_path / name)) for name in ("run", "whole"))
    assert run == whole
    assert [path.name for path in tmp_path.glob(".*")] == []
