"""The claims' own arithmetic: what holds, what a crash leaves, what is kept, and the README's table."""

from __future__ import annotations

import json
import math
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.claims import results, table
from benchmarks.claims.alone import measure_alone
from benchmarks.claims.claim import Bound, Claim, Measurement, NotMeasured, dumps, failed, line
from benchmarks.claims.runner import run_row
from benchmarks.claims.subjects import UnknownClaim, chosen, load, rows, subjects

FIELDS = ["claim", "value", "low", "high", "n", "unit", "target", "holds", "seed", "seconds"]
FOUND = Measurement(0.62, 40, low=0.48, high=0.75, seed=3)


def claim(*bounds: Bound) -> Claim:
    return Claim("rate", "a rate", "share", bounds)


@pytest.mark.parametrize(
    ("bounds", "holds"),
    [
        ([Bound("<", 0.62)], False),  # 0.62 is not below itself
        ([Bound("<=", 0.62)], True),
        ([Bound(">", 0.62)], False),
        ([Bound(">=", 0.62)], True),
        ([Bound("=", 0.62)], True),
        ([Bound("=", 0.63)], False),
        ([Bound(">=", 0.60), Bound(">", 0.5, "low")], False),  # the value does, its interval does not
        ([Bound(">=", 0.60), Bound(">", 0.4, "low")], True),
        ([Bound("<", 0.8, "high")], True),
        ([Bound(">=", 0.70), Bound(">", 0.4, "low")], False),  # all bounds must be met
    ],
)
def test_holds_is_computed_from_the_numbers(bounds: list[Bound], holds: bool) -> None:
    assert line("main-job.x", claim(*bounds), FOUND, 1.0)["holds"] is holds


@pytest.mark.parametrize("relation", ["<", "<=", ">", ">=", "="])
@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_what_is_no_number_never_holds(relation: Any, value: float | None) -> None:
    said = line("main-job.x", claim(Bound(relation, 0.0)), Measurement(value, 5), 1.0)
    assert said["holds"] is False
    assert said["value"] is None


def test_an_interval_that_was_not_measured_does_not_hold() -> None:
    said = line("main-job.x", claim(Bound(">", -1.0, "low")), Measurement(0.9, 5), 1.0)
    assert said["holds"] is False


def test_the_form_of_a_line() -> None:
    said = line("main-job.x", claim(Bound(">=", 0.6), Bound(">", 0.5, "low")), FOUND, 1.23456)
    assert [key for key in said if key in FIELDS] == FIELDS
    assert said["target"] == "at least 0.6 and low end above 0.5"
    assert (said["row"], said["seconds"], said["seed"], said["n"]) == ("main-job.x.rate", 1.23, 3, 40)
    assert json.loads(dumps(said)) == said
    assert "\n" not in dumps(said)


def module(*measured: Any) -> Any:
    """A row with the claims a, b and c, which yields (or raises) what is given."""

    def measure() -> Iterator[Any]:
        for one in measured:
            if isinstance(one, Exception):
                raise one
            yield one

    claims = tuple(Claim(name, f"claim {name}", "", (Bound(">", 0),)) for name in "abc")
    return SimpleNamespace(CLAIMS=claims, measure=measure)


def test_a_crash_keeps_what_was_measured_and_fails_the_rest() -> None:
    said: list[dict[str, Any]] = []
    measure_alone(
        "main-job.x", module(("b", Measurement(1.0, 1)), ZeroDivisionError("by nought\nmore")), said.append
    )
    assert [(x["row"][-1], x["value"], x["holds"]) for x in said] == [
        ("b", 1.0, True),
        ("a", None, False),
        ("c", None, False),
    ]
    assert said[1]["note"] == said[2]["note"] == "ZeroDivisionError: by nought"


def test_a_claim_that_nobody_measured_fails() -> None:
    said: list[dict[str, Any]] = []
    measure_alone(
        "main-job.x", module(("a", Measurement(1.0, 1)), ("b", NotMeasured("too long"))), said.append
    )
    assert [(x["holds"], x.get("skipped", False)) for x in said] == [
        (True, False),
        (False, True),
        (False, False),
    ]


