"""Getting in without being asked: passwords, names, invitations."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from benchmarks.claims.people.intrusion.attack import Attack, Try
from benchmarks.claims.people.intrusion.scene import PASSWORD, Scene

if TYPE_CHECKING:
    from tutelage.web.limits import Rule

GUESSES = 40
TRIED = 401
"""The status of a guess that was looked at; one that came too often is answered 429."""


def password_guessing(scene: Scene) -> Iterator[Try]:
    """Guesses beyond what the limits let through, and the right password once it is too late."""
    from tutelage.web.limits import SIGN_IN_AS_NAME, SIGN_IN_FROM_ADDRESS

    name = "Grace Brewster Hopper"
    scene.join(name=name)
    spelled = [name, name.upper(), f"  {name} ", name.replace(" ", "  "), name.replace(" ", "   ")]
    guesses = [(spelled[n % len(spelled)], f"10.1.{n}.1") for n in range(GUESSES)]
    what = f"one name from {GUESSES} addresses, in {len(spelled)} spellings"
    yield Try(what, _more_than(SIGN_IN_AS_NAME, scene, guesses))
    too_late = _guess(scene, name, PASSWORD, "10.2.0.1") < 400
    yield Try("the right password among too many guesses", too_late)
    spray = [(f"Name {n}", "10.3.0.1") for n in range(GUESSES)]
    yield Try(f"{GUESSES} names from one address", _more_than(SIGN_IN_FROM_ADDRESS, scene, spray))


def _more_than(rule: Rule, scene: Scene, guesses: list[tuple[str, str]]) -> bool:
    """Whether more guesses were looked at than the rule lets through in the time they took."""
    began = time.monotonic()
    tried = sum(_guess(scene, name, "not this one", address) == TRIED for name, address in guesses)
    if not tried:
        raise RuntimeError("no guess was looked at: nothing was tried")
    return tried > rule.burst + rule.rate * (time.monotonic() - began) + 1


def _guess(scene: Scene, name: str, password: str, address: str) -> int:
    """The status of a sign-in; a proxy on the machine would say where it comes from."""
    person = scene.stranger()
    headers = {"X-Forwarded-For": address}
    return person.ask("POST", "/sign-in", form={"name": name, "password": password}, headers=headers).status


def names_found_out(scene: Scene) -> Iterator[Try]:
    ada = scene.join()
    said = []
    for name in (ada.name, "Nobody of that name"):
        form = {"name": name, "password": "not this one"}
        answer = scene.stranger().ask(
            "POST", "/api/sign-in", json_body=form, headers={"X-Forwarded-For": "10.4.0.1"}
        )
        said.append((answer.status, answer.text))
    yield Try("a wrong password of a known and of an unknown name are told apart", said[0] != said[1])


def invitations(scene: Scene) -> Iterator[Try]:
    owner = scene.join("owner")
    for n in range(20):
        token = secrets.token_urlsafe(24)
        answer = scene.stranger().ask("GET", f"/invite/{token}")
        if n < 3:
            yield Try("a made-up invitation", answer.status == 200)
    path = scene.invite("owner")
    answers: list[int] = []

    def accept(n: int) -> None:
        form = {"name": f"Racer {n}", "password": PASSWORD}
        sent = scene.stranger().ask("POST", path, form=form, headers={"X-Forwarded-For": f"10.5.{n}.1"})
        answers.append(sent.status)

    racers = [threading.Thread(target=accept, args=(n,)) for n in range(8)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    accounts = [one for one in scene.people.accounts.raters() if one.name.startswith("Racer")]
    if not accounts:
        raise RuntimeError(f"nobody could use the invitation: {answers}")
    yield Try("an invitation used by eight at the same moment", len(accounts) > 1)
    role = {"name": "Riser", "password": PASSWORD, "role": "owner", "groups": "x=y"}
    scene.stranger().ask("POST", scene.invite("rater"), form=role, headers={"X-Forwarded-For": "10.6.0.1"})
    yield Try(
        "a role in the form of a rater's invitation", scene.people.accounts.named("Riser").role != "rater"
    )
    listed = json.loads(owner.ask("GET", "/api/raters").body)
    secret = any({"password", "token", "session"} & set(row) for row in listed)
    yield Try("the list of raters holds a hash of a password", secret)


ATTACKS = (
    Attack(
        "password guessing",
        f"{GUESSES} guesses at one name from as many addresses and in several spellings; {GUESSES} names from one "
        "address; the right password afterwards",
        "more guesses are looked at than the limits say",
        "two limits (`web/limits.py`): 8 at once and 2 a minute for a name, 30 at once and 15 a minute for an address",
        password_guessing,
    ),
    Attack(
        "finding out names",
        "a wrong password for a name that is known and for one that is not",
        "two answers that differ",
        "one sentence for both, and a hash is computed for both",
        names_found_out,
    ),
    Attack(
        "invitations",
        "guessed, used by eight at the same moment, with a role in the form; hashes in the list of raters",
        "a second account, another role, a hash",
        "24 random bytes, good once in one transaction; the role is the invitation's",
        invitations,
    ),
)
