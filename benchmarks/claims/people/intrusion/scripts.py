"""Scripts in everything that people and models write, looked at in a real browser.

Each text says in `window.hacked` where it ran, and marks each element that is made of it, so text that became a page
is seen even where the content security policy keeps it from running.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from benchmarks.claims.people.intrusion.attack import Attack, Try
from benchmarks.claims.people.intrusion.scene import GUIDELINES, PASSWORD, Conversation, Person, Scene

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = os.environ.get("TUTELAGE_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
KINDS: Mapping[str, str] = {
    "a script": "<script data-hack>window.hacked+=' @'</script>",
    "an image": "<img data-hack src=x onerror=\"window.hacked+=' @'\">",
    "a drawing": "<svg data-hack onload=\"window.hacked+=' @'\"></svg>",
    "an end of text": "</textarea></title></script><script data-hack>window.hacked+=' @'</script>",
    "an attribute": "\"'><i data-hack onmouseover=alert(1)>@</i>",
    "a frame": "<iframe data-hack srcdoc=\"<script>parent.hacked+=' @'</script>\"></iframe>",
    "a link": "[@](javascript:window.hacked+='@') <a data-hack href=\"javascript:window.hacked+=' @'\">@</a>",
    "Vue": "{{constructor.constructor(\"window.hacked+=' @'\")()}}",
    "a template": "`${window.hacked+=' @'}` \\x3cscript\\x3ewindow.hacked+=' @'\\x3c/script\\x3e",
    "a comment": "--><!--<script data-hack>window.hacked+=' @'</script> @",
}
"""`@` becomes the place that the text is put into."""
SHORT = "<img data-hack src=x onerror=\"window.hacked+=' @'\">"


def payloads(place: str) -> list[str]:
    """All texts for a place, each with its place and number in it."""
    return [text.replace("@", f"{place}-{n}") for n, text in enumerate(KINDS.values())]


def hacked_prompts() -> list[tuple[Conversation, list[str]]]:
    """A conversation and responses made of them: as an import, or a model, could bring them."""
    turns = [
        {"role": "user", "content": "\n".join(payloads("earlier"))},
        {"role": "assistant", "content": "\n".join(payloads("turn"))},
        {"role": "user", "content": "\n".join(payloads("prompt"))},
    ]
    responses = payloads("response")
    return [(turns, responses[:5]), (turns[2:], responses[5:])]


@contextmanager
def browser() -> Iterator[Browser]:
    """Chromium. Raises `RuntimeError` where there is none."""
    from playwright.sync_api import sync_playwright

    if CHROMIUM is None:
        raise RuntimeError("no Chromium here: install it, or name it in TUTELAGE_CHROMIUM")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


class Watcher:
    """A page that notices: what ran, what became an element, what asked for a dialog."""

    def __init__(self, opened: Browser, scene: Scene, session: str = "", **options: Any) -> None:
        context = opened.new_context(**options)
        if session:
            context.add_cookies(
                [{"name": "tutelage_session", "value": session, "url": scene.address, "sameSite": "Strict"}]
            )
        context.add_init_script("window.hacked = window.hacked || ''")
        self.page: Page = context.new_page()
        self.page.set_default_timeout(180_000)
        self.dialogs: list[str] = []
        self.page.on("dialog", self._dialog)
        self.address = scene.address

    def _dialog(self, dialog: Any) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def go(self, path: str) -> Watcher:
        self.page.goto(f"{self.address}{path}")
        return self

    def ran(self) -> str:
        """What ran or became an element; empty if nothing did."""
        self.page.wait_for_timeout(150)
        found = self.page.evaluate(
            "[window.hacked, ...[...document.querySelectorAll('[data-hack]')].map(e => e.outerHTML)].join(' ')"
        )
        return " ".join([str(found).strip(), *self.dialogs]).strip()

    def tries(self, place: str, marker: str) -> Iterator[Try]:
        """A try for each text of a place that is there, as text or as what it became.

        Raises `RuntimeError` if none is: then nothing was tried.
        """
        shown = self.page.evaluate(
            "document.body.innerText + ' ' + "
            "[...document.querySelectorAll('input,textarea')].map(e => e.value).join(' ')"
        )
        ran = self.ran()
        there = [n for n in range(len(KINDS)) if f"{marker}-{n}" in shown + ran]
        if not there:
            raise RuntimeError(f"{place} does not show what was put there: nothing was tried")
        for n in there:
            through = f"{marker}-{n}" in ran or bool(self.dialogs)
            yield Try(f"{list(KINDS)[n]} in {place}", through)


def scripts(scene: Scene) -> Iterator[Try]:
    """A rater and an owner look at everything that others wrote."""
    short = SHORT.replace("@", "name-0")
    ada = scene.join(name=short, groups={payloads("group")[1]: payloads("group")[0]})
    rules = "\n\n".join([GUIDELINES, *payloads("rules")])
    (scene.people.folder / "guidelines.md").write_text(rules, encoding="utf-8")
    with browser() as opened:
        yield from _rating(Watcher(opened, scene, ada.session), ada)
        yield from _owning(Watcher(opened, scene, scene.join("owner").session), scene)
        yield from _without_account(Watcher(opened, scene), scene)


def _rating(watcher: Watcher, ada: Person) -> Iterator[Try]:
    yield from watcher.go("/guidelines").tries("the guidelines", "rules")
    draft = {name: "\n".join(payloads(name)) for name in ("reason", "better")}
    saved = ada.ask("PUT", "/api/draft", json_body={"task": ada.task(), "content": draft})
    if saved.status != 200:
        raise RuntimeError(f"the draft was refused: {saved.text}")
    page = watcher.go("/rate").page
    _ready(page)
    page.get_by_role("button", name="Guidelines").click()
    yield from watcher.tries("the guidelines beside a prompt", "rules")
    page.keyboard.press("Escape")
    yield from watcher.tries("a reason", "reason")
    yield from watcher.tries("a better answer", "better")
    yield from watcher.tries("a rater's name", "name")
    yield from _report(watcher)
    seen: set[str] = set()
    while "/done" not in page.url:
        _ready(page)
        yield from watcher.tries("responses", "response")
        yield from watcher.tries("a prompt", "prompt")
        if "turn-" in page.locator("body").inner_text():
            yield from watcher.tries("an earlier question", "earlier")
            yield from watcher.tries("an earlier answer", "turn")
        seen.add(page.locator("#prompt").inner_text())
        page.locator("#prompt").evaluate("e => e.dataset.seen = 'yes'")
        page.get_by_role("button", name="Put these below, tied").click()
        page.get_by_role("button", name="Submit ranking").click()
        page.wait_for_function(
            "() => location.pathname === '/done' || !document.querySelector('#prompt')?.dataset.seen"
        )
    if len(seen) != 2:
        raise RuntimeError(f"{len(seen)} of 2 prompts were looked at")


def _ready(page: Page) -> None:
    page.locator(".response").first.wait_for()
    page.wait_for_function("window.did_handshake && !!document.querySelector('.row')")


def _report(watcher: Watcher) -> Iterator[Try]:
    page = watcher.page
    page.get_by_role("button", name="Report a problem").click()
    page.get_by_label("What is wrong with this prompt or a response?").fill("\n".join(payloads("report")))
    yield from watcher.tries("a report", "report")
    page.get_by_role("button", name="Send").click()
    page.get_by_text("Thank you: it is noted.").wait_for()
    page.keyboard.press("Escape")


def _owning(watcher: Watcher, scene: Scene) -> Iterator[Try]:
    page = watcher.go("/overview").page
    page.get_by_role("table").wait_for()
    yield from watcher.tries("a name in the overview", "name")
    yield from watcher.tries("groups in the overview", "group")
    page.locator("#invite-name").fill(SHORT.replace("@", "invited-0"))
    page.locator("#invite-groups").fill("=".join(payloads("made")[:2]))
    page.get_by_role("button", name="Make a link").click()
    page.wait_for_timeout(500)
    yield from watcher.tries("the form of an invitation", "invited")


def _without_account(watcher: Watcher, scene: Scene) -> Iterator[Try]:
    name = SHORT.replace("@", "guest-0")
    watcher.go(scene.invite(name=name))
    yield from watcher.tries("the name in an invitation", "guest")
    page = watcher.go(f"/sign-in?next={quote(payloads('next')[3])}").page
    page.get_by_label("Name").fill(SHORT.replace("@", "typed-0"))
    page.get_by_label("Password").fill(PASSWORD)
    yield from watcher.tries("where to go after signing in", "next")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_text("do not belong together").wait_for()
    yield from watcher.tries("the name after a wrong password", "typed")
    for n, text in enumerate(payloads("address")):
        watcher.go(f"/{quote(text)}")
        watcher.page.locator("h1").wait_for()
        yield Try(f"{list(KINDS)[n]} in an address", bool(watcher.ran()))


ATTACKS = (
    Attack(
        "scripts in texts",
        f"{len(KINDS)} kinds of markup in the prompt, earlier turns, responses, reasons, better answers, reports, "
        "guidelines; in names, groups, invitations, `next` and addresses; looked at in Chromium",
        "`window.hacked` is set, an element is made of the text, or a dialog opens",
        "templates escape, pages set text and never HTML, Markdown has raw HTML switched off; scripts need a nonce",
        scripts,
    ),
)
