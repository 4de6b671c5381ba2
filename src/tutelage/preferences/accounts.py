"""Who may take part: invitations, accounts with a role, and sessions that end.

Passwords are hashed with argon2id; of an invitation's or a session's token only the SHA-256 is kept, so whoever
reads the database can sign in as nobody. Left out on purpose: mail, and resetting a password (an owner closes
the account and invites again).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any, Literal, cast

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from sqlalchemy import Connection, Row, delete, insert, select, update

from tutelage.core.errors import DataError, StoreError
from tutelage.store import tables
from tutelage.store.database import Database
from tutelage.store.people import leave_tasks, require_plain, require_text
from tutelage.store.records import stamp

Role = Literal["owner", "rater", "viewer"]
ROLES: tuple[Role, ...] = ("owner", "rater", "viewer")
SHORTEST_PASSWORD = 8
LONGEST_NAME = 80
_GONE = "this invitation was used or has ended: ask for another one"
_WRONG = "this name and password do not belong together"


@dataclass(frozen=True)
class Rater:
    """Somebody with an account. `groups` are attributes of the owner's choosing."""

    id: str
    name: str
    role: Role
    groups: Mapping[str, str] = field(default_factory=dict[str, str])
    active: bool = True


@dataclass(frozen=True)
class Invitation:
    """What an open invitation makes of whoever accepts it."""

    role: Role
    name: str
    groups: Mapping[str, str]


