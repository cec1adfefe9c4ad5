"""How the saved run and its bundle were made: ``python -m tests.data.make_run FOLDER``.

``run-format-1`` and ``bundle-format-1-2`` are archives, a third of the folders in size;
``run-format-1.json`` is what they say. All stay as they are and readable for good: when a format is
raised, make new ones beside them with the code of that day. The recipe has every kind of vector
and early exit, over a small transformer.
"""

import json
import shutil
import sys
from pathlib import Path

from difficulty.training.run import Run
from tests.fakes import write_transformer
from tests.freeze import run_command, this_machine
from tests.journey import sample_rows, write_rows

RUN, BUNDLE = "run-format-1", "bundle-format-1-2"
OUTPUTS = ("difficulty_score", "p_cheap_fails", "p_frontier_fails", "familiarity")
ROWS, WORDS, DECISIONS = 260, 160, 80

RECIPE = """
name = "saved"
folds = 2
[text]
max_tokens = 32
[split]
fit = 0.6
calibration = 0.3
test = 0.1
[features]
encoder = "encoder"
[features.ngrams]
buckets = 128
[features.embedding]
strength = 0.1
beside_guess = true
[features.neighbours]
centres = 6
strength = 0.1
[features.length]
[policy]
max_cheap_tokens = 100
easy_tasks = ["classify"]
hard_tasks = ["multi-step planning"]
review_after_days = 3000
[[policy.validators]]
check = "non_empty"
[export]
early = true
early_budget = 0.08
max_score_difference = 1e-3
"""


def frequent_words(rows):
    """Return a vocabulary of the most frequent words of some rows."""
    texts = [message["content"] for row in rows for message in row["messages"]]
    words = [word for text in texts for word in text.split()]
    frequent = sorted(set(words), key=lambda word: (-words.count(word), word))[:WORDS]
    return {"[UNK]": 0} | {word: number for number, word in enumerate(frequent, 1)}


def ship(run, bundle, *, cwd):
    """Ship the saved run."""
    return run_command("ship", run, "-o", bundle, "--allow-no-signal", "--cache", "cache", cwd=cwd)


def scores_of(run):
    """Return what a run's model says of its calibration requests, with and without their tasks."""
    texts = [run.view(messages).text for messages in run.calibration.messages()]
    ids = [row.ids for row in run.tokenizer.encode_batch(texts)]
    scores = {"with_task": run.model.predict(ids, run.calibration.tasks)}
    scores["without_task"] = run.model.predict(ids)
    return {kind: _as_lists(values) for kind, values in scores.items()}


def _as_lists(scores):
    return {name: getattr(scores, name).tolist() for name in OUTPUTS}


def some_requests():
    """Return requests, half with a task; they are saved too, as the sample may be made anew."""
    rows = sample_rows(DECISIONS)
    requests = [{"messages": row["messages"]} for row in rows]
    for request, row in zip(requests[::2], rows[::2], strict=True):
        request["task"] = row["task"]
    return requests


def decisions_of(bundle, requests, *, cwd):
    """Return route, reason and the graph that scored for each request."""
    write_rows(cwd / "requests.jsonl", requests)
    written = f"{bundle}.jsonl"
    run_command("route", bundle, "--input", "requests.jsonl", "-o", written, cwd=cwd)
    lines = (cwd / written).read_text(encoding="utf-8").splitlines()
    return [[json.loads(line)[name] for name in ("route", "reason", "scored_by")] for line in lines]


def write_saved(folder):
    """Write a run and its bundle as archives, and what they say."""
    folder.mkdir(parents=True)
    rows = sample_rows(ROWS)
    write_rows(folder / "sample.jsonl", rows)
    vocabulary = frequent_words(rows)
    write_transformer(folder / "encoder", vocabulary=vocabulary, max_tokens=32, dim=6)
    (folder / "recipe.toml").write_text(RECIPE)
    run_command("ingest", "sample.jsonl", "-o", "traffic.parquet", cwd=folder)
    training = ["--recipe", "recipe.toml", "--no-tracking", "--cache", "cache"]
    run_command("train", "traffic.parquet", "-o", RUN, *training, cwd=folder)
    ship(RUN, BUNDLE, cwd=folder)
    for name in (RUN, BUNDLE):
        shutil.make_archive(str(folder / name), "xztar", root_dir=folder, base_dir=name)
    said = {"machine": this_machine(), "scores": scores_of(Run.read(folder / RUN))}
    said["requests"] = some_requests()
    said["decisions"] = decisions_of(BUNDLE, said["requests"], cwd=folder)
    (folder / f"{RUN}.json").write_text(json.dumps(said) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_saved(Path(sys.argv[1]))
