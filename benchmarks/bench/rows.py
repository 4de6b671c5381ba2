"""The rows of the benchmark: what is measured, in which unit, and what ratio is asked for. No torch.

Two modes. *Equal work*: both sides train the same parameters on the same tokens, TRL with its defaults
otherwise. *System against system*: each at its best settings, ours as the shipped recipe has them, TRL as its
documentation shows or, where it has a faster way on this machine, with that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Mode = Literal["equal", "system"]
EQUAL, SYSTEM = "equal", "system"
TRL, TRL_WITH_PPO = "1.16.0", "1.12.0"
MEMORY = "ppo_memory"


@dataclass(frozen=True)
class Row:
    """One kind of work. `ours` and `theirs` are the modules that do it, `trl` is the release they run in.

    `asked` is the ratio that is asked for, in the row's own direction: how many times faster we are.
    `bound_by` says in words what bounds our side, from a profile; empty until there is one.
    """

    name: str
    title: str
    unit: str
    ours: str
    theirs: str
    trl: str = TRL
    modes: tuple[Mode, ...] = (EQUAL,)
    asked: float | None = None
    bound_by: str = ""

    @property
    def higher_is_better(self) -> bool:
        """Whether the unit is work done a second, and not seconds that it took."""
        return self.unit.endswith("/s")


ROWS = (
    Row(
        "sft_full",
        "SFT, all weights",
        "tokens/s",
        "ours_offline",
        "trl_offline",
        asked=4.0,
        modes=(EQUAL, SYSTEM),
    ),
    Row("sft_lora", "SFT, LoRA", "tokens/s", "ours_offline", "trl_offline", asked=7.0, modes=(EQUAL, SYSTEM)),
    Row(
        "reward",
        "reward model, LoRA",
        "pairs/s",
        "ours_offline",
        "trl_offline",
        asked=8.0,
        modes=(EQUAL, SYSTEM),
    ),
    Row("dpo", "DPO, LoRA", "pairs/s", "ours_offline", "trl_offline"),
    Row("ppo", "PPO, LoRA", "s an iteration", "ours_online", "trl_ppo", TRL_WITH_PPO, (EQUAL, SYSTEM), 7.0),
    Row("grpo", "GRPO, LoRA", "s an iteration", "ours_online", "trl_online"),
    Row("rloo", "RLOO, LoRA", "s an iteration", "ours_online", "trl_online"),
    Row("decode", "decoding", "tokens/s", "ours_decode", "trl_decode", asked=2.5),
)
ASKED_MEMORY = 0.3
"""Of TRL's peak memory in PPO, at most."""


def chosen(names: list[str]) -> list[Row]:
    """Rows by name, all if none is named. Raises `KeyError` with the names there are."""
    known = {row.name: row for row in ROWS}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise KeyError(f"there is no row '{unknown[0]}': there are {', '.join(known)}")
    return [known[name] for name in names] or list(ROWS)
