"""How numbers are written, by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.report import numbers


@pytest.mark.parametrize(
    ("value", "digits", "written"),
    [
        (1234.5, 2, "1,234.50"),
        (-0.125, 2, "\u22120.12"),  # ties go to the even digit
        (-0.001, 2, "0.00"),  # no minus sign before a zero
        (None, 2, "\u2013"),
        (math.nan, 2, "\u2013"),
    ],
)
def test_number(value: float | None, digits: int, written: str) -> None:
    assert numbers.number(value, digits) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "0"),
        (0.012345, "0.0123"),
        (987.6, "988"),
        (12345.6, "12,300"),
        (-0.5, "\u22120.500"),
        (2.5e-9, "2.5e\u22129"),
    ],
)
def test_significant(value: float, written: str) -> None:
    assert numbers.significant(value) == written


def test_shares_and_differences() -> None:
    assert numbers.percent(0.125) == "12.5%"
    assert numbers.percent(1.0, 0) == "100%"
    assert [numbers.points(d) for d in (0.031, -0.49, 0.0004, -0.0004)] == [
        "+3.1",
        "\u221249.0",
        "0.0",
        "0.0",
    ]


def test_p_values_never_become_zero() -> None:
    written = [numbers.p_value(p).replace("\u00a0", " ") for p in (0.0, 0.0009, 0.0312, 0.049, 0.5, 1.0)]
    assert written == ["p < 0.001", "p < 0.001", "p = 0.031", "p = 0.049", "p = 0.50", "p = 1.00"]


def test_durations_and_lists() -> None:
    written = [numbers.duration(s) for s in (0.2, 48, 725, 12000)]
    assert written == ["under 1 s", "48 s", "12 min 5 s", "3 h 20 min"]
    assert numbers.count(1, "prompt") == "1 prompt"
    assert numbers.count(1204, "person", "people") == "1,204 people"
    assert [numbers.listed(list(x)) for x in ("", "a", "ab", "abc")] == ["", "a", "a and b", "a, b and c"]


@given(st.floats(0, 1))
def test_percent_loses_at_most_half_a_digit(share: float) -> None:
    read = float(numbers.percent(share).rstrip("%")) / 100
    assert abs(read - share) <= 0.0005 + 1e-12
