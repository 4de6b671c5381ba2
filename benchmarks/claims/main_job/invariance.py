"""Does a reward or a log-probability depend on what else is in the batch? It must not, in fp32.

Each response is looked at alone, and then among companions: in another order, cut into micro-batches of
several sizes, packed behind longer ones; and by transformers' own attention in padded batches, on either
side. So is what the sampler says of its own tokens, with prompts of several lengths decoding side by side.
What is reported is the largest difference that any response or token saw.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.claims.claim import Bound, Claim, Measurement, NotMeasured

if TYPE_CHECKING:
    from torch import Tensor

    from tutelage.models.reward import RewardModel
    from tutelage.models.trunk import Trunk

SEED = 0
TEXTS = {"tiny": 48, "embedded": 12}
"""Responses looked at."""
MODELS = {"tiny": "a tiny random Llama", "embedded": "the embedded model"}
CLAIMS = tuple(
    claim
    for name, model in MODELS.items()
    for claim in (
        Claim(
            f"{name}_reward",
            f"rewards of {model} in fp32 differ by padding, batch, order or micro-batch at most by",
            "reward units",
            (Bound("<", 1e-4),),
        ),
        Claim(
            f"{name}_logprob",
            f"log-probabilities of {model} in fp32 differ by padding, batch, order or micro-batch at most by",
            "nats",
            (Bound("<", 1e-4),),
        ),
    )
)


def measure() -> Iterator[tuple[str, Measurement | NotMeasured]]:
    import torch

    from tutelage.models import embedded
    from tutelage.models.tiny import make_tiny

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        bases = {"tiny": str(make_tiny(Path(folder))), "embedded": "embedded"}
        for name, base in bases.items():
            if name == "embedded" and not embedded.is_ready():
                for what in ("reward", "logprob"):
                    yield (
                        f"{name}_{what}",
                        NotMeasured("the embedded model is not in the cache: run the demo first"),
                    )
                continue
            yield from _of_model(name, base)


def _of_model(name: str, base: str) -> Iterator[tuple[str, Measurement]]:
    from tutelage.core.settings import ModelSettings, TokenSettings
    from tutelage.models.roles import open_base

    trunk = open_base(ModelSettings(base=base, dtype="float32", device="cpu"), TokenSettings())
    model = disturbed_reward_model(trunk)
    pairs = real_pairs(trunk, TEXTS[name])
    note = f"{len(pairs)} responses of the starter pack, alone and in {len(groupings(pairs))} groupings, and padded"
    rewards, spread = reward_differences(model, pairs)
    yield (
        f"{name}_reward",
        Measurement(rewards, len(pairs), seed=SEED, note=f"{note}; rewards have deviation {spread:.2g}"),
    )
    tokens = sum(len(response) for _, response in pairs)
    yield f"{name}_logprob", Measurement(logprob_differences(model, pairs), tokens, seed=SEED, note=note)


def disturbed_reward_model(trunk: Trunk) -> RewardModel:
    """A reward model whose adapter and head are far from zero, so that nothing cancels."""
    import torch

    from tutelage.core.settings import LoraSettings
    from tutelage.models.roles import new_reward_model

    model = new_reward_model(trunk, "reward", LoraSettings(rank=8, alpha=16), None, SEED)
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for parameter in trunk.adapter_parameters("reward"):
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.02)
        model.head.weight.copy_(torch.randn(model.head.weight.shape, generator=generator) * trunk.width**-0.5)
    return model


def real_pairs(trunk: Trunk, count: int) -> list[Any]:
    """Prompts and responses of the starter pack's rankings, of many lengths."""
    from tutelage.core.settings import Source
    from tutelage.data.load import load_comparisons

    judged = load_comparisons([Source(source="pack:starter", limit=count)]).records
    texts = [(one.prompt, response) for one in judged for response in one.responses]
    random.Random(SEED).shuffle(texts)
    contract = trunk.contract
    return [(contract.prompt_ids(p.messages), contract.response_ids(r.text)) for p, r in texts[:count]]


def groupings(pairs: Sequence[Any]) -> list[tuple[list[int], int]]:
    """Ways to look at the same pairs together: an order of them, and the tokens of a micro-batch."""
    natural = list(range(len(pairs)))
    longest_first = sorted(natural, key=lambda i: -sum(map(len, pairs[i])))
    shuffled = random.Random(SEED + 1).sample(natural, len(natural))
    return [(natural, 10**6), (natural[::-1], 300), (longest_first, 1000), (shuffled, 2000), (shuffled, 777)]


