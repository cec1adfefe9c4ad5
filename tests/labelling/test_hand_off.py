"""Pairs for people: blind, and read back from a spreadsheet and from Label Studio."""

import csv
import json
from xml.etree import ElementTree

import pytest

from difficulty.errors import OutputExistsError, TooFewSamplesError, TrafficError
from difficulty.labelling.hand_off import (
    LABEL_CONFIG,
    find_keys,
    key_path,
    read_key,
    read_verdicts,
    write_hand_off,
)
from difficulty.stages.ingest import ingest
from difficulty.stages.labelling.late_outcomes import join_outcomes
from difficulty.traffic.table import Traffic
from tests.journey import write_rows

N = 40
REQUESTS = [
    {
        "id": f"r{n}",
        "prompt": f"Question {n}?",
        "cheap_model": "tiny-7b",
        "frontier_model": "huge-1t",
        "cheap_answer": f"cheap {n}",
        "frontier_answer": f"frontier {n}",
    }
    for n in range(N)
]


@pytest.fixture
def path(tmp_path):
    ingest([write_rows(tmp_path / "requests.jsonl", REQUESTS)], out := tmp_path / "traffic.parquet")
    return out


@pytest.fixture
def traffic(path):
    return Traffic.read(path)


def rows_of(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def judged(path, judge):
    """Fill in the cells of a CSV, and return it."""
    rows = rows_of(path)
    for row in rows:
        row |= judge(row)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def better(row, side):
    """Return the letter of the answer of a side."""
    return "A" if row["answer_a"].startswith(side) else "B"


def test_key_of_pairs_that_were_moved_away_stays(path, traffic, tmp_path):
    """Pairs that are being judged elsewhere, and new ones of other traffic under the same name."""
    write_hand_off(out := tmp_path / "pairs.csv", traffic, range(N))
    before = read_key(key_path(out)).requests
    judged(out, lambda row: {"verdict": better(row, "frontier")})
    with pytest.raises(OutputExistsError, match="40 verdicts of people"):
        write_hand_off(out, traffic, range(N), overwrite=True)
    moved = out.rename(tmp_path / "judged.csv")
    write_hand_off(out, traffic, range(5), seed=1, overwrite=True)
    assert before.items() <= read_key(key_path(out)).requests.items()
    assert len(read_verdicts(moved, traffic)) == N


def test_pairs_are_blind_and_sides_are_swapped_by_chance(traffic, tmp_path):
    written = write_hand_off(out := tmp_path / "pairs.csv", traffic, range(N))
    assert (written.pairs, written.without_answers) == (N, 0)
    rows = rows_of(out)
    assert list(rows[0]) == ["pair", "request", "answer_a", "answer_b", "verdict", "annotator"]
    assert [row["request"] for row in rows] == [request["prompt"] for request in REQUESTS]
    text = out.read_text("utf-8-sig")
    assert not [name for name in ("tiny", "huge", "r17") if name in text]
    cheap_first = sum(row["answer_a"].startswith("cheap") for row in rows)
    assert 8 < cheap_first < 32
    key = read_key(key_path(out))
    for row in rows:
        id, side = key.requests[row["pair"]]
        assert row[f"answer_{side.lower()}"] == f"cheap {id[1:]}"


def test_the_same_seed_writes_the_same_and_another_seed_other_sides(traffic, tmp_path):
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        write_hand_off(tmp_path / f"{name}.csv", traffic, range(N), seed=seed)
    one, two, three = (rows_of(tmp_path / f"{name}.csv") for name in ("one", "two", "three"))
    assert one == two
    assert [row["answer_a"] for row in one] != [row["answer_a"] for row in three]


def test_a_spreadsheet_comes_back(path, traffic, tmp_path):
    """The frontier answer wins, ties, both are bad, the cheap one wins, nobody can tell, an empty
    cell, and a slip.
    """
    write_hand_off(out := tmp_path / "pairs.csv", traffic, range(7))
    said = iter(["frontier", "tie", "Both bad", "cheap", "skip", "", "perhaps"])

    def judge(row):
        word = next(said)
        return {"verdict": better(row, word) if word in ("frontier", "cheap") else word}

    report = join_outcomes(path, [judged(out, judge)], new := tmp_path / "new.parquet")
    assert Traffic.read(new).column("preference")[:7] == [
        "frontier", "tie", "tie", "cheap", None, None, None,
    ]  # fmt: skip
    assert (report.rows, report.joined, report.left_out) == (7, 4, 2)
    assert report.rejected == {"verdict must be A, B, tie, both bad or skip": 1}
    reject = json.loads((tmp_path / "new.rejects.jsonl").read_text())
    assert "got 'perhaps'" in reject["reason"]
    assert report.measured_by == {"people": 4}


def test_several_people_are_settled_by_the_rule_and_contradictions_are_counted(
    path, traffic, tmp_path
):
    """Two of three find the frontier answer better: their mean, 1/3, is nearest to a tie. Then the
    second file comes again.
    """
    sources = []
    for name, winner in (("ann", "frontier"), ("bob", "frontier"), ("cy", "cheap")):
        write_hand_off(out := tmp_path / name / "pairs.csv", traffic, [0])
        sources.append(
            judged(out, lambda row, w=winner, n=name: {"verdict": better(row, w), "annotator": n})
        )
    new = tmp_path / "new.parquet"
    report = join_outcomes(path, sources, new, on_conflict="mean")
    assert (report.joined, report.contradictions) == (3, 1)
    again = join_outcomes(new, [sources[1]], tmp_path / "again.parquet", on_conflict="mean")
    assert (again.joined, again.repeated) == (0, 1)
    assert Traffic.read(new).column("preference")[0] == "tie"
    assert Traffic.read(new).column("measured_by")[0] == "people:ann+people:bob+people:cy"
    assert read_verdicts(sources[2], traffic) == [(0, -1.0)]


def test_votes_are_no_grades_whoever_voted(path, traffic, tmp_path):
    """A verdict of people on a pair says who is better, and not how often either fails."""
    write_hand_off(out := tmp_path / "pairs.csv", traffic, [0])
    source = judged(out, lambda row: {"verdict": better(row, "frontier"), "annotator": "ann"})
    join_outcomes(path, [source], new := tmp_path / "new.parquet")
    outcomes = Traffic.read(new).outcomes
    assert outcomes.measured_by[0] == "votes:people:ann"
    graded = outcomes.without_votes()
    assert graded.cheap_quality[0] != graded.cheap_quality[0]  # NaN
    assert graded.gain[0] == 1.0


def studio_export(tasks, choices):
    """Return what Label Studio exports of tasks: a list of annotations each."""
    return [
        {
            "id": number,
            "data": task["data"],
            "annotations": [
                {
                    "id": 100 * number + place,
                    "completed_by": who,
                    "was_cancelled": choice is None,
                    "updated_at": f"2026-01-0{place + 1}T12:00:00.000000Z",
                    "result": []
                    if choice is None
                    else [
                        {
                            "id": "x",
                            "type": "choices",
                            "from_name": "verdict",
                            "to_name": "request",
                            "value": {"choices": [choice]},
                        }
                    ],
                }
                for place, (who, choice) in enumerate(said)
            ],
        }
        for number, (task, said) in enumerate(zip(tasks, choices, strict=True), start=1)
    ]


def test_label_studio_comes_back(path, traffic, tmp_path):
    """Ties, one that was skipped, two annotators who contradict each other (the later counts), and
    a task that nobody has seen.
    """
    written = write_hand_off(out := tmp_path / "pairs.json", traffic, range(4))
    assert [name.rsplit("/", 1)[1] for name in written.files] == [
        "pairs.json", "pairs.key.json", "pairs.xml",
    ]  # fmt: skip
    tasks = json.loads(out.read_text("utf-8"))
    cheap = [better(task["data"], "cheap") for task in tasks]
    frontier = "A" if cheap[1] == "B" else "B"
    choices = [
        [(1, "Both are equally good")],
        [({"email": "ann@x"}, cheap[1]), ({"id": 7}, frontier)],
        [(1, None)],
        [],
    ]
    export = tmp_path / "export" / "project-1.json"
    export.parent.mkdir()
    export.write_text(json.dumps(studio_export(tasks, choices)))
    report = join_outcomes(path, [export], new := tmp_path / "new.parquet")
    assert Traffic.read(new).column("preference")[:4] == ["tie", "frontier", None, None]
    assert (report.rows, report.joined, report.left_out, report.contradictions) == (4, 3, 1, 1)
    assert report.measured_by == {"people:1": 1, "people:7": 1}
    again = join_outcomes(new, [export], tmp_path / "again.parquet")
    assert (again.joined, again.repeated) == (0, 3)
    assert read_verdicts(export, traffic) == []  # its key lies elsewhere
    (export.parent / "pairs.key.json").write_bytes(key_path(out).read_bytes())
    assert sorted(gain for _, gain in read_verdicts(export, traffic)) == [-1.0, 0.0, 1.0]


def test_flat_exports_of_label_studio_come_back(path, traffic, tmp_path):
    write_hand_off(out := tmp_path / "pairs.json", traffic, range(2))
    rows = [
        task["data"]
        | {"id": n, "annotator": 3, "annotation_id": 10 + n, "lead_time": 4.2, "verdict": "tie"}
        | {"updated_at": "2026-01-01T00:00:00Z"}
        for n, task in enumerate(json.loads(out.read_text("utf-8")))
    ]
    del rows[1]["verdict"]  # as it leaves out what was not chosen
    (tmp_path / "min.json").write_text(json.dumps(rows))
    report = join_outcomes(path, [tmp_path / "min.json"], new := tmp_path / "new.parquet")
    assert (report.joined, report.left_out) == (1, 1)
    assert Traffic.read(new).column("preference")[:2] == ["tie", None]


def test_tasks_and_export_keep_label_studios_own_schema(traffic, tmp_path):
    """By its package where that is installed."""
    interface = pytest.importorskip("label_studio_sdk.label_interface").LabelInterface
    write_hand_off(out := tmp_path / "pairs.json", traffic, range(3))
    studio = interface((tmp_path / "pairs.xml").read_text("utf-8"))
    tasks = json.loads(out.read_text("utf-8"))
    for task in tasks:
        assert studio.validate_task(task, validate_regions_only=False)
    for task in studio_export(tasks, [[(1, "A")], [(1, "both bad")], [(1, "skip")]]):
        assert studio.validate_annotation(task["annotations"][0])


def test_the_labelling_configuration_names_what_the_tasks_have(traffic, tmp_path):
    write_hand_off(out := tmp_path / "pairs.json", traffic, [0])
    view = ElementTree.fromstring((tmp_path / "pairs.xml").read_text("utf-8"))
    (choices,) = view.iter("Choices")
    shown = {node.get("name"): node.get("value") for node in view.iter("Text")}
    assert shown == {name: f"${name}" for name in ("request", "answer_a", "answer_b")}
    assert set(shown) < set(json.loads(out.read_text("utf-8"))[0]["data"])
    assert (choices.get("name"), choices.get("toName")) == ("verdict", "request")
    assert [node.get("alias") for node in view.iter("Choice")] == [
        "A", "B", "tie", "both bad", "skip",
    ]  # fmt: skip
    assert LABEL_CONFIG.startswith("<View>")


def test_what_users_and_models_write_does_no_harm(tmp_path):
    """No formula runs in a spreadsheet, no mark turns the page round, messages keep their order,
    and tool calls are shown as text.
    """
    call = {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}
    row = {
        "messages": [
            {"role": "system", "content": "Be\r\nbrief"},
            {"role": "user", "content": '=cmd|"/c calc"!A1\u202e'},
        ],
        "cheap_answer": "=1+1",
        "frontier_answer": json.dumps(call),
    }
    ingest([write_rows(tmp_path / "r.jsonl", [row])], tmp_path / "traffic.parquet")
    traffic = Traffic.read(tmp_path / "traffic.parquet")
    write_hand_off(out := tmp_path / "pairs.csv", traffic, [0])
    (said,) = rows_of(out)
    assert {said["answer_a"], said["answer_b"]} == {"'=1+1", "f({})"}
    assert said["request"].startswith("[system]\nBe")
    assert '[user]\n=cmd|"/c calc"!A1\\u202e' in said["request"]


def test_without_a_key_nothing_is_joined_and_the_sentence_says_where_to_put_it(
    path, traffic, tmp_path
):
    write_hand_off(out := tmp_path / "pairs.csv", traffic, range(3))
    judged(out, lambda _: {"verdict": "A"})
    key_path(out).unlink()
    with pytest.raises(TrafficError, match="pair must be one that the key beside the pairs has"):
        join_outcomes(path, [out], tmp_path / "new.parquet")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xff\xfe", "cannot be read"),
        (b"[]", "cannot be read"),
        (b'{"format": 2, "pairs": {}}', "key format 2"),
        (b'{"format": 1, "pairs": {"a": 3}}', "cannot be read"),
    ],
)
def test_a_key_that_is_none_is_refused_and_passed_over(content, reason, tmp_path):
    (tmp_path / "x.key.json").write_bytes(content)
    with pytest.raises(TrafficError, match=reason):
        read_key(tmp_path / "x.key.json")
    assert find_keys(tmp_path).requests == {}


