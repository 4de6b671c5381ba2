"""Accounts: invitations good once, passwords and tokens that nobody can read, sessions that end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from tutelage.core.errors import DataError, StoreError
from tutelage.preferences.accounts import Accounts
from tutelage.store import tables
from tutelage.store.database import Database

PASSWORD = "a long enough password"


@pytest.fixture
def database(database_url: str, tmp_path: Path) -> Iterator[Database]:
    with Database.open(database_url, tmp_path) as opened:
        yield opened


@pytest.fixture
def accounts(database: Database) -> Accounts:
    return Accounts(database)


def test_an_invitation_becomes_an_account_with_its_role_and_groups(accounts: Accounts) -> None:
    token = accounts.invite("rater", name="Ada", groups={"region": "north"})
    assert accounts.invitation(token).name == "Ada"
    ada = accounts.accept(token, "  Ada   Lovelace ", PASSWORD)
    assert (ada.name, ada.role, ada.groups) == ("Ada Lovelace", "rater", {"region": "north"})
    assert accounts.raters() == [ada] and accounts.named("ada lovelace") == ada


def test_an_invitation_is_good_once_and_for_its_days(accounts: Accounts) -> None:
    token = accounts.invite("owner")
    accounts.accept(token, "Ada", PASSWORD)
    ended = accounts.invite("rater", days=-1)
    for gone in (token, ended, "made up"):
        with pytest.raises(StoreError, match="used or has ended"):
            accounts.accept(gone, "Eve", PASSWORD)
    assert [r.name for r in accounts.raters()] == ["Ada"]


@pytest.mark.parametrize("name", ["", " ", "x" * 81, "a\x00b"])
def test_bad_names_are_refused_and_the_invitation_stays(accounts: Accounts, name: str) -> None:
    token = accounts.invite("rater")
    with pytest.raises(DataError, match="name"):
        accounts.accept(token, name, PASSWORD)
    assert accounts.accept(token, "Ada", PASSWORD).name == "Ada"


@pytest.mark.parametrize("text", ["nul\0", "half \ud800"])
def test_an_invitation_has_text_that_every_database_keeps(accounts: Accounts, text: str) -> None:
    for given in ({"name": text}, {"groups": {text: "x"}}, {"groups": {"region": text}}):
        with pytest.raises(DataError):
            accounts.invite("rater", **given)


def test_a_name_is_taken_whatever_its_case(accounts: Accounts) -> None:
    accounts.accept(accounts.invite("rater"), "Ada", PASSWORD)
    with pytest.raises(DataError, match="taken"):
        accounts.accept(accounts.invite("rater"), "aDA", PASSWORD)


def test_sessions_open_with_the_right_password_and_end(database: Database, accounts: Accounts) -> None:
    ada = accounts.accept(accounts.invite("rater"), "Ada", PASSWORD)
    token = accounts.login("ada", PASSWORD)
    assert accounts.who(token) == ada
    accounts.logout(token)
    assert accounts.who(token) is None
    brief = Accounts(database, session_hours=-1)
    assert brief.who(brief.login("Ada", PASSWORD)) is None
    strange = [("Ada\0", PASSWORD), ("\ud800", PASSWORD), ("Ada", "\ud800")]
    for name, password in (("Ada", PASSWORD + "x"), ("Bob", PASSWORD), ("Ada", ""), *strange):
        with pytest.raises(StoreError, match="do not belong together"):
            accounts.login(name, password)


def test_a_closed_account_is_out_at_once(accounts: Accounts) -> None:
    ada = accounts.accept(accounts.invite("owner"), "Ada", PASSWORD)
    token = accounts.login("Ada", PASSWORD)
    accounts.deactivate(ada.id)
    assert accounts.who(token) is None and not accounts.named("Ada").active
    with pytest.raises(StoreError):
        accounts.login("Ada", PASSWORD)


def test_roles_change_and_strange_ones_are_refused(accounts: Accounts) -> None:
    ada = accounts.accept(accounts.invite("viewer"), "Ada", PASSWORD)
    accounts.set_role(ada.id, "owner")
    assert accounts.named("Ada").role == "owner"
    with pytest.raises(DataError, match="no role"):
        accounts.invite("god")
    with pytest.raises(DataError, match="no role"):
        accounts.set_role(ada.id, "god")
    with pytest.raises(StoreError, match="no such account"):
        accounts.set_role("nobody", "owner")


def test_no_secret_lies_in_the_database(database: Database, accounts: Accounts) -> None:
    invited = accounts.invite("rater")
    accounts.accept(invited, "Ada", PASSWORD)
    session = accounts.login("Ada", PASSWORD)
    with database.read() as connection:
        kept = " ".join(
            str(row)
            for table in (tables.raters, tables.invitations, tables.sessions)
            for row in connection.execute(select(table))
        )
    assert "argon2id" in kept
    assert all(secret not in kept for secret in (PASSWORD, invited, session))
