"""KL estimators against the exact KL of categoricals; controllers against their formula."""

from __future__ import annotations

import math

import pytest
import torch

from tutelage.core.errors import TrainingError
from tutelage.objectives.kl import AdaptiveKl, FixedKl, TargetKl, kl_k1, kl_k2, kl_k3


def test_by_hand():
    policy, reference = torch.tensor([math.log(0.5)]), torch.tensor([math.log(0.25)])
    # d = log 2 = 0.693147; k2 = 0.480453 / 2; k3 = (0.25 / 0.5 - 1) + log 2 = 0.193147
    assert kl_k1(policy, reference).item() == pytest.approx(0.6931472)
    assert kl_k2(policy, reference).item() == pytest.approx(0.2402265)
    assert kl_k3(policy, reference).item() == pytest.approx(0.1931472)


def categoricals(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 12, generator=generator, dtype=torch.float64)
    policy, reference = torch.log_softmax(logits, dim=1)
    return policy, reference


@pytest.mark.parametrize("estimator", [kl_k1, kl_k3])
def test_expectation_under_the_policy_is_the_kl(estimator):
    policy, reference = categoricals(1)
    exact = (policy.exp() * (policy - reference)).sum()
    expected = (policy.exp() * estimator(policy, reference)).sum()
    assert expected.item() == pytest.approx(exact.item(), rel=1e-12)


@pytest.mark.parametrize("estimator", [kl_k1, kl_k3])
def test_unbiased_on_samples(estimator):
    policy, reference = categoricals(2)
    exact = (policy.exp() * (policy - reference)).sum().item()
    generator = torch.Generator().manual_seed(3)
    drawn = torch.multinomial(policy.exp(), 200_000, replacement=True, generator=generator)
    estimates = estimator(policy[drawn], reference[drawn])
    standard_error = estimates.std().item() / math.sqrt(len(drawn))
    assert abs(estimates.mean().item() - exact) < 4 * standard_error
    assert standard_error < 0.02 * exact


def test_k3_varies_less_than_k1_and_is_never_negative():
    # the reference a little beside the policy: this is where a run spends its time
    policy, other = categoricals(4)
    near = torch.log_softmax(policy + 0.1 * other, dim=0)
    spread = {f: (policy.exp() * f(policy, near).square()).sum() for f in (kl_k1, kl_k3)}
    assert spread[kl_k3] < 0.1 * spread[kl_k1]
    assert (kl_k3(policy, other) >= 0).all()
    assert (kl_k2(policy, other) >= 0).all()
    assert (kl_k1(policy, other) < 0).any()


def test_k3_keeps_its_digits_near_zero():
    # d = 1e-4: k3 = d^2 / 2 - d^3 / 6 = 4.9998e-9; r - 1 taken in float32 would be off by 6e-8
    d = torch.tensor([1e-4])
    assert kl_k3(d, torch.zeros(1)).item() == pytest.approx(4.99983e-9, abs=2e-11)


def test_extremes_stay_finite():
    low, high = torch.tensor([-5000.0], requires_grad=True), torch.tensor([0.0], requires_grad=True)
    for estimator in (kl_k1, kl_k2, kl_k3):
        for policy, reference in ((low, high), (high, low)):
            value = estimator(policy, reference)
            assert torch.isfinite(value).all()
            assert torch.isfinite(torch.autograd.grad(value.sum(), [policy, reference])[0]).all()


def test_gradcheck():
    policy, reference = (t.clone().requires_grad_() for t in categoricals(5))
    for estimator in (kl_k1, kl_k2, kl_k3):
        assert torch.autograd.gradcheck(estimator, (policy, reference))


def test_adaptive_by_hand():
    controller = AdaptiveKl(coefficient=0.2, target=6.0, horizon=1000.0)
    # error (6.6 - 6) / 6 = 0.1, K = 100 / 1000: 0.2 (1 + 0.1 * 0.1)
    controller.update(6.6, 100)
    assert controller.coefficient == pytest.approx(0.202)
    # error -0.5 is clipped to -0.2: 0.202 (1 - 0.2 * 0.1)
    controller.update(3.0, 100)
    assert controller.coefficient == pytest.approx(0.19796)
    # a batch beyond the horizon counts as the horizon: 0.19796 * 1.2
    controller.update(1e9, 10**6)
    assert controller.coefficient == pytest.approx(0.237552)