def test_a_folder_with_its_key_is_read(path, traffic, tmp_path):
    write_hand_off(out := tmp_path / "people" / "pairs.csv", traffic, [0])
    judged(out, lambda row: {"verdict": better(row, "cheap")})
    report = join_outcomes(path, [out.parent], new := tmp_path / "new.parquet")
    assert (report.rows, report.joined) == (1, 1)
    assert Traffic.read(new).column("preference")[0] == "cheap"


def test_what_cannot_be_written_is_said(traffic, tmp_path):
    with pytest.raises(TrafficError, match=r"must go to a \.csv or \.json file"):
        write_hand_off(tmp_path / "pairs.xlsx", traffic, [0])
    bare = traffic.with_columns({"cheap_answer": [None] * N})
    with pytest.raises(TooFewSamplesError, match="none of 3 requests has both"):
        write_hand_off(tmp_path / "pairs.csv", bare, [0, 1, 2])
    write_hand_off(tmp_path / "pairs.csv", traffic, [0])
    with pytest.raises(OutputExistsError):
        write_hand_off(tmp_path / "pairs.csv", traffic, [0])


@pytest.mark.parametrize(
    "annotations",
    [None, 3, [3], [{}], [{"result": 3}], [{"result": [{"from_name": "verdict", "value": 1}]}]],
)
def test_odd_exports_lose_nothing_but_themselves(annotations, path, traffic, tmp_path):
    write_hand_off(out := tmp_path / "pairs.json", traffic, range(2))
    first, second = studio_export(json.loads(out.read_text("utf-8")), [[], [(1, "tie")]])
    (tmp_path / "x.json").write_text(json.dumps([first | {"annotations": annotations}, second]))
    report = join_outcomes(path, [tmp_path / "x.json"], tmp_path / "new.parquet")
    assert (report.joined, report.rejected) == (1, {})


def test_several_choices_at_once_are_no_verdict(path, traffic, tmp_path):
    write_hand_off(out := tmp_path / "pairs.json", traffic, range(2))
    export = studio_export(json.loads(out.read_text("utf-8")), [[(1, "A")], [(1, "tie")]])
    export[0]["annotations"][0]["result"][0]["value"]["choices"] = ["A", "B"]
    (tmp_path / "x.json").write_text(json.dumps(export))
    report = join_outcomes(
        path, [tmp_path / "x.json"], tmp_path / "new.parquet", allow_rejects=True
    )
    assert (report.joined, sum(report.rejected.values())) == (1, 1)
