"""The local sampler: the distribution it samples from, and that neighbours and speed change nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.stats import chisquare

from tests.models.helpers import add_random_adapter, alone, plain_model, sequences
from tutelage.core.errors import ModelError
from tutelage.models.kernels.fused import fits
from tutelage.models.scoring import response_logprobs
from tutelage.models.tiny import make_tiny
from tutelage.models.trunk import Trunk
from tutelage.sampling.local import LocalSampler
from tutelage.sampling.sampler import Sample, SamplingSettings

FAST_AND_PLAIN = pytest.mark.parametrize("fast", [True, False], ids=["fast", "plain"])
SETTINGS = SamplingSettings(max_new_tokens=12, seed=3)


def _prompts() -> list[list[int]]:
    """Nine prompts of unlike length that begin alike, as a system message makes them."""
    return [[1, 10, 11, 12, *row] for row in sequences((3, 20, 1, 9, 9, 14, 2, 6, 30))]


def _trunk(new_trunk: Callable[..., Trunk], folder: Path | None = None) -> Trunk:
    trunk = new_trunk(folder)
    add_random_adapter(trunk, "policy")
    return trunk


def _ends_often(trunk: Trunk) -> None:
    """Make a sixth of the vocabulary look like one end token, so that responses end early and unevenly."""
    head = trunk.model.get_output_embeddings()
    with torch.no_grad():
        head.weight[trunk.contract.end_id] *= 4.0


@pytest.fixture
def uneven(new_trunk: Callable[..., Trunk]) -> Trunk:
    trunk = _trunk(new_trunk)
    _ends_often(trunk)
    return trunk


@FAST_AND_PLAIN
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_log_probabilities_are_those_of_the_trainer(
    new_trunk: Callable[..., Trunk], fast: bool, temperature: float
) -> None:
    trunk = _trunk(new_trunk)
    settings = SamplingSettings(12, temperature=temperature, top_p=0.9, seed=1)
    groups = LocalSampler(trunk, "policy", batch=4, fast=fast).sample(_prompts(), settings, num_samples=2)
    pairs = [(prompt, s.ids) for prompt, group in zip(_prompts(), groups, strict=True) for s in group]
    with trunk.using("policy"):
        recomputed = response_logprobs(trunk, pairs, temperature=temperature)
    sampled = [s.logprobs for group in groups for s in group]
    for mine, theirs in zip(sampled, recomputed, strict=True):
        torch.testing.assert_close(torch.tensor(mine), theirs, atol=1e-4, rtol=0)


@FAST_AND_PLAIN
def test_greedy_is_what_transformers_generates(
    new_trunk: Callable[..., Trunk], tiny_folder: Path, fast: bool
) -> None:
    model = plain_model(tiny_folder)
    greedy = SamplingSettings(max_new_tokens=10, temperature=0)
    groups = LocalSampler(new_trunk(), None, batch=5, fast=fast).sample(_prompts(), greedy)
    for prompt, (mine,) in zip(_prompts(), groups, strict=True):
        ids = torch.tensor([prompt])
        theirs = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=10, do_sample=False, eos_token_id=2
        )
        assert list(mine.ids) == theirs[0, len(prompt) :].tolist()


@FAST_AND_PLAIN
def test_frequencies_follow_the_model(new_trunk: Callable[..., Trunk], tiny_folder: Path, fast: bool) -> None:
    prompt, draws = [1, 30, 40], 4000
    sampler = LocalSampler(new_trunk(), None, batch=draws, fast=fast)
    (group,) = sampler.sample([prompt], SamplingSettings(max_new_tokens=1, temperature=0.7, seed=5), draws)
    expected = (alone(plain_model(tiny_folder), prompt)[-1] / 0.7).softmax(0).double() * draws
    counts = torch.tensor([s.ids[0] for s in group]).bincount(minlength=320).double()
    rare = expected < 5
    observed = torch.cat([counts[~rare], counts[rare].sum()[None]])
    theory = torch.cat([expected[~rare], expected[rare].sum()[None]])
    assert chisquare(observed.numpy(), (theory * observed.sum() / theory.sum()).numpy()).pvalue > 0.01


@FAST_AND_PLAIN
def test_neighbours_change_nothing(uneven: Trunk, fast: bool) -> None:
    together = LocalSampler(uneven, "policy", batch=32, fast=fast).sample(_prompts(), SETTINGS, num_samples=3)
    lengths = {len(s.ids) for group in together for s in group}
    assert len(lengths) > 4  # they do leave at different times
    for batch in (1, 4, 7, 12):
        other = LocalSampler(uneven, "policy", batch=batch, fast=fast).sample(
            _prompts(), SETTINGS, num_samples=3
        )
        _assert_same(other, together)


@pytest.mark.parametrize("num_samples", [1, 4])
def test_the_fast_decoder_is_the_plain_one(uneven: Trunk, num_samples: int) -> None:
    results = [
        LocalSampler(uneven, "policy", batch=6, fast=fast).sample(_prompts(), SETTINGS, num_samples)
        for fast in (True, False)
    ]
    _assert_same(*results)


def _assert_same(some: list[list[Sample]], others: list[list[Sample]]) -> None:
    for mine, theirs in zip(some, others, strict=True):
        assert [s.ids for s in mine] == [s.ids for s in theirs]
        for one, other in zip(mine, theirs, strict=True):
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


@FAST_AND_PLAIN
def test_a_response_ends_with_the_end_token_or_at_the_limit(uneven: Trunk, fast: bool) -> None:
    end = uneven.contract.end_id
    heard: list[tuple[int, int]] = []
    sampler = LocalSampler(uneven, "policy", batch=5, fast=fast)
    groups = sampler.sample(_prompts(), SETTINGS, 2, lambda *said: heard.append(said))
    samples = [s for group in groups for s in group]
    assert {s.finished for s in samples} == {True, False}
    for sample in samples:
        assert end not in sample.ids[:-1]
        assert sample.finished == (sample.ids[-1] == end)
        assert sample.finished or len(sample.ids) == SETTINGS.max_new_tokens
        assert len(sample.logprobs) == len(sample.ids)
    assert sum(tokens for tokens, _ in heard) == sum(len(s.ids) for s in samples)
    assert sum(finished for _, finished in heard) == len(samples)


def test_the_seed_decides(uneven: Trunk) -> None:
    sampler = LocalSampler(uneven, "policy")
    first, again = (sampler.sample(_prompts(), SETTINGS, 2) for _ in range(2))
    assert first == again
    assert len({s.ids for group in first for s in group}) == 18  # samples of one prompt differ too
    assert sampler.sample(_prompts(), SamplingSettings(12, seed=4), 2) != first


def test_the_kept_copy_of_a_bare_trunk_does_not_serve_an_adapter(uneven: Trunk) -> None:
    bare, policy = LocalSampler(uneven, None), LocalSampler(uneven, "policy")
    first = bare.sample(_prompts(), SETTINGS)
    assert bare.sample(_prompts(), SETTINGS) == first
    assert policy.sample(_prompts(), SETTINGS) != first


def test_an_adapter_that_learns_is_seen_at_the_next_call(uneven: Trunk) -> None:
    sampler = LocalSampler(uneven, "policy")
    before = sampler.sample(_prompts(), SETTINGS)
    with torch.no_grad():
        for parameter in uneven.adapter_parameters("policy"):
            parameter.mul_(1.5)
    assert sampler.sample(_prompts(), SETTINGS) != before


def test_a_fully_trained_model_is_seen_at_the_next_call(new_trunk: Callable[..., Trunk]) -> None:
    trunk = new_trunk(adapters=False)
    sampler = LocalSampler(trunk, None)
    before = sampler.sample(_prompts(), SETTINGS)
    with torch.no_grad():
        trunk.model.base_model.layers[0].mlp.up_proj.weight.mul_(-1.0)
    assert sampler.sample(_prompts(), SETTINGS) != before


def test_little_things(uneven: Trunk) -> None:
    assert LocalSampler(uneven, "policy").sample([], SETTINGS) == []
    # Prompts that are all the same, and one of a single token: nothing is left of a shared prefix.
    same = LocalSampler(uneven, "policy").sample([[5, 6], [5, 6], [5]], SamplingSettings(4, temperature=0))
    assert same[0] == same[1]
    with pytest.raises(ModelError, match="no adapter 'nobody'"):
        LocalSampler(uneven, "nobody").sample(_prompts(), SETTINGS)


FAMILIES = {
    "mistral": ("MistralConfig", {"sliding_window": None}),
    "qwen2": ("Qwen2Config", {}),
    "qwen3": ("Qwen3Config", {"head_dim": 24}),
    "llama with biases": ("LlamaConfig", {"attention_bias": True, "mlp_bias": True}),
    "llama with scaled rotation": (
        "LlamaConfig",
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}},
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_other_families_decode_as_transformers_does(
    new_trunk: Callable[..., Trunk], tmp_path: Path, family: str
) -> None:
    import transformers

    name, special = FAMILIES[family]
    make_tiny(tmp_path)
    shape: dict[str, Any] = {
        "vocab_size": 320, "hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.2, "eos_token_id": 2,
    }  # fmt: skip
    torch.manual_seed(1)
    config = getattr(transformers, name)(**shape, **special)
    model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.1)  # norms and biases that matter
    model.save_pretrained(tmp_path)
    trunk = _trunk(new_trunk, tmp_path)
    assert fits(trunk.model)
    _assert_same(
        *(LocalSampler(trunk, "policy", 4, fast=f).sample(_prompts(), SETTINGS) for f in (True, False))
    )
    theirs = alone(plain_model(tmp_path), _prompts()[1])[-1].log_softmax(0)
    greedy = LocalSampler(trunk, None).sample(_prompts()[1:2], SamplingSettings(1, temperature=0))[0][0]
    assert greedy.ids[0] == int(theirs.argmax())
    assert greedy.logprobs[0] == pytest.approx(float(theirs.max()), abs=1e-4)


def test_in_bf16_the_fast_decoder_stays_close(new_trunk: Callable[..., Trunk]) -> None:
    trunk = new_trunk(dtype="bfloat16")
    add_random_adapter(trunk, "policy")
    greedy = SamplingSettings(max_new_tokens=1, temperature=0)
    fast, plain = (LocalSampler(trunk, "policy", fast=f).sample(_prompts(), greedy) for f in (True, False))
    for mine, theirs in zip(fast, plain, strict=True):
        assert mine[0].logprobs[0] == pytest.approx(theirs[0].logprobs[0], abs=0.1)
