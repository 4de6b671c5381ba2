"""The form that makes an invitation's link, and the link, once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import html
from pydantic import ValidationError

from tutelage.core.errors import TutelageError
from tutelage.web.api import Invitation
from tutelage.web.site import Site
from tutelage.web.widgets.words import Words

_FIELDS = ("invite-role", "invite-name", "invite-groups", "invite-days")
_COLLECT = f"() => emit({list(_FIELDS)!r}.map((id) => document.getElementById(id).value))"


class Inviting:
    """`may` is asked before a link is made; `address` is where this site is reached."""

    def __init__(self, site: Site, may: Callable[[], Awaitable[bool]], address: str) -> None:
        self._site, self._may, self._address = site, may, address
        with html.section():
            html.h2("Invite")
            with html.div().classes("invite"):
                self._choice("invite-role", "Role", {"rater": "rater", "viewer": "viewer", "owner": "owner"})
                self._field("invite-name", "Name", "Optional: whom it is for.", maxlength="80")
                self._field("invite-groups", "Groups", "Optional, such as region=north.", maxlength="400")
                self._field(
                    "invite-days", "Days it is open", "", type="number", value="14", min="1", max="90"
                )
            make = html.button("Make a link", type="button").classes("button first")
            make.on("click", lambda e: self._make(e.args), js_handler=_COLLECT)
            self._alert = Words("div", role="alert").classes("alert").style("margin-top:16px")
            with html.div().classes("link-made") as self._made:
                self._link = html.input_(type="text", readonly=True, **{"aria-label": "Invitation link"})
                copy = html.button("Copy", type="button").classes("button")
                copy.on("click", js_handler=_copy(self._link.id))
            self._told = Words("p", role="status").classes("hint")
            self._made.set_visibility(False)

    def _choice(self, element_id: str, label: str, options: dict[str, str]) -> None:
        with html.div().classes("field"):
            html.label(label, **{"for": element_id})
            with html.select(id=element_id):
                for value, text in options.items():
                    html.option(text, value=value)

    def _field(self, element_id: str, label: str, hint: str, **props: str) -> None:
        with html.div().classes("field"):
            html.label(label, **{"for": element_id})
            field = html.input_(**{"id": element_id, "type": "text", **props})
            if hint:
                html.p(hint, id=f"{element_id}-hint").classes("hint")
                field.props["aria-describedby"] = f"{element_id}-hint"

    async def _make(self, values: Any) -> None:
        self._alert.text = ""
        try:
            if await self._may():
                wanted = _wanted(values)
                token = await asyncio.to_thread(
                    self._site.accounts.invite,
                    wanted.role,
                    name=wanted.name,
                    groups=wanted.groups,
                    days=wanted.days,
                )
                self._link.props["value"] = f"{self._address}invite/{token}"
                self._told.text = (
                    f"For one {wanted.role}, open for {wanted.days} days. It is shown this once: copy it now."
                )
                self._made.set_visibility(True)
        except (TutelageError, ValueError) as problem:
            self._alert.text = str(problem)


def _wanted(values: Any) -> Invitation:
    role, name, groups, days = (str(v).strip() for v in values)
    try:
        pairs = [part.partition("=") for part in groups.split(",") if part.strip()]
        if any(not equals or not key.strip() or not value.strip() for key, equals, value in pairs):
            raise ValueError("Write groups as name=value, with commas between: region=north, age=under-30.")
        named = {key.strip(): value.strip() for key, _, value in pairs}
        return Invitation.model_validate({"role": role, "name": name, "groups": named, "days": days})
    except ValidationError as problem:
        first = problem.errors()[0]
        raise ValueError(f"{first['loc'][0]}: {first['msg'].lower()}.") from None


def _copy(element_id: int) -> str:
    return f"""() => {{
        const field = getHtmlElement({element_id}); field.select();
        navigator.clipboard ? navigator.clipboard.writeText(field.value) : document.execCommand("copy");
    }}"""