@pytest.mark.parametrize(
    "ending",
    ["import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "raise SystemExit(3)", "print('no JSON')"],
)
def test_a_process_that_dies_stops_nothing(ending: str) -> None:
    """A module's process may be killed half-way: what it had said counts, the rest fails, nothing is raised."""
    said = dumps(line("main-job.effect", load("main-job.effect").CLAIMS[0], Measurement(0.7, 9), 1.0))
    script = f"print({said!r}, flush=True)\n{ending}"
    heard: list[dict[str, Any]] = []
    lines = run_row("main-job.effect", heard.append, [sys.executable, "-c", textwrap.dedent(script)])
    assert lines == heard
    assert [x["row"].split(".")[-1] for x in lines] == [c.name for c in load("main-job.effect").CLAIMS]
    assert [x["holds"] for x in lines] == [True, False, False, False]
    assert all("ended with code" in x["note"] for x in lines[1:])


def test_names() -> None:
    assert chosen(["main-job"]) == [f"main-job.{row}" for row in rows("main-job")]
    assert chosen([]) == chosen(subjects()) and set(chosen(["main-job"])) < set(chosen([]))
    assert chosen(["main-job.resume", "main-job.resume"]) == ["main-job.resume"]
    with pytest.raises(UnknownClaim, match="no subject 'side-job'"):
        chosen(["side-job"])
    with pytest.raises(UnknownClaim, match="no row 'sleep'"):
        chosen(["main-job.sleep"])


def test_every_row_says_what_it_claims_without_torch() -> None:
    """Listing and the table import all modules, so they must be light; and no two rows share a name."""
    names: list[str] = []
    for name in chosen([]):
        claims = load(name).CLAIMS
        assert claims and all(c.target for c in claims)
        names += [f"{name}.{c.name}" for c in claims]
    assert len(names) == len(set(names))


def kept(folder: Path, *lines: dict[str, Any]) -> Path:
    return results.append("main-job", lines, folder)


def made(row: str, value: float) -> dict[str, Any]:
    module_name, name = row.rsplit(".", 1)
    found = next(c for c in load(module_name).CLAIMS if c.name == name)
    return line(module_name, found, Measurement(value, 7, value - 0.1, value + 0.1), 1.0)


def test_results_are_added_never_replaced(tmp_path: Path) -> None:
    kept(tmp_path, made("main-job.xstest.agreement", 0.85))
    path = kept(tmp_path, made("main-job.xstest.agreement", 0.95), made("main-job.effect.win_rate", 0.7))
    runs = json.loads(path.read_text())["runs"]
    assert [len(run["lines"]) for run in runs] == [1, 2]
    assert {"cpu", "cores", "memory_gib", "torch"} <= set(runs[0]["machine"])
    assert runs[0]["date"] <= runs[1]["date"]
    assert results.newest(path)["main-job.xstest.agreement"][0]["value"] == 0.95


def test_what_was_left_out_on_purpose_is_not_kept(tmp_path: Path) -> None:
    kept(tmp_path, made("main-job.xstest.agreement", 0.95) | {"skipped": True})
    assert not (tmp_path / "main-job.json").exists()


def test_the_table(tmp_path: Path) -> None:
    resume, xstest = load("main-job.resume").CLAIMS[0], "main-job.xstest.agreement"
    kept(tmp_path, made(xstest, 0.95), failed("main-job.resume", resume, "a | pipe", 1.0))
    text = table.table(tmp_path, ["main-job"])
    assert len(text) == 6  # head, rule, two rows, a gap, where it was measured
    assert "not measured: a \\| pipe" in text[2] and text[2].endswith(
        "| **no** |"
    )  # the order is the subject's
    assert "95.0% [85.0, 105.0], n 7" in text[3] and text[3].endswith("| at least 0.9 | yes |")
    assert text[5].startswith("1 of 2 hold.")


def test_the_table_in_the_readme_is_idempotent(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"# Before\n\n{table.BEGIN}\nold \\1 rows\n{table.END}\n\nafter\n")
    assert table.rewrite(readme, tmp_path, ["main-job"]) == 0
    assert "Nothing has been measured yet" in readme.read_text()
    kept(tmp_path, made("main-job.xstest.agreement", 0.95))
    assert table.rewrite(readme, tmp_path, ["main-job"]) == 1
    once = readme.read_text()
    assert once.startswith("# Before\n\n<!-- claims -->\n| claim |") and once.endswith(
        "<!-- /claims -->\n\nafter\n"
    )
    stamp = readme.stat().st_mtime_ns
    assert table.rewrite(readme, tmp_path, ["main-job"]) == 1
    assert readme.read_text() == once and readme.stat().st_mtime_ns == stamp


@pytest.mark.parametrize(
    "text", ["no markers", table.BEGIN, table.END + table.BEGIN, 2 * (table.BEGIN + table.END)]
)
def test_a_readme_without_a_place_for_it(tmp_path: Path, text: str) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(text)
    with pytest.raises(table.NoMarkers):
        table.rewrite(readme, tmp_path, ["main-job"])
    assert readme.read_text() == text


def test_the_effect_is_read_from_a_summary() -> None:
    """By hand: 50 of 100 to 10 of 100 is 80% fewer; the differences are in points, with their paired ends."""
    from benchmarks.claims.main_job.effect import CLAIMS, measured

    def share(value: float, low: float, high: float) -> dict[str, float]:
        return {"value": value, "low": low, "high": high, "n": 100}

    base = {
        "harmful_compliance": share(0.50, 0.40, 0.60),
        "over_refusal": share(0.05, 0.02, 0.11),
        "capability_accuracy": share(0.40, 0.31, 0.50),
        "win_rate_vs_base": share(0.5, 0.5, 0.5),
    }
    ppo = {
        "harmful_compliance": share(0.10, 0.06, 0.17),
        "over_refusal": share(0.16, 0.10, 0.24),
        "capability_accuracy": share(0.39, 0.30, 0.49),
        "win_rate_vs_base": share(0.66, 0.56, 0.75),
    }
    paired = {"ppo_vs_base": {"over_refusal": {"difference": 0.11, "low": 0.04, "high": 0.19}}}
    found = measured({"base": base, "ppo": ppo, "paired": paired}, seed=17)
    assert found["harmful_compliance"].value == pytest.approx(0.8)
    assert found["harmful_compliance"].low < 0.8 < found["harmful_compliance"].high  # type: ignore[operator]
    assert (found["over_refusal"].value, found["over_refusal"].high) == pytest.approx((11.0, 19.0))
    assert found["capability"].value == pytest.approx(-1.0)
    holds = {c.name: line("main-job.effect", c, found[c.name], 0.0)["holds"] for c in CLAIMS}
    assert holds == {"harmful_compliance": True, "win_rate": True, "capability": True, "over_refusal": False}


def test_the_interval_of_a_reduction_covers_as_often_as_it_says() -> None:
    """Drawn again and again from known rates, the interval holds the true reduction about 95 times in 100."""
    import numpy as np

    from benchmarks.claims.main_job.effect import reduction_interval
    from tutelage.stats.intervals import wilson

    generator = np.random.default_rng(0)
    truth, inside, draws = 1 - 0.15 / 0.6, 0, 400
    for _ in range(draws):
        before, after = (wilson(int(generator.binomial(100, p)), 100) for p in (0.6, 0.15))
        low, high = reduction_interval(vars(before), vars(after))
        inside += low <= truth <= high  # type: ignore[operator]
    assert 0.92 <= inside / draws <= 0.98


def test_two_processes_do_not_share_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess

    from benchmarks.claims.runner import environment
    from benchmarks.claims.workplace import emptied

    monkeypatch.setenv("TUTELAGE_CLAIMS_DIR", str(tmp_path))
    (emptied("one") / "made").write_text("mine")
    assert not any(emptied("one").iterdir())  # the same process may begin again
    script = "from benchmarks.claims.workplace import emptied; emptied('one')"
    done = subprocess.run([sys.executable, "-c", script], env=environment(), capture_output=True, text=True)
    assert "another run of the claims works in" in done.stderr
    script = script.replace("one", "two")
    assert subprocess.run([sys.executable, "-c", script], env=environment()).returncode == 0
