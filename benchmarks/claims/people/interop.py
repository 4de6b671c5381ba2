"""Do judgements come in from other tools and go out to them, and does each side read what the other said?

TRL runs in an environment of its own and is handed the exported file as it is. The rating tools' exports were
written by hand in the shapes of their documentation (`says.py`): nothing here asks the tools themselves. The
way there and back is measured on random rankings by several raters, with ties and unranked responses.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import environments
from benchmarks.claims.claim import Bound, Claim, Measurement, NotMeasured

if TYPE_CHECKING:
    from tutelage.core.records import Judgement
    from tutelage.store.database import Database
    from tutelage.store.records import Records

RANKINGS, PROMPTS, RATERS, SEED = 48, 60, 3, 0
TRL_FILES = ("comparisons.jsonl", "comparisons.parquet")
ALL, NONE = (Bound("=", 1.0),), (Bound("=", 0.0),)
CLAIMS = (
    Claim("trl_rows", "exported comparisons that TRL's RewardTrainer reads as they were said", "share", ALL),
    Claim(
        "trl_step",
        "exported files (JSONL, Parquet) on which TRL's RewardTrainer trains a step that moves the weights",
        "files",
        (Bound("=", len(TRL_FILES)),),
    ),
    Claim(
        "said",
        "rankings in Argilla's and Label Studio's exports that are read as they were given",
        "share",
        ALL,
    ),
    Claim("argilla", "rows of Argilla's exports (2.x and 1.x) that go out as they came in", "share", ALL),
    Claim("label_studio", "rows of Label Studio's export that go out as they came in", "share", ALL),
    Claim(
        "there_and_back",
        "judgements of our own that come back lost, changed or doubled from any of the five formats",
        "judgements",
        NONE,
    ),
    Claim("lossless", "records that differ after export and import into an empty database", "records", NONE),
)


def measure() -> Iterator[tuple[str, Measurement | NotMeasured]]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        yield from trl(place)
        yield from came_and_went(place)
        yield "there_and_back", there_and_back(place)
        yield "lossless", lossless(place)


def trl(place: Path) -> Iterator[tuple[str, Measurement | NotMeasured]]:
    if (reason := environments.missing([environments.TRL])) is not None:
        yield from ((name, NotMeasured(reason)) for name in ("trl_rows", "trl_step"))
        return
    from tutelage.models.tiny import make_tiny
    from tutelage.pipeline.exporting import export
    from tutelage.pipeline.importing import import_into

    make_tiny(place / "model")
    answers: list[dict[str, Any]] = []
    with opened(place, "starter") as database:
        import_into(database, "pack:starter", place, kind="comparisons", limit=RANKINGS)
        rows = [export(database, place / file, "trl").rows for file in TRL_FILES]
    for file in TRL_FILES:
        environments.run(environments.TRL, "benchmarks.oracle.trl_export", str(place), str(place / file))
        answers.append(json.loads((place / "trl.json").read_text()))
    how = f"TRL {environments.TRL}, a tiny random model, {RANKINGS} rankings of the starter pack"
    yield "trl_rows", Measurement(sum(a["right"] for a in answers) / sum(rows), sum(rows), note=how)
    stepped = [a for a in answers if a["steps"] == 1 and a["loss"] is not None and a["moved"] > 0]
    losses = ", ".join(f"{a['loss']:.3f}" for a in answers)
    yield "trl_step", Measurement(len(stepped), len(answers), seed=0, note=f"losses {losses}; {how}")


def came_and_went(place: Path) -> Iterator[tuple[str, Measurement]]:
    """Every sample into a store of its own and out again, and what its judgements said in between."""
    from benchmarks.claims.people.says import EXPORTS, SAYS
    from tutelage.pipeline.exporting import export
    from tutelage.pipeline.importing import import_into
    from tutelage.store.records import Records

    right, told = 0, 0
    same: dict[str, list[bool]] = {"argilla": [], "label-studio": []}
    for name, said in SAYS.items():
        with opened(place, name) as database:
            import_into(database, str(EXPORTS / f"{name}.json"), place)
            found = rankings(Records(database))
            export(database, place / f"{name}.json", name)
        told += len(said)
        right += sum(entry in found for entry in said) if len(found) == len(said) else 0
        given, gone = (json.loads((where / f"{name}.json").read_text()) for where in (EXPORTS, place))
        tool = name if name == "label-studio" else "argilla"
        same[tool] += [row in gone and len(given) == len(gone) for row in given]
    yield "said", Measurement(right / told, told, note="several raters, ties, partial rankings, reasons")
    for claim, tool in (("argilla", "argilla"), ("label_studio", "label-studio")):
        rows = same[tool]
        note = "four shapes" if tool == "argilla" else "LLM Ranker template, with and without buckets"
        yield claim, Measurement(sum(rows) / len(rows), len(rows), note=f"equal as JSON; {note}")


def rankings(records: Records) -> list[tuple[str, list[list[str]], str]]:
    """Each judgement as its rater, tie groups by the tool's names, and reason."""
    names: dict[str, dict[str, str]] = {}
    for original in records.originals.list():
        own = {response: name for name, response in original.responses.items()}
        names.update({i: own for i in original.judgement_ids if i})
    return [
        (j.rater, [[names[j.id][r] for r in group] for group in j.ranking], j.reason)
        for j in records.judgements.list()
    ]