def test_adaptive_steers_towards_its_target():
    # a plant whose KL is 1 / coefficient has its target at coefficient 1 / 4
    controller = AdaptiveKl(coefficient=2.0, target=4.0, horizon=1000.0)
    for _ in range(600):
        controller.update(1.0 / controller.coefficient, 100)
    assert controller.coefficient == pytest.approx(0.25, rel=1e-3)


def test_target_by_hand():
    controller = TargetKl(coefficient=0.2, target=4.0, gain=0.1)
    # error (5 - 4) / 4 = 0.25: I = log 0.2 + 0.1 * 0.25, log beta = I + 0.5 * 0.25
    controller.update(5.0, 64)
    assert controller.coefficient == pytest.approx(0.2 * math.exp(0.15))
    # error 0.125 is on its way to 0, so I rests: log 0.2 + 0.025 + 0.5 * 0.125
    controller.update(4.5, 64)
    assert controller.coefficient == pytest.approx(0.2 * math.exp(0.0875))
    # error -0.25 has passed 0: I = log 0.2 + 0.025 - 0.025
    controller.update(3.0, 64)
    assert controller.coefficient == pytest.approx(0.2 * math.exp(-0.125))
    # errors are held at +-1: I = log 0.2 + 0.1
    controller.update(1e9, 64)
    assert controller.coefficient == pytest.approx(0.2 * math.exp(0.6))


@pytest.mark.parametrize("speed", [1.0, 0.1])
def test_the_target_is_held_whatever_the_start(speed: float):
    """A plant whose KL goes to 1 / coefficient, a share of the way in each iteration, in a noise of a tenth."""
    noise = torch.randn(400, generator=torch.Generator().manual_seed(0)).tolist()
    for start in (0.02, 5.0):
        controller, kl = TargetKl(start, target=4.0, gain=0.05), 0.0
        seen: list[float] = []
        for x in noise:
            controller.update(kl * (1 + 0.1 * x), 64)
            kl += speed * (1.0 / controller.coefficient - kl)
            seen.append(kl)
        assert sum(seen[200:]) / 200 == pytest.approx(4.0, rel=0.05)
        assert max(abs(kl - 4.0) for kl in seen[200:]) < 1.5


def test_a_target_out_of_reach_leaves_a_coefficient_that_can_come_back():
    controller = TargetKl(0.1, target=4.0, gain=0.1)
    for _ in range(2000):
        controller.update(0.0, 64)
    assert controller.coefficient == pytest.approx(1e-4 * math.exp(-0.5))


def test_controllers_survive_a_checkpoint():
    target = TargetKl(coefficient=0.2, target=6.0, gain=0.1)
    target.update(9.0, 64)
    restored = TargetKl.from_state(target.state())
    for controller in (target, restored):
        controller.update(7.0, 64)
    assert restored == target
    adaptive = AdaptiveKl(coefficient=0.2, target=6.0, horizon=1000.0)
    adaptive.update(9.0, 64)
    again = AdaptiveKl.from_state(adaptive.state())
    assert again == adaptive
    adaptive.update(7.0, 64)
    again.update(7.0, 64)
    assert again.coefficient == adaptive.coefficient
    fixed = FixedKl(0.1)
    fixed.update(100.0, 64)
    assert FixedKl.from_state(fixed.state()).coefficient == 0.1


@pytest.mark.parametrize("observed", [float("nan"), float("inf")])
def test_a_kl_that_is_no_number_is_refused(observed: float):
    for controller in (AdaptiveKl(0.2, target=6.0, horizon=1000.0), TargetKl(0.2, target=6.0, gain=0.1)):
        with pytest.raises(TrainingError, match="KL to the reference"):
            controller.update(observed, 64)
        assert controller.coefficient == 0.2
