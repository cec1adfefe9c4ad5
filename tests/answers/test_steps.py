"""Worked maths: sides, steps and values, each example worked by hand."""

import time

import pytest

from difficulty.answers.steps import evaluate, read_steps


def written(text):
    """Return the result and whether it is right, of each step."""
    return [(step.value, step.is_right) for step in read_steps(text)]


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("3 + 4 = 7", [(7, True)]),
        ("3 + 4 = 8", [(8, False)]),
        ("(3 + 4) × 2 = 14", [(14, True)]),
        ("2(3+1) = 8", [(8, True)]),
        ("10 ÷ 3 ≈ 3.3", [(3.3, True)]),
        ("10/3 = 3.4", [(3.4, False)]),
        ("3 - -4 = 7", [(7, True)]),
        ("-4 + 5 = 1", [(1, True)]),
        ("5 x 3 = 15", [(15, True)]),
        ("$1,200 / 12 months = $100 per month", [(100, True)]),
        ("25% of 60 = 15", [(15, True)]),
        ("0.25 * 100 = 25%", [(0.25, True)]),
        ("1/4 of 60 = 15", [(15, True)]),
        ("8 x $5 = $<<8*5=40>>40", [(40, True)]),
        ("**5 + 3 = 8**", [(8, True)]),
        ("9 - 4 = **5** apples", [(5, True)]),
        (r"\frac{1}{2} \cdot 10 = 5", [(5, True)]),
        (r"6 / \frac{1}{2} = 12", [(12, True)]),
        (r"\frac{3}{4}(8) &= 6 \\" + "\n" + r"&= 3 \times 2", [(6, True)]),
        (r"\\frac{1}{2} \\times 4 = 3", [(3, False)]),
        ("12 - 5\n = 7", [(7, True)]),
        ("3 + 4*5 = 3+20 = 23", [(23, True), (23, True)]),
        ("5*3 = 15 - 2 = 13", [(15, True), (13, True)]),
        ("6 + 1 = 8. 8 * 2 = 16", [(8, False), (16, True)]),
        (r"7 + 1 = 8\nThen 8 + 1 = 9", [(8, True), (9, True)]),
    ],
)
def test_steps_are_compared(text, steps):
    assert written(text) == steps


@pytest.mark.parametrize(
    "text",
    [
        "x + 4 = 13",
        "2y + 3 + 4 = 7",
        "2^3 + 4 = 12",
        r"\sqrt{9} + 1 = 4",
        "cost - 4 + 5 = 13",
        "18/0 = 3",
        "7 = 3 + 4",
        "total = 12",
        "3 + = 4",
        "= = =",
        "3 + 4 >= 8",
        "",
    ],
)
def test_nothing_is_said_of_what_cannot_be_read(text):
    assert written(text) == []


def test_step_bears_its_operands_and_error():
    (step,) = read_steps("so 3 * 5 apples = 18")
    assert step.operands == (3, 5)
    assert step.error == pytest.approx(3 / 15)
    assert step.is_whole


def test_evaluation_goes_by_precedence_and_bounds():
    assert evaluate([2.0, "+", 3.0, "*", "(", 4.0, "-", 1.0, ")"]) == 11
    assert evaluate(["~", 2.0, "*", 3.0]) == -6
    assert evaluate([8.0, "/", 4.0, "/", 2.0]) == 1
    assert evaluate(["(", "(", 1.0, "+", 1.0]) == 2
    assert evaluate([1e14, "*", 100.0]) is None
    assert evaluate([1.0, "/", 0.0]) is None
    assert evaluate([1.0, 2.0]) is None
    assert evaluate(["+"]) is None


@pytest.mark.parametrize(
    "part",
    [
        "a = b = c ",
        "1 = 2 = 3 ",
        "1+1 = ",
        "1+((",
        "**",
        r"\frac{",
        "\n" + " " * 30,
        "7",
        "- ",
        "=",
        "} ",
    ],
)
def test_reading_takes_time_in_proportion_to_the_text(part):
    """A text of 16 times the length takes at most about 16 times as long."""
    n = 10_000 // len(part)

    def seconds(text):
        start = time.process_time()
        read_steps(text)
        return time.process_time() - start

    short = min(seconds(part * n + "= 1") for _ in range(3))
    long = min(seconds(part * n * 16 + "= 1") for _ in range(2))
    assert long < 40 * short + 0.05
