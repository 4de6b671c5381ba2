"""The reward model: finds a planted preference, weighs prompts alike, resumes, is measured honestly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn.metrics import accuracy_score

from tests.helpers_training import LORA, KillAt, Killed, tiny_trunk
from tutelage.core.recorder import Recorder
from tutelage.core.records import Comparison, Prompt, Ranking, Response
from tutelage.core.settings import OptimSettings, RewardSettings
from tutelage.models.reward import RewardModel, Scorer
from tutelage.models.roles import new_reward_model
from tutelage.training.measure import measure, pair_accuracy, scored
from tutelage.training.probe import fit_head
from tutelage.training.ranked import RankedExample, ranked_examples
from tutelage.training.reward_model import (
    accumulate,
    calibrate,
    prompt_loss,
    train_reward_model,
    trunk_parameters,
)

SETTINGS = RewardSettings(optim=OptimSettings(learning_rate=1e-2), epochs=4, batch=4, checkpoint_every=3)


def planted(count: int, start: int = 0) -> tuple[dict, dict, list[Ranking], list[Comparison]]:
    """Prompts with three answers each; the one that says 'know' is best, 'maybe' next, 'banana' worst."""
    prompts, responses, rankings, comparisons = {}, {}, [], []
    for i in range(start, start + count):
        prompt = Prompt.of(f"Question {i}?", category="even" if i % 2 else "odd")
        texts = [f"I do not know {i}.", f"maybe {i}", f"banana {i} banana"]
        answers = [Response(prompt.id, t, "test") for t in texts]
        prompts[prompt.id] = prompt
        responses |= {a.id: a for a in answers}
        ids = [a.id for a in answers]
        rankings.append(Ranking(prompt.id, tuple((x,) for x in ids), ("j",), split="reward"))
        pairs = [(0, 1), (0, 2), (1, 2)]
        comparisons += [Comparison(prompt.id, ids[a], ids[b], ("j",), split="reward") for a, b in pairs]
    return prompts, responses, rankings, comparisons


def fresh(folder: Path, tune: str = "lora") -> RewardModel:
    return new_reward_model(tiny_trunk(folder, tune), "reward", LORA, None, seed=0)


def _parameters(model: RewardModel) -> list[torch.nn.Parameter]:
    return [*trunk_parameters(model), model.head.weight]


def examples(model: RewardModel, count: int, start: int = 0) -> list[RankedExample]:
    return ranked_examples(*planted(count, start), model.trunk.contract)


@pytest.mark.parametrize("loss", ["bradley-terry", "plackett-luce"])
def test_finds_a_planted_preference(tiny_folder: Path, tmp_path: Path, loss: str) -> None:
    model = fresh(tiny_folder)
    settings = SETTINGS.model_copy(update={"loss": loss})
    held_out = examples(model, 8, start=100)
    assert pair_accuracy(scored(model, held_out)) == pytest.approx(0.5)  # the head starts at zero
    measured = train_reward_model(
        model,
        examples(model, 16),
        held_out,
        settings,
        folder=tmp_path,
        recorder=Recorder("reward", tmp_path),
        seed=1,
    )
    assert measured["accuracy"]["value"] > 0.95
    assert measured["measured_on"] == {"prompts": 8, "comparisons": 24}


@pytest.mark.parametrize("probe_prompts", [0, 10])
def test_resumes_to_the_same_bits(tiny_folder: Path, tmp_path: Path, probe_prompts: int) -> None:
    settings, finals = SETTINGS.model_copy(update={"probe_prompts": probe_prompts}), []
    for name, stops in (("whole", (None,)), ("killed", (5, 11, None))):
        folder = tmp_path / name
        folder.mkdir()
        for stop in stops:
            model = fresh(tiny_folder)
            recorder = Recorder("reward", folder, [KillAt(stop)] if stop else [])
            run = lambda m, r, f: train_reward_model(  # noqa: E731
                m, examples(m, 16), examples(m, 4, 50), settings, folder=f, recorder=r, seed=1
            )
            if stop:
                with pytest.raises(Killed):
                    run(model, recorder, folder)
            else:
                run(model, recorder, folder)
        finals.append([p.detach().clone() for p in _parameters(model)])
    assert all(torch.equal(a, b) for a, b in zip(*finals, strict=True))


def test_micro_batches_and_prompts_add_up(tiny_folder: Path) -> None:
    """A batch's loss is the mean of its prompts' losses, however it is cut."""
    gradients, losses = [], []
    for budget in (10_000, 80):
        model = fresh(tiny_folder)
        with torch.no_grad():
            model.head.weight.normal_(generator=torch.Generator().manual_seed(1))
        settings = SETTINGS.model_copy(update={"optim": OptimSettings(micro_batch_tokens=budget)})
        loss = accumulate(model, examples(model, 6), settings, 0)["loss"]
        losses.append(loss)
        gradients.append([p.grad.clone() for p in _parameters(model) if p.grad is not None])
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    assert all(torch.allclose(a, b, atol=1e-5, rtol=1e-4) for a, b in zip(*gradients, strict=True))


def test_a_prompt_is_one_unit(tiny_folder: Path) -> None:
    """Twice the raters who agree, or twice the pairs, do not make a prompt weigh twice."""
    model = fresh(tiny_folder)
    (one,) = examples(model, 1)
    doubled = RankedExample(**{**one.__dict__, "rankings": one.rankings * 2, "pairs": one.pairs * 2})
    scores = torch.tensor([0.3, -0.2, 0.1])
    for loss in ("bradley-terry", "plackett-luce"):
        settings = SETTINGS.model_copy(update={"loss": loss})
        assert float(prompt_loss(scores, one, settings)) == pytest.approx(
            float(prompt_loss(scores, doubled, settings)), abs=1e-6
        )


def test_measure_against_scikit_learn_and_by_hand() -> None:
    """40 prompts of two answers, whose scores are drawn: accuracy and calibration by other means."""
    generator = np.random.default_rng(0)
    items = []
    for i in range(400):
        margin = generator.normal(0, 2)
        better_first = generator.random() < expit(margin)
        pair = (0, 1, 1.0, 1.0) if better_first else (1, 0, 1.0, 1.0)
        example = RankedExample(f"p{i}", "c", (1,), ((2,), (3,)), (), (pair,), (3 + i % 2, 3))
        items.append((example, torch.tensor([margin, 0.0])))
    measured = measure(items)
    margins = [float(s[e.pairs[0][0]] - s[e.pairs[0][1]]) for e, s in items]
    assert measured["accuracy"]["value"] == pytest.approx(accuracy_score([1] * 400, [m > 0 for m in margins]))
    # the margins were drawn with temperature 1, so that is what is found, and the error is only noise
    assert measured["temperature"] == pytest.approx(1.0, abs=0.2)
    assert measured["ece_after"] < 0.06
    assert sum(b["count"] for b in measured["reliability_after"]) == 400
    assert measured["length_bias"]["chosen_longer_share"] == pytest.approx(0.5, abs=0.1)


def test_overconfidence_is_seen_and_mended() -> None:
    """Scores ten times too large: calibration error before, none after, temperature near ten."""
    generator = np.random.default_rng(1)
    items = []
    for i in range(600):
        margin = generator.normal(0, 1.5)
        pair = (0, 1, 1.0, 1.0) if generator.random() < expit(margin) else (1, 0, 1.0, 1.0)
        example = RankedExample(f"p{i}", "c", (1,), ((2,), (3,)), (), (pair,), (3, 3))
        items.append((example, torch.tensor([10 * margin, 0.0])))
    measured = measure(items)
    assert measured["temperature"] == pytest.approx(10.0, rel=0.2)
    assert measured["ece_before"] > 0.15
    assert measured["ece_after"] < 0.05


def _example(
    rankings: tuple = (), pairs: tuple = ((0, 1, 1.0, 1.0),), lengths: tuple = (1, 1)
) -> RankedExample:
    responses = tuple((5,) * n for n in lengths)
    return RankedExample("p", "c", (1,), responses, rankings, pairs, lengths)


def test_gaps_by_hand() -> None:
    """Places 0, 1, 2 (two tied), 3 of the first ranking; the second knows two of them and is too short."""
    ranking = (((0,), (1,), (2, 3), (4,)), 1.0)
    short = (((1,), (0,)), 5.0)
    turned = (((4,), (1,), (0,)), 3.0)
    pairs = tuple((a, b, 1.0, 1.0) for a, b in ((0, 1), (0, 2), (0, 4), (2, 3), (1, 4)))
    one = _example((ranking, short), pairs, (1,) * 5)
    # neighbours 0; one place between of at most two: 1/2; the ends 1; tied 0; 1/2
    assert one.gaps(torch.device("cpu")).tolist() == [0.0, 0.5, 1.0, 0.0, 0.5]
    # (1 * 1 + 3 * 1) / 4 for the ends; (1 * 1/2 + 3 * 0) / 4 for (1, 4)
    both = _example((ranking, turned), pairs, (1,) * 5).gaps(torch.device("cpu")).tolist()
    assert both == [0.0, 0.5, 1.0, 0.0, 0.125]


def test_losses_with_margins_and_of_noisy_labels_by_hand() -> None:
    ranking = (((0,), (1,), (2,)), 1.0)
    pairs = ((0, 1, 1.0, 1.0), (0, 2, 1.0, 1.0))
    example, scores = _example((ranking,), pairs, (1, 1, 1)), torch.tensor([1.0, 0.0, -1.0])
    plain = RewardSettings(loss="margin", margin=2.0, score_l2=0.0)
    # softplus(-1) = 0.3132617 for neighbours, softplus(-2 + 2) = 0.6931472 for the ends
    assert float(prompt_loss(scores, example, plain)) == pytest.approx((0.3132617 + 0.6931472) / 2, abs=1e-6)
    robust = RewardSettings(loss="robust", flip_rate=0.2, score_l2=0.0)
    # (0.8 softplus(-d) - 0.2 softplus(d)) / 0.6 at d = 1, 2: softplus(-2) = 0.1269280, softplus(2) = 2.1269280
    expected = [(0.8 * 0.3132617 - 0.2 * 1.3132617) / 0.6, (0.8 * 0.1269280 - 0.2 * 2.1269280) / 0.6]
    assert float(prompt_loss(scores, example, robust)) == pytest.approx(sum(expected) / 2, abs=1e-6)
    smooth = RewardSettings(loss="bradley-terry", label_smoothing=0.2, score_l2=0.0)
    expected = [0.8 * 0.3132617 + 0.2 * 1.3132617, 0.8 * 0.1269280 + 0.2 * 2.1269280]
    assert float(prompt_loss(scores, example, smooth)) == pytest.approx(sum(expected) / 2, abs=1e-6)


def test_smoothing_wants_pairs() -> None:
    with pytest.raises(ValueError, match="set loss to bradley-terry"):
        RewardSettings(loss="plackett-luce", label_smoothing=0.1)


def test_length_is_taken_off_by_the_slope_that_was_planted() -> None:
    """Score = quality + 0.3 a token: after calibration the score is the quality, up to a constant a prompt."""
    draw = np.random.default_rng(0)
    lengths = draw.integers(1, 40, size=(300, 2))
    quality = draw.normal(size=(300, 2))
    planted = torch.tensor(quality + 0.3 * lengths + 5 * draw.normal(size=(300, 1)), dtype=torch.float32)

    class Planted(Scorer):
        def raw(self, pairs: list) -> torch.Tensor:
            return torch.stack([planted[prompt[0], response[0]] for prompt, response in pairs])

    found = [(i, (0,) * n, (1,) * m) for i, (n, m) in enumerate(lengths)]
    data = []
    for i, one, other in found:
        better = (0, 1) if quality[i, 0] > quality[i, 1] else (1, 0)
        words = (len(one), len(other))
        data.append(RankedExample(f"p{i}", "c", (i,), (one, other), (), ((*better, 1.0, 1.0),), words))
    model, biased = Planted(None), Planted(None)
    measured = calibrate(model, data[:200], data[200:], length_debias=True)
    before = calibrate(biased, data[:200], data[200:])
    assert model.length_slope == pytest.approx(0.3, abs=0.03)
    assert (before["length_slope"], biased.length_slope) == (0.0, 0.0)
    assert before["accuracy"]["value"] < 0.7 < 0.9 < measured["accuracy"]["value"]
    assert before["length_bias"]["score_length_correlation"] > 0.9
    assert abs(measured["length_bias"]["score_length_correlation"]) < 0.3
    assert model.normalised(
        model.scores([p for e in data[:200] for p in e.sequences])
    ).std() == pytest.approx(1.0)


def test_a_probe_orders_responses_before_anything_is_learnt(tiny_folder: Path) -> None:
    model = fresh(tiny_folder)
    seen, unseen = examples(model, 40), examples(model, 20, start=100)
    before = [p.clone() for p in trunk_parameters(model)]
    fit_head(model, seen, max_tokens=500)
    assert pair_accuracy(scored(model, unseen)) > 0.9
    assert all(torch.equal(a, b) for a, b in zip(before, trunk_parameters(model), strict=True))
    again = fresh(tiny_folder)
    fit_head(again, seen, max_tokens=10_000)
    assert torch.allclose(model.head.weight, again.head.weight, atol=1e-4)
