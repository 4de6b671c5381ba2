"""judge: judgements become rankings and comparisons; the AI judge labels samples only if people agree with it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from tutelage.core.records import Judgement, Prompt, Response
from tutelage.judges.agreement import JudgeAgreement, measure_agreement
from tutelage.judges.pairwise import PairwiseJudge, TrunkChoices
from tutelage.models.roles import open_base
from tutelage.pipeline.graph import StageContext
from tutelage.pipeline.handover import ImportedData, Resolved, read_records, write_records
from tutelage.pipeline.said import read_said
from tutelage.pipeline.stages.common import check_memory
from tutelage.preferences.resolve import EVERYONE, PEOPLE, resolve_comparisons, resolve_rankings

LABELS = "reward"
"""The split that the AI judge labels. What people ranked in the others measures, so no model labels it."""


def run(context: StageContext) -> dict[str, Any]:
    settings = context.recipe.judge
    data = ImportedData.read(context.inputs["data"])
    sampled = context.inputs["sample"]
    prompts = {p.id: p for p in read_records(sampled / "prompts.jsonl", Prompt)}
    responses = {r.id: r for r in read_records(sampled / "responses.jsonl", Response)}
    said = read_said(
        context.recipe, context.project, context.people, {j.prompt_id: j.split for j in data.judgements}
    )
    if said.judgements:
        raters = {j.rater for j in said.judgements}
        context.say(f"{len(said.judgements)} judgements by {len(raters)} raters came beside those of files")
    given = [*data.judgements, *said.judgements]
    agreement, judged = None, []
    if settings.ai and (judge := open_judge(context)):
        agreement = agree(context, judge, given, data.prompts | said.prompts, data.responses | said.responses)
        if agreement.may_label:
            context.say("its labels are used: the samples are judged")
            elsewhere = {j.prompt_id for j in given if j.split != LABELS}
            train = {i: prompt for i, prompt in prompts.items() if i not in elsewhere}
            judged = label(judge, train, list(responses.values()))
        else:
            context.say("its labels train nothing: people's rankings alone are used")
    judgements = [*given, *judged]
    imported = EVERYONE if any(j.kind != "person" for j in judgements) else PEOPLE
    rankings = resolve_rankings(judgements, kinds=imported)
    comparisons = resolve_comparisons(judgements, kinds=imported)
    spoken_of = (
        (said.prompts | prompts, said.responses | responses) if judged else (said.prompts, said.responses)
    )
    resolved = Resolved(tuple(rankings), tuple(comparisons), *spoken_of)
    resolved.write(context.folder)
    people = sum(j.kind == "person" for j in judgements)
    told = {
        **(agreement.plain() if agreement else {"agreement": None, "used": False}),
        "threshold": settings.min_agreement,
        "num_judgements": {"people": people, "ai": len(judgements) - people},
        "num_comparisons": len(comparisons),
        "raters": sorted({j.rater for j in judgements}),
    }
    (context.folder / "judge.json").write_text(json.dumps(told, indent=2))
    write_records(context.folder / "judgements.jsonl", [*said.judgements, *judged])
    return {"comparisons": len(comparisons), "rankings": len(rankings), "ai_judgements": len(judged)}


def open_judge(context: StageContext) -> PairwiseJudge:
    """The model that judges: the recipe's own base, or the one that `judge.base` names."""
    recipe, settings = context.recipe, context.recipe.judge
    check_memory(context)
    model = recipe.model if settings.base is None else recipe.model.model_copy(update={"base": settings.base})
    trunk = open_base(model, recipe.tokens, context.say)
    longest = 3 * (recipe.tokens.max_prompt + recipe.tokens.max_response)
    choices = TrunkChoices(trunk, max_prompt=longest)
    return PairwiseJudge(choices, settings.criterion, name=f"AI judge ({trunk.name})")


def agree(
    context: StageContext,
    judge: PairwiseJudge,
    judgements: Sequence[Judgement],
    prompts: dict[str, Prompt],
    responses: dict[str, Response],
) -> JudgeAgreement:
    """How often the judge decides as people did, on the comparisons that train no model."""
    held_out = [j for j in judgements if j.split == "measure" and j.kind == "person"]
    wanted = sorted({j.prompt_id for j in held_out})[: context.recipe.judge.measure_prompts]
    comparisons = resolve_comparisons([j for j in held_out if j.prompt_id in wanted])
    agreement = measure_agreement(
        judge,
        comparisons,
        prompts,
        responses,
        threshold=context.recipe.judge.min_agreement,
        seed=context.seed,
    )
    a = agreement.agreement
    context.say(
        f"the AI judge agrees with people on {a.value:.3f} [{a.low:.3f}, {a.high:.3f}] of {a.n} comparisons; "
        f"{agreement.threshold:.2f} is asked for"
    )
    return agreement


def label(judge: PairwiseJudge, prompts: dict[str, Prompt], responses: Sequence[Response]) -> list[Judgement]:
    """One AI judgement a prompt: responses by their mean probability of beating the others."""
    judgements: list[Judgement] = []
    for prompt_id, prompt in prompts.items():
        own = [r for r in responses if r.prompt_id == prompt_id]
        pairs = list(itertools.combinations(range(len(own)), 2))
        if not pairs:
            continue
        first, second = [own[i].text for i, _ in pairs], [own[j].text for _, j in pairs]
        probability = judge.compare([prompt.messages] * len(pairs), first, second)
        wins = np.zeros(len(own))
        for (i, j), p in zip(pairs, probability, strict=True):
            wins[i] += p
            wins[j] += 1 - p
        order = np.argsort(-wins, kind="stable")
        judgements.append(
            Judgement(
                prompt_id=prompt_id,
                shown=tuple(r.id for r in own),
                ranking=tuple((own[i].id,) for i in order),
                rater=judge.name,
                kind="ai",
                guideline=judge.criterion,
                split=LABELS,
            )
        )
    return judgements