def there_and_back(place: Path) -> Measurement:
    from tutelage.data.rating_tools import FORMATS
    from tutelage.pipeline.exporting import export
    from tutelage.pipeline.importing import import_into
    from tutelage.store.records import Records

    wrong = count = 0
    with opened(place, "ours") as database:
        said = filled(database, place)
        for format in FORMATS:
            export(database, place / f"{format}-ours.json", format)
            import_into(database, f"{format}-ours.json", place)
            there = {j.id for j in Records(database).judgements.list()}
            wrong += len(there ^ {j.id for j in said})
            count += len(said)
            wrong += len(lost(place, format, said))
    note = f"{len(said)} judgements in {len(FORMATS)} formats, into their own database and into an empty one"
    return Measurement(wrong, count, seed=SEED, note=note)


def lost(place: Path, format: str, said: Sequence[Judgement]) -> set[tuple[Any, ...]]:
    """What people said that an empty database does not know after the import, or knows besides."""
    from tutelage.pipeline.importing import import_into
    from tutelage.store.records import Records

    with opened(place, f"{format}-empty") as other:
        import_into(other, f"{format}-ours.json", place)
        records = Records(other)
        texts = {r.id: r.text for r in records.responses.list()}
        found = {_told(j, texts) for j in records.judgements.list()}
    with opened(place, "ours") as database:
        ours = {r.id: r.text for r in Records(database).responses.list()}
    return found ^ {_told(j, ours) for j in said}


def _told(judgement: Judgement, texts: dict[str, str]) -> tuple[Any, ...]:
    ranking = tuple(tuple(sorted(texts[i] for i in group)) for group in judgement.ranking)
    beside = (judgement.rater, judgement.kind, judgement.guideline, judgement.reason, judgement.seconds)
    return judgement.prompt_id, tuple(texts[i] for i in judgement.shown), ranking, *beside


def lossless(place: Path) -> Measurement:
    from tutelage.pipeline.exporting import export
    from tutelage.pipeline.importing import import_into
    from tutelage.store.dump import RECORDS
    from tutelage.store.records import Records

    with opened(place, "ours") as database, opened(place, "copy") as copy:
        import_into(database, "pack:starter", place, kind="demonstrations", limit=50)
        export(database, place / "records")
        import_into(copy, "records", place)
        mine, other = (
            {(kind, r.id): r.to_dict() for kind in RECORDS for r in getattr(Records(d), kind).list()}
            for d in (database, copy)
        )
    differ = sum(mine.get(key) != other.get(key) for key in mine.keys() | other.keys())
    return Measurement(
        differ, len(mine), note="prompts, responses, demonstrations, judgements, rows of tools"
    )


def filled(database: Database, place: Path) -> list[Judgement]:
    """Random rankings by several raters of the starter pack's responses, with ties, some left unranked."""
    from tutelage.core.records import Judgement
    from tutelage.pipeline.importing import import_into
    from tutelage.store.records import Records

    draw = random.Random(SEED)
    import_into(database, "pack:starter", place, kind="comparisons", limit=PROMPTS)
    records = Records(database)
    groups: dict[str, list[str]] = {}
    for response in records.responses.list():
        groups.setdefault(response.prompt_id, []).append(response.id)
    made: list[Judgement] = []
    for (prompt, responses), rater in ((item, n) for item in sorted(groups.items()) for n in range(RATERS)):
        shown, order = draw.sample(responses, len(responses)), draw.sample(responses, len(responses))
        ranking: list[tuple[str, ...]] = []
        while order and (len(ranking) < 2 or draw.random() < 0.7):
            size = 1 + (len(order) > 2 and draw.random() < 0.3)
            ranking.append(tuple(order[:size]))
            order = order[size:]
        made.append(
            Judgement(
                prompt,
                tuple(shown),
                tuple(ranking),
                f"rater {rater}",
                reason=draw.choice(["", "clearer", "shorter,\nand true"]),
                seconds=draw.choice([None, round(draw.uniform(1, 90), 2)]),
                guideline="v2",
            )
        )
    records.judgements.add(made)
    return list(records.judgements.list())


def opened(place: Path, name: str) -> Database:
    """A database of that name in the folder, made if it is not there."""
    from tutelage.store.database import Database

    return Database.open(f"sqlite:///{name}.db", place)
