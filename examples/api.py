"""The Python API: what the commands do, as methods of a `Project`.

    python examples/api.py

The whole road on a tiny random model and a fraction of the starter pack, so that it takes seconds: every
stage runs, and the figures at the end mean nothing. Leave out `**tiny` and the embedded model does the
same in earnest, as `make demo` does.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from tutelage import Project
from tutelage.models.tiny import make_tiny


def tiny_settings(model: Path) -> dict[str, Any]:
    """Settings by group, as a recipe has them; what is not named stays as the recipe says."""
    return {
        "model": {"base": str(model), "dtype": "float32", "lora": {"rank": 4}},
        "tokens": {"max_prompt": 64, "max_response": 12},
        "data": {
            "demonstrations": [{"source": "pack:starter", "limit": 24}],
            "prompts": [{"source": "pack:starter", "limit": 24}],
        },
        "sft": {"epochs": 1},
        "sample": {"num_prompts": 4},
        "judge": {"ai": False},
        "reward": {"epochs": 1, "upper_layers": None},
        "referee": {"epochs": 1, "upper_layers": None},
        "ppo": {"iterations": 2, "rollouts": 8, "minibatch": 8, "held_out_prompts": 4},
        "evaluate": {"limit": 6, "bootstrap": 200},
    }


def main() -> None:
    place = Path(tempfile.mkdtemp())
    tiny = tiny_settings(make_tiny(place / "model"))

    # A project is a folder with a recipe in it. `Project("folder")` opens one that is there already.
    project = Project.init(place / "tutor", recipe="quickstart")
    print(f"recipe: {project.recipe(**tiny).name}, {len(project.status(**tiny).stages)} stages to do")

    # One stage, with whatever it needs first.
    project.sft(**tiny)
    trained = project.artifact("sft", **tiny)
    print(f"SFT left {trained.id}, validation loss {trained.artifact.metrics['validation_loss']:.2f}")

    # The rest. What is finished is not run again.
    outcome = project.run(**tiny)
    print(f"ran {', '.join(outcome.ran)}")

    # The figures: for each model and measure a value, its interval and its number of prompts.
    for stage in ("base", "sft", "ppo"):
        found = project.summary()[stage]["over_refusal"]
        print(f"{stage}: over-refusal {found['value']:.2f} [{found['low']:.2f}, {found['high']:.2f}]")
    print(f"report: {project.report_page.name} is {project.report_page.stat().st_size // 1024} KiB")

    # Where a figure comes from: the way back from an artifact to sources and raters.
    print("\n".join(project.lineage(project.artifact("ppo", **tiny).id).lines()[:6]))


if __name__ == "__main__":
    main()
