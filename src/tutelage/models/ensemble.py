"""An ensemble of reward models on one trunk: lower layers in common, an adapter above and a head a member.

The layers below `first_own` are the same for all members and frozen, so they run once, without gradients, and
what leaves them is handed to each member in turn. With members in the upper part alone, a further member costs
that part and no more; its activations are gone before the next one's come. Each member's score is brought to
its own mean and deviation, and `objectives.ensemble` makes one score of them.

Saved as one folder a member, each a reward model that stands by itself (`models.reward`), and `reward.json`.
Left out on purpose: ensembles of whole models, and members that begin in different layers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from tutelage.core.errors import ModelError
from tutelage.core.settings import EnsembleSettings, LoraSettings
from tutelage.models.heads import ScalarHead
from tutelage.models.layers import hidden_below, hidden_from
from tutelage.models.lora import layer_index
from tutelage.models.packed import Packed
from tutelage.models.reward import SETTINGS, RewardModel, Scorer, in_parts, read_settings
from tutelage.models.scoring import Pair, joined
from tutelage.models.trunk import Trunk
from tutelage.objectives.ensemble import (
    mean_score,
    quantile_score,
    variance_penalised_score,
    worst_case_score,
)

AGGREGATES: Mapping[str, Callable[[Tensor, EnsembleSettings], Tensor]] = {
    "mean": lambda scores, _: mean_score(scores),
    "minimum": lambda scores, _: worst_case_score(scores),
    "mean-variance": lambda scores, how: variance_penalised_score(scores, how.variance_penalty),
    "quantile": lambda scores, how: quantile_score(scores, how.quantile),
}
"""From members' scores `(members, B)` to one score each, by the name that a recipe gives it."""


@dataclass(frozen=True)
class Shared:
    """Pairs, their pack, and the residual stream `(N, H)` behind the layers that members have in common."""

    pairs: Sequence[Pair]
    packed: Packed
    stream: Tensor

    def only(self, chosen: Sequence[int]) -> Shared:
        """The same of some of the pairs, without computing anything again."""
        pairs = [self.pairs[i] for i in chosen]
        packed = joined(pairs, self.stream.device)
        rows = torch.empty(len(packed.ids), dtype=torch.long)
        for place, index in enumerate(chosen):
            rows[packed.tokens_of(place)] = torch.tensor(self.packed.tokens_of(index))
        return Shared(pairs, packed, self.stream.index_select(0, rows.to(self.stream.device)))


