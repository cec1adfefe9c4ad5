"""The facts of an answer's text, worked by hand on small texts."""

import math
import random
import time

import numpy as np
import pytest

from difficulty.answers.answer import Answer, Asked
from difficulty.answers.facts import FACTS, KINDS, read_facts

SHEEP = "Ann has 4 sheep and Bob has twice as many. How many sheep do they have together?"


def facts(question, answer, **fields):
    """Return the facts by name."""
    values = read_facts(Asked(text=question), Answer(answer, **fields))
    return dict(zip(FACTS, values.tolist(), strict=True))


def test_names_are_unique_and_as_many_as_numbers():
    assert len(set(FACTS)) == len(FACTS)
    pair = Asked(text=SHEEP), Answer("8")
    assert read_facts(*pair).shape == (len(FACTS),)
    assert sum(len(names) for names, _ in KINDS) == len(FACTS)


def test_arithmetic_of_right_and_wrong_steps():
    right = facts(SHEEP, "Bob has 4 * 2 = 8 sheep. Together 4 + 8 = 12.\n#### 12")
    assert right["arithmetic.wrong_steps"] == 0
    assert right["arithmetic.final_is_last"] == 1
    assert right["arithmetic.share_new_operands"] == 0.25  # the 2 of "twice"
    wrong = facts(SHEEP, "Bob has 4 * 2 = 8 sheep. Together 4 + 8 = 13.\n#### 8")
    assert wrong["arithmetic.any_wrong"] == 1
    assert wrong["arithmetic.share_wrong"] == 0.5
    assert wrong["arithmetic.last_is_wrong"] == 1
    assert wrong["arithmetic.final_is_last"] == 0
    assert wrong["arithmetic.final_is_result"] == 1


def test_final_answer_is_looked_at():
    read = facts(SHEEP, "It is 12, so 12.\n#### 12")
    assert read["final.way_hash"] == 1
    assert read["final.times_before"] == pytest.approx(math.log1p(2))
    assert read["final.above_question"] == 0
    assert read["final.is_whole"] == 1
    as_json = facts(SHEEP, '{"reasoning": "4 + 8 is 12", "answer": "12"}')
    assert as_json["final.is_json"] == as_json["final.reasoning_agrees"] == 1
    assert facts(SHEEP, '{"reasoning": "4 + 8')["final.is_broken_json"] == 1
    assert facts(SHEEP, r"\frac{1}{2}")["final.is_json"] == 0


def test_options_are_unknown_without_options_and_read_with_them():
    assert math.isnan(facts(SHEEP, "12")["options.is_A"])
    question = "Which is red?\nA. a ripe tomato\nB) a green pear of 12 cm\n(C) none of these"
    read = facts(question, "A pear has 12 cm and is green. The answer is (B).")
    assert read["options.is_B"] == read["options.is_stated"] == read["options.number_agrees"] == 1
    assert read["options.count"] == 3
    assert read["options.overlap"] == read["options.overlap_gap"] == 1
    assert facts(question, "C")["options.is_none_or_all"] == 1
    assert facts(question, "The answer is D.")["options.not_offered"] == 1


def test_cues_count_words_and_operations():
    read = facts(SHEEP, "However, that might be wrong: 4 + 4 = 8")
    assert read["cues.doubt_however"] == pytest.approx(math.log(2))
    assert read["cues.late_doubt"] == 1
    assert read["cues.asked_times"] == pytest.approx(math.log(2))
    assert read["cues.missing_times"] == 1
    assert read["cues.used_plus"] == pytest.approx(math.log(2))


def test_shape_of_a_repeated_and_unfinished_answer():
    read = facts(SHEEP, "Bob has ( four\nsheep " * 6, finish_reason="length")
    assert read["shape.most_repeated"] == pytest.approx(math.log1p(6))
    assert read["shape.cut_by_limit"] == 1
    assert read["shape.open_round"] == pytest.approx(math.log1p(6))
    assert read["shape.no_end"] == read["shape.space_after"] == 1
    assert math.isnan(facts(SHEEP, "12")["shape.cut_by_limit"])
    assert facts(SHEEP, "Да, 12 овец")["shape.other_letters"] == 1


def test_copying_of_numbers_and_names():
    read = facts("Yesterday, Ann gave 3 of 7 pears to Bob Lee.", "Ann keeps 7 - 2 = 5 pears")
    assert read["copying.share_of_numbers"] == 0.5
    assert read["copying.unused_small_number"] == 1
    assert read["copying.share_new_numbers"] == pytest.approx(2 / 3)
    assert read["copying.share_of_names"] == pytest.approx(1 / 3)


def test_probabilities_and_agreement_are_unknown_or_read():
    assert math.isnan(facts(SHEEP, "12")["logprobs.mean"])
    read = facts(SHEEP, "It is 12", logprobs=(-0.1, -3.0, -0.2), others=("12.0", "It is 13"))
    assert read["logprobs.mean"] == pytest.approx(-1.1)
    assert read["logprobs.least"] == -3
    assert read["logprobs.share_unsure"] == pytest.approx(1 / 3)
    assert read["logprobs.share_same_answer"] == 0.5


def test_digits_of_other_scripts_count():
    assert facts("٤ خراف", "٤")["final.in_question"] == 1


ODD = [
    "",
    " \n\t ",
    "\ud800 lone",
    "[" * 5000 + "]" * 5000,
    '{"answer": ' * 3000,
    "{" + '"a": [' * 3000,
    "9" * 5000,
    "-." * 4000,
    "a = b = c " * 10_000,
    "\\boxed{" * 3000,
    "ANSWER IS " * 1000,
    "answer" + " " * 9000,
    "مرحبا " * 2000,
    "数学の答えは十二です。" * 800,
    "👩‍👩‍👧" * 1500,
    "\x00\x1f\x85\u2028" * 2000,
    "x" * 10_000_000,
]


@pytest.mark.parametrize("text", ODD, ids=range(len(ODD)))
def test_nothing_is_raised_and_odd_texts_take_no_longer(text):
    start = time.process_time()
    for asked, answered in ((text, text), (SHEEP, text), (text, "12")):
        values = read_facts(
            Asked(text=asked), Answer(answered, others=(text,), finish_reason=[], logprobs=())
        )
        assert not np.isinf(values).any()
    assert time.process_time() - start < 0.5


def test_texts_at_random_raise_nothing():
    """2,000 answers of pieces that the rules look for, in any order; seed 0."""
    rng = random.Random(0)
    pieces = [*"0123456789+-*/=()[]{}\\$%.,:;\n \"'`#?!<>≈×÷Ωя数😀", "answer is", "\\frac{", "####"]
    pieces += ["\\boxed{", '"answer":', "A. x", "(B)", "however", "can't", "1,000", "**", "x", "of"]
    for _ in range(2000):
        text, other = ("".join(rng.choices(pieces, k=rng.randint(0, 80))) for _ in range(2))
        assert not np.isinf(read_facts(Asked(text=other), Answer(text))).any()
