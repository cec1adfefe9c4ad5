"""Axes and paths."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from difficulty.report.plot import Axis, Plot, nice_ticks


@pytest.mark.parametrize(
    ("low", "high", "ticks", "digits"),
    [
        (0.0, 1.0, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0), 1),
        (0.652, 0.853, (0.7, 0.75, 0.8, 0.85), 2),
        (-57.0, 13.0, (-40.0, -20.0, 0.0), 0),
        (0.3, 0.3, (0.3,), 2),
    ],
)
def test_ticks_are_round_and_few(low, high, ticks, digits):
    assert nice_ticks(low, high, most=6) == (ticks, digits)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(4, 10))
def test_ticks_lie_within_and_are_no_more_than_wanted(low, width, most):
    ticks, _ = nice_ticks(low, low + width, most=most)
    slack = 1e-6 * max(abs(low), width)
    assert 1 <= len(ticks) <= most
    assert low - slack <= ticks[0] <= ticks[-1] <= low + width + slack


def test_a_line_runs_from_corner_to_corner():
    """The ends of the axes are the corners of the frame; up is less far from the top."""
    plot = Plot(Axis.between("x", 0.0, 1.0), Axis.between("y", 0.0, 2.0))
    plot.line([0.0, 1.0], [0.0, 2.0], style="line")
    assert (
        plot.shapes[0].path == f"M{plot.left:.1f} {plot.bottom:.1f} {plot.right:.1f} {plot.top:.1f}"
    )


def test_unknown_points_break_a_line_and_values_beyond_the_axis_stay_in_the_frame():
    plot = Plot(Axis.between("x", 0.0, 4.0), Axis.between("y", 0.0, 1.0))
    plot.line([0.0, 1.0, 2.0, 3.0], [0.5, None, 0.5, 9.0], style="line")
    assert plot.shapes[0].path.count("M") == 2
    assert plot.shapes[0].path.endswith(f" {plot.top:.1f}")
    plot.line([0.0, 1.0], [None, float("nan")], style="line")
    assert len(plot.shapes) == 1


def test_an_axis_around_one_value_can_be_drawn():
    axis = Axis.over("x", [0.4, None])
    assert axis.low < 0.4 < axis.high
    assert Axis.over("x", []).ticks
