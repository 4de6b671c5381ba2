"""A project with prompts to rank: what `sample` would have left, without a model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tutelage.core.records import Artifact, Message, Prompt, Response
from tutelage.pipeline.people import open_people
from tutelage.pipeline.project import Project
from tutelage.store.database import Database
from tutelage.store.records import Records
from tutelage.web.site import Site

SFT = Artifact("sft", {}, {}, seed=1, version="0", finished="2026-01-01T00:00:00+00:00")
POLICY = SFT.id
RECIPE = """# A recipe for tests of the pages
name: Kitchen table
data: {evaluation: evaluation}
people: {overlap: 50, calibration: 2, gold_rate: 0.0}
"""
SIZES = (4, 9, 4)
TEXTS = (
    "Rinse it until the water runs clear, then one and a half cups of water to a cup of rice. Let it simmer, "
    "covered, for 12 minutes on the lowest heat, and leave the lid on for another ten.",
    "Rice is a staple food for more than half of the world's people. There are many kinds of rice.",
    "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'> Use a **rice cooker**.",
    "1. Wash it.\n2. Boil it in plenty of salted water, like pasta.\n3. Drain it, and cover it with a towel.",
    "Soak it overnight, then bake it under foil at 180 °C with twice as much stock as rice.",
    "That depends: jasmine 1 : 1.25, basmati 1 : 1.5, brown rice 1 : 2.",
    "I'm sorry, but I can't help with that.",
    "Put both into a bowl, and microwave them for ten minutes at full power and fifteen at half power.",
    "Boil it.",
)


def conversation(number: int) -> Prompt:
    """The prompts differ, and one of them has a conversation before it."""
    asked = Message("user", f"How do I cook rice for {number + 2} people without burning it?")
    if number != 1:
        return Prompt((asked,), split="reward")
    before = (
        Message("user", "I never cook. What is easy?"),
        Message("assistant", "Rice & eggs <b>first</b>."),
    )
    return Prompt((*before, asked), split="reward")


def fill(database: Database) -> None:
    """The records of a finished `sample` stage."""
    records = Records(database)
    records.artifacts.add([SFT])
    prompts = [conversation(number) for number in range(len(SIZES))]
    records.prompts.add(prompts)
    for prompt, size in zip(prompts, SIZES, strict=True):
        records.responses.add(
            [Response(prompt.id, text, POLICY, {"temperature": 0.7}) for text in TEXTS[:size]]
        )


def make_test_project(folder: Path) -> Path:
    """A project folder with a filled database."""
    (folder / "tutelage.yaml").write_text(RECIPE)
    (folder / "guidelines.md").write_text(
        "# How to rank\n\nAsk **what serves best**.\n\n- Read to the end.\n"
    )
    with Database.open("sqlite:///tutelage.db", folder) as database:
        fill(database)
    return folder


@contextmanager
def open_test_site(folder: Path) -> Iterator[Site]:
    """The same as the pages see it."""
    with open_people(Project(make_test_project(folder))) as people:
        yield Site(people.recipe.name, people.folder, people.database, people.accounts, people.desk)
