"""How numbers are written for people: one place, so that the table, the text and the figures agree."""

from __future__ import annotations

import math

MINUS = "\u2212"
NONE = "\u2013"
FIXED = "\u00a0"
"""A space at which a line does not break."""


def number(value: float | None, digits: int = 2) -> str:
    """`1234.5` as `1,234.50`, with a real minus sign; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return NONE
    text = f"{abs(value):,.{digits}f}"
    return f"{MINUS}{text}" if value < 0 and float(text.replace(",", "")) != 0 else text


def significant(value: float | None, digits: int = 3) -> str:
    """To some significant digits, for quantities whose size is not known beforehand."""
    if value is None or not math.isfinite(value):
        return NONE
    if value == 0:
        return "0"
    places = digits - 1 - math.floor(math.log10(abs(value)))
    if places > digits + 3:
        power = math.floor(math.log10(abs(value)))
        return f"{number(value / 10**power, digits - 2)}e{number(power, 0)}"
    return number(round(value, places), max(0, places))


def percent(share: float | None, digits: int = 1) -> str:
    """A share of 1 as per cent: `12.5%`."""
    return NONE if share is None or not math.isfinite(share) else f"{number(100 * share, digits)}%"


def points(difference: float | None) -> str:
    """A difference of two shares in percentage points, with its sign: `+3.1`."""
    if difference is None or not math.isfinite(difference):
        return NONE
    text = number(100 * difference, 1)
    return text if text.startswith(MINUS) or text == "0.0" else f"+{text}"


def p_value(p: float | None) -> str:
    """`p = 0.031`, `p < 0.001`."""
    if p is None or not math.isfinite(p):
        return "no test"
    said = "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"
    return said.replace(" ", FIXED)


def duration(seconds: float) -> str:
    """`48 s`, `12 min 5 s`, `3 h 20 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s" if seconds >= 1 or seconds == 0 else "under 1 s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def count(amount: int, one: str, many: str | None = None) -> str:
    """`1 prompt`, `1,204 prompts`."""
    return f"{amount:,} {one if amount == 1 else many or one + 's'}"


def listed(parts: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""
