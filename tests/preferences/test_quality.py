"""From judgements to reports, flags and weights: simulated raters of every kind, gold, ties, and bad input."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from benchmarks.claims.people.simulated import Size, World, draw_world
from tutelage.core.errors import DataError
from tutelage.core.records import Judgement
from tutelage.preferences.quality import Quality, RaterReport, assess
from tutelage.preferences.rated import GOLD, rated
from tutelage.preferences.resolve import resolve_comparisons

SIZE = Size(prompts=600, overlap=4, honest=8, careless=1, first=2, length=2, colluding=3)


@pytest.fixture(scope="module")
def world() -> World:
    return draw_world(SIZE, seed=0)


@pytest.fixture(scope="module")
def quality(world: World) -> Quality:
    return assess(world.judgements, lengths=world.lengths)


def reports(quality: Quality) -> dict[str, RaterReport]:
    return {report.rater: report for report in quality.raters}


def kinds(report: RaterReport) -> set[str]:
    return {flag.kind for flag in report.flags}


def say(
    rater: str,
    prompt: str,
    groups: Sequence[Sequence[str]],
    shown: Sequence[str] = ("a", "b", "c"),
    **kept: object,
) -> Judgement:
    names = tuple(f"{prompt}-{name}" for name in shown)
    ranking = tuple(tuple(f"{prompt}-{name}" for name in group) for group in groups)
    return Judgement(prompt, names, ranking, rater, **kept)  # type: ignore[arg-type]


def test_each_kind_of_rater_is_told(world: World, quality: Quality) -> None:
    by_name = reports(quality)
    assert quality.colluding == (tuple(f"colluding-{i}" for i in range(3)),)
    told = {"first": {"first shown"}, "length": {"longer"}, "colluding": {"colluding"}}
    for rater in world.raters:
        report = by_name[rater.name]
        found = kinds(report) & {"colluding", "first shown", "longer", "drift", "upside down"}
        wanted = told.get(rater.kind, set())
        # with so few judgements, a habit that shows on fewer than half of them need not be told
        assert found == wanted or (rater.often < 0.5 and not found), (rater, report)
        assert ("quick" in kinds(report)) == (rater.kind in ("careless", "first"))
    assert any(rater.often >= 0.5 for rater in world.raters if rater.kind in ("first", "length"))
    said = next(f.reason for f in by_name["colluding-0"].flags if f.kind == "colluding")
    assert "colluding-1 and colluding-2" in said and "%" in said


def test_reports_are_about_the_truth(world: World, quality: Quality) -> None:
    found = reports(quality)
    assert list(found) == sorted(found, key=lambda name: (found[name].reliability.value, name))
    off = [found[name].reliability.value - true for name, true in world.reliability.items()]
    assert np.abs(off).max() < 0.1 and abs(np.mean(off)) < 0.03
    counts = {name: sum(j.rater == name for j in world.judgements) for name in found}
    assert {name: report.judgements for name, report in found.items()} == counts
    first = found["first-0"]
    assert first.place_bias.low > 0.1 and first.seconds is not None and first.seconds < 15
    assert first.agreement is not None and 0.5 < first.agreement.value < 0.65
    assert first.gold is None


def test_weights_make_a_better_order(world: World, quality: Quality) -> None:
    def right(weights: dict[str, float] | None) -> float:
        resolved = resolve_comparisons(world.judgements, rater_weights=weights)
        truth = [world.truth[c.chosen] > world.truth[c.rejected] for c in resolved]
        ties = [c.preference == 0.5 for c in resolved]
        return float(np.mean(np.where(ties, 0.5, truth)))

    assert right(quality.weights) > right(None) + 0.02
    given = [quality.weights[j.rater] for j in world.judgements]
    assert np.mean(given) == pytest.approx(1.0)
    honest = np.mean([quality.weights[n] for n in world.named("honest")])
    assert max(quality.weights[n] for n in world.named("colluding")) < 0.3 * honest


def test_scores_and_alphas(world: World, quality: Quality) -> None:
    pairs = [(world.truth[name], score) for (_, name), score in quality.scores.items()]
    assert len(pairs) == len(world.truth)
    assert np.corrcoef(np.array(pairs).T)[0, 1] > 0.6
    assert quality.alpha_pairs is not None and quality.alpha_ranks is not None
    assert quality.alpha_pairs.low < quality.alpha_pairs.value < quality.alpha_pairs.high
    assert quality.alpha_pairs.n == SIZE.prompts
    mean = np.average(
        [p.agreement.value for p in quality.pairs], weights=[p.agreement.n for p in quality.pairs]
    )
    # without ties a preference is one of two, each as frequent, so alpha is 2 agreement - 1, but for small numbers
    assert quality.alpha_pairs.value == pytest.approx(2 * mean - 1, abs=0.02)


def test_order_and_names_do_not_matter(world: World, quality: Quality) -> None:
    again = assess(list(world.judgements)[::-1], lengths=world.lengths)
    assert again.colluding == quality.colluding
    found = reports(again)
    for name, report in reports(quality).items():
        assert found[name].reliability.value == pytest.approx(report.reliability.value, abs=1e-9)
        assert found[name].place_bias.value == pytest.approx(report.place_bias.value, abs=1e-9)
        assert found[name].agreement == report.agreement


def test_gold_answers_are_the_truth_where_everyone_is_wrong(world: World) -> None:
    honest = [j for j in world.judgements if j.rater.startswith("honest")]
    turned = [
        Judgement(j.prompt_id, j.shown, j.ranking[::-1], j.rater) if j.rater != "honest-0" else j
        for j in honest
    ]
    prompts = sorted({j.prompt_id for j in turned})[:60]
    gold = {
        p: [
            [name] for name in sorted((n for n in world.truth if n.startswith(f"{p}-")), key=world.truth.get)
        ][::-1]  # type: ignore[arg-type]
        for p in prompts
    }
    found = reports(assess(turned, gold=gold))
    assert GOLD not in found
    assert found["honest-0"].reliability.low > 0.5
    assert all(r.reliability.value < 0.5 for name, r in found.items() if name != "honest-0")
    assert found["honest-0"].gold is not None and found["honest-0"].gold.value > 0.6
    assert "upside down" in kinds(found["honest-1"])
    weights = assess(turned, gold=gold).weights
    assert weights["honest-0"] > 0.0 and weights["honest-1"] == 0.0


def test_drift_goes_by_when_not_by_order(world: World) -> None:
    """A rater who is careful in the first half of his time alone; judgements come shuffled."""
    generator = np.random.default_rng(0)
    best = max(world.reliability, key=world.reliability.get)  # type: ignore[arg-type]
    mine = [n for n, j in enumerate(world.judgements) if j.rater == best]
    tired = set(mine[len(mine) // 2 :])
    said = [
        Judgement(
            j.prompt_id, j.shown, tuple(j.ranking[i] for i in generator.permutation(len(j.ranking))), j.rater
        )
        if n in tired
        else j
        for n, j in enumerate(world.judgements)
    ]
    when = {j.id: float(n) for n, j in enumerate(said)}
    shuffled = [said[i] for i in generator.permutation(len(said))]
    report = reports(assess(shuffled, when=when))[best]
    assert report.drift is not None and report.drift.high < -0.1
    assert "drift" in kinds(report)
    assert report.length_bias is None  # no lengths were given


def test_what_counts() -> None:
    said = [
        say("ann", "p", ["a", "b", "c"]),
        say("ann", "p", ["c", "b", "a"]),  # the later one counts
        say("ben", "p", ["c", "ab"]),
        say("cy", "p", ["c"]),  # ranks a single one
        say("dee", "p", ["a", "b"], shown="ab"),  # saw others
        say("robot", "p", ["a", "b", "c"], kind="ai"),
    ]
    what = rated(said)
    assert what.raters == ("ann", "ben", "dee")
    assert [unit[1] for unit in what.units] == [("p-a", "p-b"), ("p-a", "p-b", "p-c")]
    assert next((j.rater, j.ranking[0]) for j in what.judgements) == ("ann", ("p-c",))
    assert what.layout.place[0].tolist() == [2.0, 1.0, 0.0]
    assert what.layout.place[1].tolist() == [1.5, 1.5, 0.0]
    assert rated(said, kinds=("ai",)).raters == ("robot",)
    golden = rated(said, gold={"p": [["p-c"], ["p-a"]], "other": [["x"], ["y"]]})
    assert (
        golden.raters[-1] == GOLD and len(golden.layout.rater) == 4
    )  # the gold answer says nothing of those who saw a and b
    assert len(golden.judgements) == 3
    assert not rated(said, gold={"p": [["p-c"]]}).known


def test_lengths_are_told_within_prompts() -> None:
    said = [say("ann", p, ["a", "b", "c"]) for p in ("p", "q")]
    lengths = {"p-a": 10, "p-b": 20, "p-c": 40, "q-a": 100, "q-b": 200, "q-c": 400}
    length = rated(said, lengths=lengths).layout.length
    assert length[0] == pytest.approx(length[1])
    assert length.mean(axis=1) == pytest.approx([0, 0], abs=1e-12)
    assert float((length**2).mean()) == pytest.approx(1.0)
    del lengths["q-c"]
    assert rated(said, lengths=lengths).layout.length[1].tolist() == [0.0, 0.0, 0.0]


def test_little_is_no_error_and_nothing_is() -> None:
    alone = assess([say("ann", "p", ["a", "b", "c"], seconds=3.0)])
    (report,) = alone.raters
    assert (report.judgements, report.weight, report.seconds) == (1, 1.0, 3.0)
    assert report.agreement is None and report.drift is None and report.flags == ()
    assert alone.alpha_pairs is None and alone.pairs == ()
    with pytest.raises(DataError, match="no judgement ranks two"):
        assess([say("ann", "p", ["a"])])
    with pytest.raises(DataError, match="no judgement ranks two"):
        assess([])
