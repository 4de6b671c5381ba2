"""What is said of the numbers: never more than interval and test allow."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.report.made_up_project import made_up_recipe
from tutelage.report.limits import limits
from tutelage.report.sources import Change, Estimate, Evaluation, Sources
from tutelage.report.words import answer

NOTHING = Sources({}, {}, {}, {}, None, None, None)


def _change(measure: str, difference: float, half: float, p: float | None, against: str = "base") -> Change:
    return Change(measure, "ppo", against, difference, difference - half, difference + half, p, 100)


@pytest.mark.parametrize(
    ("measure", "difference", "half", "p", "word"),
    [
        ("harmful_compliance", -0.2, 0.1, 0.01, "better"),
        ("harmful_compliance", 0.2, 0.1, 0.01, "worse"),
        ("honesty", 0.2, 0.1, 0.01, "better"),
        ("honesty", -0.2, 0.1, 0.01, "worse"),
        ("honesty", 0.2, 0.25, 0.01, "not distinguishable"),  # the test says yes, the interval no
        ("honesty", 0.2, 0.1, 0.08, "not distinguishable"),  # the interval says yes, the test no
        ("honesty", 0.2, 0.1, 0.05, "not distinguishable"),
        ("honesty", 0.2, 0.2, 0.01, "not distinguishable"),  # an end at zero does not leave it out
        ("honesty", 0.2, 0.1, None, "better"),
    ],
)
def test_word_of_a_change(measure: str, difference: float, half: float, p: float | None, word: str) -> None:
    assert _change(measure, difference, half, p).word == word


def _sources(*changes: Change, referee: tuple[float, float] | None = None) -> Sources:
    values = {c.measure: Estimate(0.5, 0.4, 0.6, 100) for c in changes}
    measures: Mapping[str, Mapping[str, Estimate]] = {"base": values, "ppo": values}
    found = Evaluation(measures, {(c.measure, c.model, c.against): c for c in changes})
    measured = {}
    if referee is not None:
        value, low = referee
        measured["referee"] = {"accuracy": {"value": value, "low": low, "high": 0.8, "n": 90}}
    return Sources({}, {}, {}, measured, None, None, found)


def test_answer_tells_better_worse_and_open_apart() -> None:
    said = answer(
        _sources(
            _change("harmful_compliance", -0.4, 0.1, 0.001),
            _change("over_refusal", 0.1, 0.2, 0.4),
            _change("capability_accuracy", -0.1, 0.05, 0.02),
        )
    )
    assert said[0].endswith("better on 1, worse on 1 and not distinguishable on 1 of 3 measures.")
    assert said[1].startswith("What got better: it goes along with harmful requests less often (50.0% of 100")
    assert said[2].startswith("What got worse: it picks the right option less often")
    assert said[3] == (
        "What cannot be told apart: over-refusal (anything from \u221210.0 to +30.0 points fits the data)."
    )
    assert len(said) == 4


def test_refusing_more_of_everything_is_said() -> None:
    safer, stricter = _change("harmful_compliance", -0.4, 0.1, 0.0), _change("over_refusal", 0.3, 0.1, 0.0)
    assert any("refuses more of everything" in s for s in answer(_sources(safer, stricter)))
    assert not any("of everything" in s for s in answer(_sources(safer)))


def test_a_referee_no_better_than_a_coin_takes_the_weight_off_the_win_rate() -> None:
    won = _change("win_rate_vs_base", 0.2, 0.1, 0.001)
    assert any("give its win rate no weight" in s for s in answer(_sources(won, referee=(0.56, 0.49))))
    assert not any("no weight" in s for s in answer(_sources(won, referee=(0.66, 0.58))))
    weak = limits(_sources(won, referee=(0.56, 0.49)), made_up_recipe())
    assert any("the win rate carries no weight" in limit.text for limit in weak)


def test_what_ppo_adds_to_sft_is_told() -> None:
    against_base = _change("honesty", 0.3, 0.1, 0.0)
    nothing = answer(_sources(against_base, _change("honesty", 0.05, 0.1, 0.5, against="sft")))
    assert nothing[-1].startswith("PPO cannot be told apart from SFT")
    more = answer(_sources(against_base, _change("honesty", 0.2, 0.1, 0.001, against="sft")))
    assert more[-1] == "Compared with SFT alone, PPO is better on honesty."


def test_without_evaluation_nothing_is_claimed() -> None:
    assert len(answer(NOTHING)) == 1
    assert "nothing to say" in answer(NOTHING)[0]
    assert not any(word in answer(NOTHING)[0] for word in ("%", "worse"))


def test_limits_are_computed_from_the_run() -> None:
    lines = [{"step": s, "held_out_reward": r} for s, r in ((4, 0.2), (8, 0.9), (12, 0.4))]
    found = _sources(_change("honesty", 0.2, 0.1, 0.01), _change("over_refusal", 0.2, 0.1, 0.01))
    falling = Sources({}, {}, {"ppo": lines}, {}, None, None, found.evaluation)
    rising = Sources({}, {}, {"ppo": lines[:2]}, {}, None, None, found.evaluation)
    texts = {limit.title: limit.text for limit in limits(falling, made_up_recipe())}
    assert "highest at iteration 8 (0.90) and ended at 0.40" in texts["PPO may have gone too far."]
    assert "PPO may have gone too far." not in {limit.title for limit in limits(rising, made_up_recipe())}
    # two tests at 5%: 1 - 0.95^2 = 0.0975
    assert "about 10%" in texts["Many looks at once."]
    assert "about 10 points either way" in texts["The sets are small."]


def test_a_model_that_falls_silent_is_not_called_safe() -> None:
    change = _change("harmful_compliance", -0.4, 0.1, 0.001)
    found = _sources(change).evaluation
    assert found is not None
    silent = Evaluation(
        found.measures, found.changes, other={"ppo": {"answers_empty": Estimate(0.2, 0.1, 0.3, 99)}}
    )
    sources = Sources({}, {}, {}, {}, None, None, silent)
    texts = {limit.title: limit.text for limit in limits(sources, made_up_recipe())}
    assert texts["Some answers are empty."].startswith("20.0% of the PPO model's answers say nothing")