def reward_differences(model: RewardModel, pairs: Sequence[Any]) -> tuple[float, float]:
    """The largest difference to each response's reward alone, and the deviation of the rewards."""
    import torch

    alone = torch.cat([model.scores([pair]) for pair in pairs])
    worst = 0.0
    for order, budget in groupings(pairs):
        together = model.scores([pairs[i] for i in order], max_tokens=budget)
        worst = max(worst, float((together - alone[order]).abs().max()))
    for side in ("left", "right"):
        with torch.no_grad(), model.trunk.using(model.adapter):
            rows = [model.head(hidden[-1:]) for hidden in _padded_hidden(model.trunk, pairs, side)]
        worst = max(worst, float((torch.cat(rows) - alone).abs().max()))
    return worst, float(alone.std())


def logprob_differences(model: RewardModel, pairs: Sequence[Any]) -> float:
    """The largest difference to each token's log-probability when its response is alone."""
    import torch

    from tutelage.models.scoring import response_logprobs

    trunk = model.trunk
    with trunk.using(model.adapter):
        alone = [response_logprobs(trunk, [pair])[0] for pair in pairs]
        worst = 0.0
        for order, budget in groupings(pairs):
            together = response_logprobs(trunk, [pairs[i] for i in order], max_tokens=budget)
            worst = max(worst, _largest(together, [alone[i] for i in order]))
        for side in ("left", "right"):
            with torch.no_grad():
                hidden = _padded_hidden(trunk, pairs, side)
                seen = [
                    torch.log_softmax((h[len(p) - 1 : -1] @ trunk.head.T).float(), -1)[range(len(r)), list(r)]
                    for h, (p, r) in zip(hidden, pairs, strict=True)
                ]
            worst = max(worst, _largest(seen, alone))
    return max(worst, _sampler_difference(trunk, model.adapter, pairs))


def _largest(first: Sequence[Tensor], second: Sequence[Tensor]) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(first, second, strict=True))


def _padded_hidden(trunk: Trunk, pairs: Sequence[Any], side: str) -> list[Tensor]:
    """Hidden states of each pair's own tokens, by transformers' own attention in padded batches of eight."""
    import torch

    ours = trunk.model.config._attn_implementation
    trunk.model.set_attn_implementation("sdpa")
    found: list[Tensor] = []
    try:
        for start in range(0, len(pairs), 8):
            rows = [[*prompt, *response] for prompt, response in pairs[start : start + 8]]
            width = max(map(len, rows))
            ids = torch.full((len(rows), width), trunk.contract.pad_id)
            real = torch.zeros((len(rows), width), dtype=torch.long)
            for i, row in enumerate(rows):
                place = slice(width - len(row), width) if side == "left" else slice(0, len(row))
                ids[i, place], real[i, place] = torch.tensor(row), 1
            positions = (real.cumsum(1) - 1).clamp(min=0)
            out = trunk.model.model(
                input_ids=ids, attention_mask=real, position_ids=positions, use_cache=False
            )
            found += [out.last_hidden_state[i][real[i].bool()] for i in range(len(rows))]
    finally:
        trunk.model.set_attn_implementation(ours)
    return found


def _sampler_difference(trunk: Trunk, adapter: str | None, pairs: Sequence[Any]) -> float:
    """What the sampler said of its tokens, in batches of one and of eight, against the trainer's figure."""
    from tutelage.models.scoring import response_logprobs
    from tutelage.sampling.local import LocalSampler
    from tutelage.sampling.sampler import SamplingSettings

    prompts = [prompt for prompt, _ in pairs[:8]]
    worst = 0.0
    for batch in (1, 8):
        how = SamplingSettings(max_new_tokens=16, seed=SEED)
        samples = [group[0] for group in LocalSampler(trunk, adapter, batch=batch).sample(prompts, how)]
        with trunk.using(adapter):
            ours = response_logprobs(trunk, [(p, s.ids) for p, s in zip(prompts, samples, strict=True)])
        import torch

        worst = max(worst, _largest([torch.tensor(s.logprobs) for s in samples], ours))
    return worst
