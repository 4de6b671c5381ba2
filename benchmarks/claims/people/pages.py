"""Has any page a serious issue of accessibility? axe-core looks at each of them in Chromium.

Every page in each state that a visitor can bring about, light and dark, on a desktop and on a phone: a rater and an
owner walk through them, and each stop is a view. A serious issue keeps somebody from using a page; moderate and
minor ones are counted in the note.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.claims.claim import Bound, Claim, Measurement, NotMeasured

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from benchmarks.claims.people.intrusion.scene import Scene

DESKTOP = {"viewport": {"width": 1280, "height": 800}}
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 2,
}
SCREENS = {"desktop": DESKTOP, "phone": PHONE}
SCHEMES = ("light", "dark")
SERIOUS = ("serious", "critical")
CLAIMS = (
    Claim(
        "accessibility",
        "serious or critical issues that axe-core finds on any page, light and dark, desktop and phone",
        "issues",
        (Bound("=", 0.0),),
    ),
)


def measure() -> Iterator[tuple[str, Measurement | NotMeasured]]:
    from benchmarks.claims.people.intrusion.scripts import CHROMIUM

    if CHROMIUM is None:
        yield "accessibility", NotMeasured("no Chromium here: install it, or name it in TUTELAGE_CHROMIUM")
        return
    yield "accessibility", accessibility(SCHEMES, tuple(SCREENS))


def accessibility(schemes: tuple[str, ...], screens: tuple[str, ...]) -> Measurement:
    """`n` counts page views."""
    from benchmarks.claims.people.intrusion.scene import served, starter, with_nine
    from benchmarks.claims.people.intrusion.scripts import browser

    looks = Looks()
    with served("people-pages", with_nine(starter(2)), practice=1) as scene, browser() as opened:
        for scheme in schemes:
            for screen in screens:
                looks.now = f"{scheme} {screen}"
                walk(scene, Tabs(opened, {**SCREENS[screen], "color_scheme": scheme}), looks)
    found = [f"{issue} ({view})" for view, issue in looks.serious]
    note = f"{len(looks.views)} page views of {len(looks.names)} pages and states; "
    note += f"{looks.others} moderate or minor" + (f"; {', '.join(found[:5])}" if found else "")
    return Measurement(len(found), len(looks.views), note=note)


@dataclass
class Looks:
    """What axe-core found so far, by view."""

    now: str = ""
    views: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    serious: list[tuple[str, str]] = field(default_factory=list)
    others: int = 0

    def at(self, page: Page, name: str) -> None:
        """Look at what the page shows now."""
        from axe_playwright_python.sync_playwright import Axe

        view = f"{name}, {self.now}"
        self.views.append(view)
        self.names.add(name)
        for issue in Axe().run(page).response["violations"]:
            if issue["impact"] in SERIOUS:
                self.serious.append((view, f"{issue['id']} at {issue['nodes'][0]['target']}"))
            else:
                self.others += 1


@dataclass
class Tabs:
    """Pages in browsers of their own."""

    browser: Browser
    options: dict[str, Any]

    def open(self, address: str) -> Page:
        page = self.browser.new_context(**self.options).new_page()
        page.set_default_timeout(180_000)
        page.goto(address)
        return page


def walk(scene: Scene, tabs: Tabs, looks: Looks) -> None:
    """From the sign-in page to the end of a rater's queue, then the owner's page."""
    doors(scene, tabs, looks)
    page = tabs.open(scene.address + scene.invite())
    join(page, f"Rater, {looks.now}")
    looks.at(page, "guidelines")
    page.goto(f"{scene.address}/rate")
    ready(page)
    practice(page, looks)
    sizes = rating(page, looks)
    if sizes != {4, 9}:
        raise RuntimeError(f"prompts with {sorted(sizes)} responses were shown, and not with 4 and 9")
    looks.at(page, "done")
    page.goto(f"{scene.address}/overview")
    looks.at(page, "not open to the role")
    page.context.close()
    overview(scene, tabs, looks)


def doors(scene: Scene, tabs: Tabs, looks: Looks) -> None:
    """Signing in, right and wrong; invitations, open and used; an address where nothing is."""
    page = tabs.open(f"{scene.address}/sign-in")
    looks.at(page, "sign in")
    page.get_by_label("Name").fill(f"Nobody, {looks.now}")
    page.get_by_label("Password").fill("not this one")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_text("do not belong together").wait_for()
    looks.at(page, "sign in, refused")
    for role in ("rater", "viewer"):
        page.goto(scene.address + scene.invite(role))
        looks.at(page, f"invitation of a {role}")
    page.get_by_label("Your name").fill("x")
    page.get_by_label("A password").evaluate(
        "field => { field.removeAttribute('minlength'); field.value = 'x' }"
    )
    page.get_by_role("button", name="Begin").click()
    page.get_by_text("choose a longer one").wait_for()
    looks.at(page, "invitation, refused")
    page.goto(f"{scene.address}/invite/used")
    looks.at(page, "invitation that is gone")
    page.goto(f"{scene.address}/nowhere")
    looks.at(page, "nothing here")
    page.context.close()


def join(page: Page, name: str) -> None:
    from benchmarks.claims.people.intrusion.scene import PASSWORD

    page.get_by_label("Your name").fill(name)
    page.get_by_label("A password").fill(PASSWORD)
    page.get_by_role("button", name="Begin").click()
    page.wait_for_url(re.compile("guidelines|overview"))


def ready(page: Page) -> None:
    """A prompt is there, and its page listens."""
    page.locator(".response").first.wait_for()
    page.wait_for_function("window.did_handshake && !!document.querySelector('.row')")


def practice(page: Page, looks: Looks) -> None:
    looks.at(page, "practice")
    page.get_by_role("button", name="Put these below, tied").click()
    page.get_by_role("button", name="Submit ranking").click()
    page.get_by_role("button", name="Go on").wait_for()
    looks.at(page, "practice, explained")
    page.get_by_role("button", name="Go on").click()
    ready(page)


def rating(page: Page, looks: Looks) -> set[int]:
    """Rank all that waits; how many responses were shown."""
    sizes: set[int] = set()
    while "/done" not in page.url:
        ready(page)
        count = page.locator(".response").count()
        looks.at(page, f"rating {count} responses")
        for place, letter in enumerate("ABC", start=1):
            page.get_by_role("button", name=f"Response {letter}: place {place}").click()
        if not sizes:
            filled(page, looks)
        looks.at(page, f"ranking {count} responses, partly made")
        sizes.add(count)
        page.locator("#prompt").evaluate("element => element.dataset.seen = 'yes'")
        page.get_by_role("button", name="Submit ranking").click()
        page.wait_for_function(
            "() => location.pathname === '/done' || !document.querySelector('#prompt')?.dataset.seen"
        )
    return sizes


def filled(page: Page, looks: Looks) -> None:
    """Everything that can be folded out, and the dialogs."""
    page.get_by_text("Scores").first.click()
    page.get_by_text("Write a better answer").click()
    page.get_by_role("button", name="All are bad").click()
    looks.at(page, "scores and a better answer")
    page.get_by_role("button", name="All are bad").click()
    for name in ("Guidelines", "Keys", "Report a problem"):
        button = page.get_by_role("button", name=name)
        if not button.is_visible():  # a phone has no keys
            continue
        button.click()
        page.locator("dialog[open]").wait_for()
        looks.at(page, name.lower())
        page.keyboard.press("Escape")


def overview(scene: Scene, tabs: Tabs, looks: Looks) -> None:
    page = tabs.open(scene.address + scene.invite("owner"))
    join(page, f"Owner, {looks.now}")
    page.get_by_role("table").wait_for()
    looks.at(page, "overview")
    page.get_by_label("Groups").fill("no groups")
    page.get_by_role("button", name="Make a link").click()
    page.get_by_text("Write groups as").wait_for()
    looks.at(page, "overview, a form refused")
    page.get_by_label("Groups").fill("region=north")
    page.get_by_role("button", name="Make a link").click()
    page.get_by_label("Invitation link").wait_for()
    looks.at(page, "overview, a link made")
    page.context.close()
