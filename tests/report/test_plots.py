"""Figures: what stands where, and that nobody is shut out by colour or by not seeing."""

from __future__ import annotations

import math
import re
from itertools import combinations
from xml.etree import ElementTree

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tutelage.core.methods import MODEL_LABELS
from tutelage.report import theme
from tutelage.report.plots import Axis, Guide, Point, Row, Series, axis_range, chart, intervals, strip
from tutelage.report.svg import marker


def _drawn(markup: str) -> ElementTree.Element:
    return ElementTree.fromstring(markup)


def test_points_lie_where_the_axes_say() -> None:
    # y runs from 0 to 10 between the bottom at 250 - 40 = 210 and the top at 30; half-way is 120.
    # x runs from 0 to 4 between 50 and 440 - 14 = 426; a quarter of the way is 144.
    line = Series("loss", [Point(0, 0), Point(1, 5), Point(4, 10)])
    root = _drawn(chart("c", "t", "d", Axis("step", whole=True), Axis("loss", low=0, high=10), [line]))
    found = root.find("polyline")
    assert found is not None
    assert found.get("points") == "50.0,210.0 144.0,120.0 426.0,30.0"


def test_interval_of_a_point_is_drawn_to_its_ends() -> None:
    one = Series("a", [Point(0.5, 0.5, 0.25, 1.0)], kind="points")
    root = _drawn(chart("c", "t", "d", Axis("x", low=0, high=1), Axis("y", low=0, high=1), [one]))
    bar = next(e for e in root.iter("line") if "bar" in (e.get("class") or ""))
    # a quarter up from 210 towards 30 is 165, the top is 30; half-way between 50 and 426 is 238
    assert [bar.get(k) for k in ("x1", "y1", "x2", "y2")] == ["238.0", "165.0", "238.0", "30.0"]


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.booleans())
def test_ticks_are_inside_round_and_say_what_they_are(a: float, b: float, percent: bool) -> None:
    low, high = min(a, b), max(a, b)
    assume(high - low > 1e-6 * max(1e-9, abs(low), abs(high)))
    found = axis_range([low, high], Axis("x", percent=percent))
    slack = 1e-8 * (high - low)
    assert found.low <= low + slack and found.high >= high - slack
    assert 2 <= len(found.ticks) <= 9
    for tick, said in found.ticks:
        read = float(said.replace("\u2212", "-").replace(",", "").rstrip("%")) / (100 if percent else 1)
        assert read == pytest.approx(tick, abs=1e-9 * max(abs(high), abs(low)))


def test_a_constant_series_still_has_an_axis() -> None:
    found = axis_range([0.1, 0.1], Axis("x"))
    assert found.low < 0.1 < found.high


def test_every_figure_speaks_to_those_who_cannot_see_it() -> None:
    one = Series("a<b", [Point(0, 1), Point(1, 2)])
    drawings = [
        chart("n1", "T<1>", "D & more", Axis("x<"), Axis("y"), [one, one], [Guide(1, "<guide>")]),
        intervals("n2", "T<1>", "D & more", Axis("x"), [Row("<r>", "n 3", [("one", 0.5, 0.2, 0.7)])]),
        strip("n3", "T<1>", "D & more", [("base", 0.5, 0.2, 0.7)], 0.5),
    ]
    for number, markup in enumerate(drawings, 1):
        root = _drawn(markup)  # fails on anything that is not escaped
        title, description = root.find("title"), root.find("desc")
        assert title is not None and description is not None
        assert (title.text, description.text) == ("T<1>", "D & more")
        assert root.get("role") == "img"
        assert root.get("aria-labelledby") == f"n{number}-title n{number}-desc"


def test_models_differ_by_more_than_colour() -> None:
    for group in (MODEL_LABELS, ("one", "two", "three", "four")):
        for a, b in combinations(group, 2):
            assert theme.TONES[a].dashes != theme.TONES[b].dashes
            assert marker(a, 0, 0, 4).replace(a, "") != marker(b, 0, 0, 4).replace(b, "")


def _luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


@pytest.mark.parametrize("palette", [theme.LIGHT, theme.DARK], ids=["light", "dark"])
@pytest.mark.parametrize("paper", ["page", "card"])
def test_text_reaches_the_contrast_of_wcag_aa(palette: dict[str, str], paper: str) -> None:
    for name in ("ink", "quiet", "link", "good", "bad", *theme.TONES):
        light, dark = sorted((_luminance(palette[name]), _luminance(palette[paper])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, f"{name} on {paper}"


SEEN_WITHOUT = {
    "red": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "green": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.01182, 0.04294, 0.968881)),
    "blue": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.3039)),
    "none": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
}
"""How linear RGB looks to readers without one kind of cone (Machado, Oliveira and Fernandes 2009, table 1)."""


def _lab(colour: str, seen: tuple[tuple[float, ...], ...]) -> list[float]:
    """CIE 1976 L*a*b* of a colour as it is seen."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    rgb = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    rgb = [min(1.0, max(0.0, sum(m * c for m, c in zip(row, rgb, strict=True)))) for row in seen]
    matrix = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
    xyz = [sum(m * c for m, c in zip(row, rgb, strict=True)) for row in matrix]
    x, y, z = (
        v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116
        for v in (xyz[0] / 0.95047, xyz[1], xyz[2] / 1.08883)
    )
    return [116 * y - 16, 500 * (x - y), 200 * (y - z)]


@pytest.mark.parametrize("palette", [theme.LIGHT, theme.DARK], ids=["light", "dark"])
@pytest.mark.parametrize("cone", SEEN_WITHOUT)
def test_models_have_colours_that_all_readers_tell_apart(palette: dict[str, str], cone: str) -> None:
    for a, b in combinations(MODEL_LABELS, 2):
        distance = math.dist(*(_lab(palette[name], SEEN_WITHOUT[cone]) for name in (a, b)))
        assert distance > 9, f"{a} and {b}"  # 2.3 is just noticeable


def test_both_palettes_name_the_same_colours() -> None:
    assert set(theme.LIGHT) == set(theme.DARK)
    declared = theme.css_variables()
    used = set(re.findall(r"--([a-z-]+)", declared))
    assert set(theme.LIGHT) <= used
