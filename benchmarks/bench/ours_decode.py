"""Our side of decoding: the local sampler on the bare model, every response as long as asked."""

from __future__ import annotations

from benchmarks.bench.ours_offline import trunk_for
from benchmarks.bench.turns import opened
from tutelage.sampling.local import LocalSampler
from tutelage.sampling.sampler import SamplingSettings


def main() -> None:
    work, _, _, turns = opened()
    scale = work["scale"]
    trunk = trunk_for(work, "lora", scale["decode_tokens"])
    trunk.contract.end_id = -1
    samples = work.get("samples", 1)
    sampler = LocalSampler(trunk, None, scale["rollouts"] * samples)
    turns.ready()
    for turn, prompts in enumerate(work["prompts"]):
        how = SamplingSettings(max_new_tokens=scale["decode_tokens"], temperature=1.0, seed=turn)
        found = sampler.sample(prompts, how, samples)
        assert all(len(sample.ids) == scale["decode_tokens"] for group in found for sample in group)
        turns.done()


if __name__ == "__main__":
    main()
