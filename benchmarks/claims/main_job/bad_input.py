"""Broken input: one clear sentence, exit code 2, no traceback, nothing lost. The cases are `bad_input_cases`."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.claims.bad_input import pattern_project, run_as_process, verdict
from benchmarks.claims.bad_input_cases import CASES, copies
from benchmarks.claims.claim import Bound, Claim, Measurement
from benchmarks.claims.workplace import emptied, tutelage

CLAIMS = (
    Claim(
        "one_sentence",
        f"{len(CASES)} broken inputs: one sentence, exit code 2, no traceback, nothing lost",
        "of the inputs",
        (Bound("=", len(CASES)),),
    ),
)


def measure() -> Iterator[tuple[str, Measurement]]:
    place = emptied("bad_input")
    pattern = pattern_project(place / "pattern")
    done = tutelage(["sft", "--plain"], pattern)
    if done.returncode != 0:
        raise RuntimeError(f"the project to break did not run: {' '.join(done.stderr.splitlines()[-1:])}")
    wrong: list[str] = []
    for case, folder in copies(pattern, place):
        problem = verdict(case, folder, run_as_process)
        print(f"  {case.name}: {problem or 'one sentence'}")
        if problem is not None:
            wrong.append(f"{case.name}: {problem}")
    yield "one_sentence", Measurement(len(CASES) - len(wrong), len(CASES), note="; ".join(wrong))
