"""The four shapes of Argilla's rows: what lies where, and how an answer is put in and taken out.

`argilla`: a record as `Dataset.to_disk` and `records.to_json` write it (2.x), answers by question.
`argilla-flat`: the same as `records.to_datasets` and the hub have it, with columns such as `ranking.responses`.
`argilla-v1`: a `FeedbackRecord` (1.x), answers by rater.
`argilla-v1-columns`: what `FeedbackDataset.format_as("datasets")` and the hub had, a column for each question.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from tutelage.data.tasks import CARRIED

RANKING, REASON = "ranking", "reason"
"""Names of the questions in rows that we make."""
_V1_SUGGESTED = ("-suggestion", "-suggestion-metadata")
_NO_FIELD = ("id", "_server_id", "external_id", "status", "metadata", "vectors", "score", CARRIED)


class Said(NamedTuple):
    """One rater's answer to one question."""

    question: str
    user: str | None
    value: Any
    status: str | None


class Shape(Protocol):
    """One way to lay out a record. `add` and `drop` change a row in place."""

    name: str

    def fits(self, row: Mapping[str, Any]) -> bool: ...

    def fields(self, row: Mapping[str, Any]) -> Mapping[str, Any]: ...

    def metadata(self, row: Mapping[str, Any]) -> Mapping[str, Any]: ...

    def own_name(self, row: Mapping[str, Any]) -> str: ...

    def answers(self, row: Mapping[str, Any]) -> list[Said]: ...

    def blank(self, name: str, fields: Mapping[str, Any]) -> dict[str, Any]: ...

    def note(self, row: dict[str, Any], metadata: Mapping[str, Any]) -> None:
        """Add to the row's metadata."""
        ...

    def add(self, row: dict[str, Any], said: Said) -> None: ...

    def drop(self, row: dict[str, Any], question: str, user: str | None) -> None: ...