class RewardEnsemble(Scorer):
    """Reward models that differ above layer `first_own` only, and the rule that makes one score of theirs."""

    def __init__(self, members: Sequence[RewardModel], first_own: int, settings: EnsembleSettings) -> None:
        super().__init__(members[0].trunk)
        self.members, self.first_own, self.settings = list(members), first_own, settings

    def shared(self, pairs: Sequence[Pair]) -> Shared:
        """The common layers' work on `pairs`, all in one forward pass without gradients."""
        packed = joined(pairs, self.trunk.device)
        with torch.no_grad(), self.trunk.using(self.members[0].adapter):
            return Shared(pairs, packed, hidden_below(self.trunk, packed, self.first_own))

    def member_raw(self, member: int, shared: Shared) -> Tensor:
        """One member's own scores `(B,)` in fp32 with their gradient, as its `RewardModel.raw` gives them."""
        one = self.members[member]
        with self.trunk.using(one.adapter):
            hidden = hidden_from(self.trunk, shared.packed, self.first_own, shared.stream)
            return one.head(hidden[shared.packed.ends])

    def raw_by_member(self, pairs: Sequence[Pair]) -> Tensor:
        """Members' scores `(members, B)`, each on its own scale of mean 0 and deviation 1, with gradient."""
        shared = self.shared(pairs)
        each = [one.normalised(self.member_raw(i, shared)) for i, one in enumerate(self.members)]
        return torch.stack(each)

    def raw(self, pairs: Sequence[Pair]) -> Tensor:
        """The ensemble's scores `(B,)` in fp32 with their gradient, before length is taken off."""
        return self.combined(self.raw_by_member(pairs))

    def combined(self, by_member: Tensor) -> Tensor:
        """One score each, `(B,)`, of members' normalised scores `(members, B)`, by the rule of the settings."""
        return AGGREGATES[self.settings.aggregate](by_member, self.settings)

    def member_scores(self, pairs: Sequence[Pair], max_tokens: int = 4096) -> Tensor:
        """As `raw_by_member`, on the CPU without gradients; the same whatever `max_tokens`."""
        parts = in_parts(self.raw_by_member, pairs, max_tokens)
        return torch.cat(parts, 1) if parts else torch.zeros(len(self.members), 0)

    def own_parameters(self, member: int) -> list[nn.Parameter]:
        """What a member's training moves, its head left out: its adapter from layer `first_own` on."""
        name = self.members[member].adapter
        return [
            parameter
            for module, layer in self.trunk.layers.items()
            if name in layer.scales and (layer_index(module) or 0) >= self.first_own
            for parameter in (layer.a[name], layer.b[name])
        ]

    def save(self, folder: Path) -> None:
        """Write each member into a folder of its own, and scale and rule into `reward.json`."""
        for index, one in enumerate(self.members):
            one.save(folder / f"member_{index}")
        how = {"first_own_layer": self.first_own, "ensemble": self.settings.model_dump(mode="json")}
        (folder / SETTINGS).write_text(json.dumps({**self.scale(), **how}, indent=2))

    @classmethod
    def load(cls, trunk: Trunk, folder: Path, name: str) -> RewardEnsemble:
        """Read an ensemble onto `trunk` under the adapter names `name_0`, `name_1`, ... Raises `ModelError`."""
        kept = read_settings(folder)
        try:
            settings = EnsembleSettings.model_validate(kept["ensemble"])
            first_own = int(kept["first_own_layer"])
        except (KeyError, TypeError, ValueError, ValidationError):
            raise ModelError(f"{folder / SETTINGS} describes no ensemble: train it again") from None
        places = [(folder / f"member_{i}", f"{name}_{i}") for i in range(settings.members)]
        ensemble = cls([RewardModel.load(trunk, *place) for place in places], first_own, settings)
        ensemble.set_scale(kept)
        ensemble.require_alike_below()
        return ensemble

    def require_alike_below(self) -> None:
        """Raise `ModelError` if members differ in a layer that is computed once for all of them."""
        names = [one.adapter for one in self.members]
        for module, layer in self.trunk.layers.items():
            if (layer_index(module) or 0) >= self.first_own:
                continue
            first, *others = [
                (layer.a[n], layer.b[n], layer.scales[n]) if n in layer.scales else None for n in names
            ]
            if not all(_same(first, other) for other in others):
                raise ModelError(
                    f"members of the ensemble differ at {module}, below their first own layer "
                    f"{self.first_own}: train it again"
                )


def new_ensemble(
    trunk: Trunk,
    name: str,
    lora: LoraSettings,
    upper_layers: int | None,
    settings: EnsembleSettings,
    seed: int,
    start: str | None = None,
) -> RewardEnsemble:
    """An untrained ensemble: fresh adapters in the `upper_layers`, or copies of the adapter `start`.

    Adapters and heads differ by member. A head starts at small random weights and not at zero, or members
    that start from one policy would be the same but for the prompts that they see.
    """
    if not trunk.layers:
        raise ModelError(
            "an ensemble is adapters on one frozen trunk: set model.tune=lora, or ensemble.members=1"
        )
    first_own = trunk.num_layers - min(upper_layers or trunk.num_layers, trunk.num_layers)
    members: list[RewardModel] = []
    for index in range(settings.members):
        adapter, own_seed = f"{name}_{index}", seed + 7_919 * index
        if start is None:
            trunk.add_adapter(adapter, lora.model_copy(update={"upper_layers": upper_layers}), own_seed)
        else:
            trunk.copy_adapter(start, adapter)
        head = ScalarHead(trunk.width, trunk.device, spread=1.0 / trunk.width, seed=own_seed)
        members.append(RewardModel(trunk, adapter, head))
    return RewardEnsemble(members, first_own, settings)


def is_ensemble(folder: Path) -> bool:
    """Whether `RewardEnsemble.save` wrote this folder."""
    return (folder / "member_0").is_dir()


def _same(one: tuple[Tensor, Tensor, float] | None, other: tuple[Tensor, Tensor, float] | None) -> bool:
    if one is None or other is None:
        return one is other
    return torch.equal(one[0], other[0]) and torch.equal(one[1], other[1]) and one[2] == other[2]