class Accounts:
    """The accounts of one project."""

    def __init__(self, database: Database, *, session_hours: float = 12.0) -> None:
        self._database, self._session = database, timedelta(hours=session_hours)
        self._hasher = PasswordHasher()

    def invite(
        self, role: str, *, name: str = "", groups: Mapping[str, str] | None = None, days: float = 14
    ) -> str:
        """Open an invitation; returns its token, which is kept nowhere.

        Raises `DataError` for a strange role, or a text that cannot be kept.
        """
        if role not in ROLES:
            raise DataError(f"there is no role '{role}': choose from {', '.join(ROLES)}")
        require_plain([name, dict(groups or {})])
        token = secrets.token_urlsafe(24)
        row = {
            "token": _hashed(token),
            "role": role,
            "name": name.strip()[:LONGEST_NAME],
            "groups": dict(groups or {}),
            "expires": stamp(timedelta(days=days)),
        }
        with self._database.begin() as connection:
            connection.execute(insert(tables.invitations).values(row))
        return token

    def invitation(self, token: str) -> Invitation:
        """What a token invites to. Raises `StoreError` if it was used, has ended, or never was."""
        with self._database.read() as connection:
            row = _open_invitation(connection, token)
        return Invitation(row.role, row.name, row.groups)

    def accept(self, token: str, name: str, password: str) -> Rater:
        """Make the account. The invitation is used up.

        Raises `StoreError` for an invitation that is gone, `DataError` for a bad or taken name or password.
        """
        name = _named(name)
        if len(password) < SHORTEST_PASSWORD:
            raise DataError(
                f"the password has fewer than {SHORTEST_PASSWORD} characters: choose a longer one"
            )
        require_text(password)
        hashed = self._hasher.hash(password)
        with self._database.begin() as connection:
            invited = _open_invitation(connection, token, lock=True)
            key = name_key(name)
            if connection.execute(select(tables.raters.c.id).where(tables.raters.c.name_key == key)).first():
                raise DataError(f"the name '{name}' is taken: choose another one")
            rater = Rater(secrets.token_hex(8), name, invited.role, dict(invited.groups))
            row = {"id": rater.id, "name": name, "name_key": key, "role": rater.role, "password": hashed}
            row |= {"groups": dict(rater.groups), "active": 1, "created": stamp()}
            connection.execute(insert(tables.raters).values(row))
            used = update(tables.invitations).where(tables.invitations.c.token == _hashed(token))
            connection.execute(used.values(used_by=rater.id))
        return rater

    def login(self, name: str, password: str) -> str:
        """Begin a session; returns its token. Raises `StoreError` if name and password do not belong together."""
        with self._database.read() as connection:
            row = _by_name(connection, name) if name.isprintable() else None
        # An unknown name takes as long as a known one, so that names cannot be found out.
        hashed = row.password if row is not None else self._nobody
        try:
            self._hasher.verify(hashed, password)
        except (Argon2Error, InvalidHashError, UnicodeEncodeError):
            raise StoreError(_WRONG) from None
        if row is None or not row.active:
            raise StoreError(_WRONG)
        token = secrets.token_urlsafe(32)
        session = {"token": _hashed(token), "rater_id": row.id, "expires": stamp(self._session)}
        with self._database.begin() as connection:
            connection.execute(delete(tables.sessions).where(tables.sessions.c.expires < stamp()))
            connection.execute(insert(tables.sessions).values(session))
        return token

    def who(self, session: str) -> Rater | None:
        """Whose session this is, or None if it has ended or the account is closed."""
        joined = tables.sessions.join(tables.raters)
        query = select(tables.raters).select_from(joined)
        query = query.where(tables.sessions.c.token == _hashed(session), tables.sessions.c.expires > stamp())
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return rater_of(row) if row is not None and row.active else None

    def logout(self, session: str) -> None:
        """End a session."""
        with self._database.begin() as connection:
            connection.execute(delete(tables.sessions).where(tables.sessions.c.token == _hashed(session)))

    def raters(self) -> list[Rater]:
        """Everybody with an account, in the order in which they came."""
        order = (tables.raters.c.created, tables.raters.c.name_key)
        with self._database.read() as connection:
            return [rater_of(row) for row in connection.execute(select(tables.raters).order_by(*order))]

    def named(self, name: str) -> Rater:
        """The account with this name. Raises `StoreError` if there is none."""
        with self._database.read() as connection:
            row = _by_name(connection, name)
        if row is None:
            raise StoreError(f"nobody is called '{name}': see `tutelage raters list`")
        return rater_of(row)

    def set_role(self, rater_id: str, role: str) -> None:
        """Give an account another role. Raises `DataError` for a strange role, `StoreError` for no account."""
        if role not in ROLES:
            raise DataError(f"there is no role '{role}': choose from {', '.join(ROLES)}")
        with self._database.begin() as connection:
            _change(connection, rater_id, role=role)

    def deactivate(self, rater_id: str) -> None:
        """Close an account: its sessions end, its judgements stay, others get what it had open.

        Raises `StoreError` for no account.
        """
        with self._database.begin() as connection:
            _change(connection, rater_id, active=0)
            connection.execute(delete(tables.sessions).where(tables.sessions.c.rater_id == rater_id))
            leave_tasks(connection, rater_id)

    @cached_property
    def _nobody(self) -> str:
        return self._hasher.hash(secrets.token_urlsafe(16))


def _change(connection: Connection, rater_id: str, **values: Any) -> None:
    changed = update(tables.raters).where(tables.raters.c.id == rater_id).values(**values)
    if connection.execute(changed).rowcount == 0:
        raise StoreError("there is no such account: see `tutelage raters list`")


def _named(name: str) -> str:
    name = " ".join(name.split())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise DataError(f"the name must have 1 to {LONGEST_NAME} printable characters: choose another one")
    return name


def name_key(name: str) -> str:
    """A name as it is looked up: case and spaces around and between words do not count."""
    return " ".join(name.split()).casefold()


def _by_name(connection: Connection, name: str) -> Row[Any] | None:
    return connection.execute(select(tables.raters).where(tables.raters.c.name_key == name_key(name))).first()


def _open_invitation(connection: Connection, token: str, lock: bool = False) -> Row[Any]:
    query = select(tables.invitations).where(
        tables.invitations.c.token == _hashed(token),
        tables.invitations.c.used_by.is_(None),
        tables.invitations.c.expires > stamp(),
    )
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        raise StoreError(_GONE)
    return row


def rater_of(row: Row[Any]) -> Rater:
    return Rater(row.id, row.name, cast(Role, row.role), row.groups, bool(row.active))


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