class _Record:
    """What both shapes with a mapping of `fields` share."""

    def fields(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        return row["fields"]

    def metadata(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        return _mapping(row.get("metadata"))

    def note(self, row: dict[str, Any], metadata: Mapping[str, Any]) -> None:
        row["metadata"] = {**_mapping(row.get("metadata")), **metadata}


class Nested(_Record):
    """`{"fields": {}, "responses": {QUESTION: [{"value", "user_id"}]}, ...}`"""

    name = "argilla"

    def fits(self, row: Mapping[str, Any]) -> bool:
        said = row.get("responses")
        older = "external_id" in row or isinstance(row.get("suggestions"), list)
        return isinstance(row.get("fields"), Mapping) and (isinstance(said, Mapping) or not (said or older))

    def own_name(self, row: Mapping[str, Any]) -> str:
        return _name(row.get("id"), row.get("_server_id"))

    def answers(self, row: Mapping[str, Any]) -> list[Said]:
        return [
            Said(question, _user(one.get("user_id")), one.get("value"), one.get("status"))
            for question, given in _mapping(row.get("responses")).items()
            for one in _objects(given)
        ]

    def blank(self, name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        rest: dict[str, Any] = {"metadata": {}, "suggestions": {}, "responses": {}, "vectors": {}}
        return {"id": name, "fields": dict(fields), **rest}

    def add(self, row: dict[str, Any], said: Said) -> None:
        if not isinstance(row.get("responses"), dict):
            row["responses"] = {}
        entry = {"value": said.value, "user_id": said.user, "status": said.status}
        row["responses"].setdefault(said.question, []).append(entry)

    def drop(self, row: dict[str, Any], question: str, user: str | None) -> None:
        given = row["responses"].get(question, [])
        row["responses"][question] = [one for one in given if _user(one.get("user_id")) != user]


class Flat:
    """`{"id", FIELD: ..., "ranking.responses": [...], "ranking.responses.users": [...], ...}`"""

    name = "argilla-flat"
    _END = ".responses"

    def fits(self, row: Mapping[str, Any]) -> bool:
        return any(key.endswith(self._END) and f"{key}.users" in row for key in row)

    def fields(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        return {k: v for k, v in row.items() if "." not in k and k not in _NO_FIELD and v is not None}

    def metadata(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        return row

    def own_name(self, row: Mapping[str, Any]) -> str:
        return _name(row.get("id"), row.get("_server_id"))

    def answers(self, row: Mapping[str, Any]) -> list[Said]:
        found: list[Said] = []
        for key in [key for key in row if key.endswith(self._END)]:
            users, states = _listed(row.get(f"{key}.users")), _listed(row.get(f"{key}.status"))
            for n, value in enumerate(_listed(row[key])):
                user, state = (given[n] if n < len(given) else None for given in (users, states))
                found.append(Said(key.removesuffix(self._END), _user(user), value, state))
        return found

    def blank(self, name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        return {"id": name, **fields, **{key: [] for key in self._columns(RANKING)}}

    def note(self, row: dict[str, Any], metadata: Mapping[str, Any]) -> None:
        row.update(metadata)

    def add(self, row: dict[str, Any], said: Said) -> None:
        for key, value in zip(self._columns(said.question), (said.value, said.user, said.status)):
            row[key] = [*_listed(row.get(key)), value]

    def drop(self, row: dict[str, Any], question: str, user: str | None) -> None:
        users = _listed(row.get(self._columns(question)[1]))
        gone = [n for n, one in enumerate(users) if _user(one) == user]
        for key in self._columns(question):
            if isinstance(row.get(key), list):
                row[key] = [value for n, value in enumerate(row[key]) if n not in gone]

    def _columns(self, question: str) -> tuple[str, str, str]:
        key = f"{question}{self._END}"
        return key, f"{key}.users", f"{key}.status"


class Older(_Record):
    """`{"fields": {}, "responses": [{"user_id", "values": {QUESTION: {"value"}}, "status"}], ...}`"""

    name = "argilla-v1"

    def fits(self, row: Mapping[str, Any]) -> bool:
        return isinstance(row.get("fields"), Mapping) and not isinstance(row.get("responses"), Mapping)

    def own_name(self, row: Mapping[str, Any]) -> str:
        return _name(row.get("external_id"), row.get("id"))

    def answers(self, row: Mapping[str, Any]) -> list[Said]:
        return [
            Said(question, _user(one.get("user_id")), _mapping(given).get("value"), one.get("status"))
            for one in _objects(row.get("responses"))
            for question, given in _mapping(one.get("values")).items()
        ]

    def blank(self, name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        rest: dict[str, Any] = {"metadata": {}, "vectors": {}, "responses": [], "suggestions": []}
        return {"fields": dict(fields), **rest, "external_id": name}

    def add(self, row: dict[str, Any], said: Said) -> None:
        if not isinstance(row.get("responses"), list):
            row["responses"] = []
        same = (one for one in row["responses"] if _user(one.get("user_id")) == said.user)
        entry = next(same, None)
        if entry is None:
            entry = {"user_id": said.user, "values": {}, "status": said.status}
            row["responses"].append(entry)
        entry["values"][said.question] = {"value": said.value}

    def drop(self, row: dict[str, Any], question: str, user: str | None) -> None:
        for one in row["responses"]:
            if _user(one.get("user_id")) == user:
                _mapping(one.get("values")).pop(question, None)  # type: ignore[attr-defined]
        row["responses"] = [one for one in row["responses"] if one.get("values")]


class Columns:
    """`{FIELD: ..., QUESTION: [{"user_id", "value", "status"}], "QUESTION-suggestion": ..., ...}`"""

    name = "argilla-v1-columns"

    def fits(self, row: Mapping[str, Any]) -> bool:
        return any(self._answers(value) for value in row.values()) or any(
            key.endswith(_V1_SUGGESTED[0]) and key.removesuffix(_V1_SUGGESTED[0]) in row for key in row
        )

    def fields(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        return {
            key: value
            for key, value in row.items()
            if isinstance(value, str) and key not in _NO_FIELD and not key.endswith(_V1_SUGGESTED)
        }

    def metadata(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        said = row.get("metadata")
        try:
            return _mapping(json.loads(said) if isinstance(said, str) else said)
        except json.JSONDecodeError:
            return {}

    def own_name(self, row: Mapping[str, Any]) -> str:
        return _name(row.get("external_id"))

    def answers(self, row: Mapping[str, Any]) -> list[Said]:
        return [
            Said(question, _user(one.get("user_id")), one["value"], one.get("status"))
            for question, value in row.items()
            for one in self._answers(value)
        ]

    def blank(self, name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        nobody = {"type": None, "score": None, "agent": None}
        asked = {RANKING: [], f"{RANKING}-suggestion": None, f"{RANKING}-suggestion-metadata": nobody}
        return {**fields, **asked, "external_id": name, "metadata": "{}"}

    def note(self, row: dict[str, Any], metadata: Mapping[str, Any]) -> None:
        row["metadata"] = json.dumps({**self.metadata(row), **metadata}, ensure_ascii=False)

    def add(self, row: dict[str, Any], said: Said) -> None:
        entry = {"user_id": said.user, "value": said.value, "status": said.status}
        row[said.question] = [*self._answers(row.get(said.question)), entry]

    def drop(self, row: dict[str, Any], question: str, user: str | None) -> None:
        given = self._answers(row.get(question))
        row[question] = [one for one in given if _user(one.get("user_id")) != user]

    @staticmethod
    def _answers(value: Any) -> list[dict[str, Any]]:
        """The answers in a column; older releases have an object of lists in the place of a list of objects."""
        if isinstance(value, Mapping) and all(isinstance(value.get(k), list) for k in ("user_id", "value")):
            names = [name for name in ("user_id", "value", "status") if isinstance(value.get(name), list)]
            return [dict(zip(names, one)) for one in zip(*(value[name] for name in names))]
        found = _objects(value)
        return found if all("value" in one and "user_id" in one for one in found) else []


SHAPES: tuple[Shape, ...] = (Nested(), Older(), Flat(), Columns())


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []  # type: ignore[misc]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _user(value: Any) -> str | None:
    return None if value in (None, "", "None") else str(value)


def _name(*candidates: Any) -> str:
    return next((str(one) for one in candidates if one not in (None, "")), "")
