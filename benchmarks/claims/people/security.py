"""Do the pages withstand what is sent to them: every kind of request, and every attack that we know to try?

Both rows talk to `tutelage serve rate` over HTTP. Fuzzing (`fuzzing.py`) looks for answers of 500 and above; attacks
(`intrusion/`, told in docs/concepts/security-of-the-pages.md) for what success would leave behind. The tests
take away what stops an attack, and see it get through.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from benchmarks.claims.claim import Bound, Claim, Measurement

ROLES = ("owner", "rater", "nobody")
EXAMPLES, SEED = 12, 1
"""Random cases an endpoint and kind, after the boundary cases."""
NONE = (Bound("=", 0.0),)
CLAIMS = (
    Claim(
        "fuzzing", "answers of 500 or above when every endpoint is fuzzed, pages included", "answers", NONE
    ),
    Claim("attacks", "attacks on the pages that got through", "attacks", NONE),
)


def measure() -> Iterator[tuple[str, Measurement]]:
    yield "fuzzing", fuzzing(EXAMPLES)
    yield "attacks", attacks()


def fuzzing(examples: int) -> Measurement:
    """As owner, as rater and as nobody; `n` counts requests."""
    from benchmarks.claims.people.fuzzing import fuzz
    from benchmarks.claims.people.intrusion.scene import served, starter

    statuses: Counter[int] = Counter()
    failures: list[str] = []
    for role in ROLES:
        with served("people-fuzzing", starter(12)) as scene:
            heard = fuzz(scene, role, examples, SEED)
            alive = scene.alive()
        statuses += heard.statuses
        failures += heard.failures if alive else [*heard.failures, f"the server does not answer after {role}"]
    kinds = {f"{k}xx": sum(n for s, n in statuses.items() if s // 100 == k) for k in (2, 3, 4)}
    told = ", ".join(f"{n} {kind}" for kind, n in kinds.items())
    note = (
        f"{sum(statuses.values())} requests as {', '.join(ROLES)}: {told}, of them {statuses[429]} held back"
    )
    if failures:
        note += f"; {', '.join(sorted(set(failures))[:5])}"
    return Measurement(len(failures), sum(statuses.values()), seed=SEED, note=note)


def attacks() -> Measurement:
    """Every try of every attack; `n` counts tries."""
    from benchmarks.claims.people.intrusion.scene import served
    from benchmarks.claims.people.intrusion.scripts import hacked_prompts
    from benchmarks.claims.people.intrusion.table import attempts

    through: list[str] = []
    tries = kinds = 0
    with served("people-attacks", hacked_prompts()) as scene:
        for attack, made in attempts(scene):
            kinds, tries = kinds + 1, tries + len(made)
            through += [f"{attack.name}: {one.what}" for one in made if one.through]
        requests = scene.requests
    note = f"{kinds} kinds of attack, {requests} requests beside those of the browser"
    return Measurement(len(through), tries, note="; ".join([note, *through[:5]]))
