"""How long the quickstart takes, from reading the data to the report, after the installation.

Taken from the manifests of the finished project that `effect` made: the seconds of all of its stages.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.claims.claim import Bound, Claim, Measurement

CLAIMS = (
    Claim(
        "minutes",
        "the quickstart on two cores, all stages, after the installation",
        "minutes",
        (Bound("<", 20.0),),
    ),
)


def measure() -> Iterator[tuple[str, Measurement]]:
    from benchmarks.claims.main_job.effect import finished_quickstart
    from tutelage import Project
    from tutelage.pipeline.graph import stages_of
    from tutelage.store.artifacts import finished_artifacts

    project = finished_quickstart()
    seconds = {
        s.name: finished_artifacts(project, s.name)[0].artifact.seconds
        for s in stages_of(Project(project).recipe())
    }
    longest = sorted(seconds, key=lambda name: -seconds[name])[:4]
    note = "one run; " + ", ".join(f"{name} {seconds[name] / 60:.1f}" for name in longest)
    yield "minutes", Measurement(sum(seconds.values()) / 60, 1, note=note)
