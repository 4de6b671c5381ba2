"""sample: the SFT policy answers prompts several times each, for people or an AI judge to rank."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tutelage.core.records import Prompt, Response
from tutelage.pipeline.graph import StageContext
from tutelage.pipeline.handover import ImportedData, write_records
from tutelage.pipeline.stages.common import check_memory, open_sft
from tutelage.sampling.local import LocalSampler
from tutelage.sampling.sampler import Sample, SamplingSettings
from tutelage.training.loop import permutation


def run(context: StageContext) -> dict[str, Any]:
    recipe, settings = context.recipe, context.recipe.sample
    check_memory(context)
    prompts = pick_prompts(ImportedData.read(context.inputs["data"]), settings.num_prompts, context.seed)
    policy = open_sft(context)
    contract = policy.trunk.contract
    how = SamplingSettings(
        max_new_tokens=recipe.tokens.max_response,
        temperature=settings.temperature,
        top_p=settings.top_p,
        seed=context.seed,
    )
    total, done = len(prompts) * settings.responses_per_prompt, 0

    def progress(tokens: int, finished: int) -> None:
        nonlocal done
        done += finished
        context.recorder.progress(done, total, tokens)

    groups = LocalSampler(policy.trunk, policy.adapter, settings.batch).sample(
        [contract.prompt_ids(p.messages) for p in prompts], how, settings.responses_per_prompt, progress
    )
    source = context.input_ids["sft"]
    kept = {"temperature": how.temperature, "top_p": how.top_p, "max_new_tokens": how.max_new_tokens}
    rows: list[tuple[Response, Sample]] = []
    for prompt, group in zip(prompts, groups, strict=True):
        rows += [(Response(prompt.id, contract.text(s.ids), source, kept), s) for s in group]
    write_records(context.folder / "prompts.jsonl", prompts)
    write_records(context.folder / "responses.jsonl", {r.id: r for r, _ in rows}.values())
    table = pa.table(
        {
            "response_id": [r.id for r, _ in rows],
            "tokens": [list(s.ids) for _, s in rows],
            "logprobs": [list(s.logprobs) for _, s in rows],
            "finished": [s.finished for _, s in rows],
        }
    )
    pq.write_table(table, context.folder / "tokens.parquet")
    lengths = [len(s.ids) for _, s in rows]
    different = sum(len({s.ids for s in group}) for group in groups) / len(rows)
    return {
        "prompts": len(prompts),
        "responses": len(rows),
        "distinct_share": different,
        "mean_length": sum(lengths) / len(lengths),
        "end_rate": sum(s.finished for _, s in rows) / len(rows),
    }


def pick_prompts(data: ImportedData, count: int, seed: int) -> list[Prompt]:
    """Some of the policy's prompts, chosen by the seed; all of them if there are fewer."""
    order = permutation(len(data.policy_prompts), seed, 0)
    return [data.policy_prompts[i] for i in order[:count]]
