"""The pages in a real browser: every way to rank, coming back, a phone, two raters at once, accessibility."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from tests.evals.evaluated import leave_evaluation
from tests.web.conftest import PASSWORD
from tests.web.projects import POLICY, make_test_project
from tutelage.core.records import Judgement, Response
from tutelage.pipeline.people import open_people
from tutelage.pipeline.project import Project
from tutelage.store import tables
from tutelage.store.database import Database
from tutelage.store.records import Records

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

CHROMIUM = os.environ.get("TUTELAGE_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
SHOTS = os.environ.get("TUTELAGE_SHOTS")
DESKTOP = {"viewport": {"width": 1280, "height": 860}}
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 2,
}

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium here: install it, or name it in TUTELAGE_CHROMIUM"),
]


@dataclass
class Server:
    """A project that is served by the command itself."""

    folder: Path
    address: str
    owner_link: str

    def invite(self, role: str = "rater") -> str:
        with open_people(Project(self.folder)) as people:
            return f"{self.address}/invite/{people.accounts.invite(role)}"

    def close(self, name: str) -> None:
        with open_people(Project(self.folder)) as people:
            people.accounts.deactivate(next(r.id for r in people.accounts.raters() if r.name == name))

    @contextmanager
    def records(self) -> Iterator[Records]:
        with Database.open("sqlite:///tutelage.db", self.folder) as database:
            yield Records(database)

    def judgements_of(self, name: str) -> list[Judgement]:
        with self.records() as records:
            return [j for j in records.judgements.list() if j.rater == name]

    def texts(self) -> dict[str, str]:
        with self.records() as records:
            return {r.id: r.text for r in records.responses.list()}

    def responses(self) -> list[Response]:
        with self.records() as records:
            return list(records.responses.list())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(make_test_project(tmp_path_factory.mktemp("rating"))) as served:
        yield served


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """A project's pages, until the end of the block."""
    command = [sys.executable, "-m", "tutelage", "serve", "rate", "--port", "0"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=sys.stderr, text=True)
    assert process.stdout is not None
    said = process.stdout.readline() + process.stdout.readline()
    links = re.findall(r"http://\S+", said)
    assert len(links) == 2, said
    yield Server(folder, links[0], links[1])
    process.terminate()
    assert process.wait(timeout=20) in (0, -15)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Page]]:
    """A page in a context of its own. What goes wrong in its console fails the test."""
    contexts, wrong = [], []

    def open_page(**options: Any) -> Page:
        contexts.append(browser.new_context(**{**DESKTOP, **options}))
        page = contexts[-1].new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if serious(said) else None)
        page.on("dialog", lambda dialog: wrong.append(f"a dialog said {dialog.message}"))
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not wrong


def serious(said: Any) -> bool:
    """An error of a script; that an address answers 401 or 410 is what some tests are about."""
    return said.type == "error" and "Failed to load resource" not in said.text


def join(page: Page, link: str, name: str) -> None:
    page.goto(link)
    page.get_by_label("Your name").fill(name)
    page.get_by_label("A password").fill(PASSWORD)
    page.get_by_role("button", name="Begin").click()
    page.wait_for_url(re.compile("guidelines|overview"))


def start(page: Page, server: Server, name: str) -> None:
    """Join, and go through practice by the quickest way."""
    join(page, server.invite(), name)
    page.goto(f"{server.address}/rate")
    ready(page)
    while page.get_by_text("Practice").count():
        page.get_by_role("button", name="Put these below, tied").click()
        page.get_by_role("button", name="Submit ranking").click()
        page.get_by_role("button", name="Go on").click()
        ready(page)


def ready(page: Page) -> None:
    page.locator(".response").first.wait_for()
    page.wait_for_function("window.did_handshake && !!document.querySelector('.row')")


def line(page: Page) -> str:
    """The ranking in letters, as the page has it."""
    return (page.locator(".foot .line").text_content() or "").replace("›", ">")


def becomes(page: Page, wanted: str) -> None:
    from playwright.sync_api import expect

    expect(page.locator(".foot .line")).to_have_text(wanted.replace(">", "›"))


def says(page: Page, wanted: str) -> None:
    """What a screen reader is told."""
    from playwright.sync_api import expect

    expect(page.locator('[aria-live="polite"]')).to_have_text(wanted)


GONE_ON = """() => location.pathname === "/done"
    || (document.querySelector(".row") && !document.querySelector("#prompt").dataset.seen)"""


def submit(page: Page, press: Callable[[], None]) -> None:
    """Submit, and wait for the next prompt or the end."""
    page.locator("#prompt").evaluate("element => element.dataset.seen = 'yes'")
    press()
    page.wait_for_function(GONE_ON)


def shoot(page: Page, name: str, **options: Any) -> None:
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"), **options)


def row(page: Page, key: str) -> Locator:
    return page.locator(f'.row[data-key="{key}"]')


def drag(page: Page, what: Locator, onto: Locator, share: float = 0.5) -> None:
    """Drag a row to a share of another element's height, as a hand does: down, some steps, up."""
    a, b = what.bounding_box(), onto.bounding_box()
    assert a and b
    page.mouse.move(a["x"] + 60, a["y"] + a["height"] / 2)
    page.mouse.down()
    page.mouse.move(a["x"] + 66, a["y"] + a["height"] / 2 + 6, steps=4)
    x, y = b["x"] + 70, b["y"] + b["height"] * share
    page.mouse.move(x, y, steps=12)
    # Rows make way in 150 ms and take no notice of the pointer meanwhile: a hand rests before it lets go.
    for _ in range(2):
        page.wait_for_timeout(200)
        page.mouse.move(x + 2, y)
        page.mouse.move(x, y)
    page.mouse.up()


def test_the_owners_link_leads_to_the_overview_and_to_invitations(
    server: Server, visit: Callable[..., Page]
) -> None:
    page = visit()
    join(page, server.owner_link, "Olga")
    page.get_by_text("prompts still want rankings").wait_for()
    page.get_by_label("Groups").fill("region=north")
    page.get_by_role("button", name="Make a link").click()
    link = page.get_by_label("Invitation link")
    link.wait_for()
    other = visit()
    join(other, link.input_value(), "Nora")
    page.get_by_role("row", name=re.compile("Nora.*region: north")).wait_for(timeout=20_000)
    shoot(page, "overview", full_page=True)
    refused = visit()
    refused.goto(server.owner_link)
    assert "Sign in" in refused.locator("main").inner_text()


def test_ranking_by_mouse_four_and_nine(server: Server, visit: Callable[..., Page]) -> None:
    page = visit()
    join(page, server.invite(), "Mia")
    page.get_by_role("link", name="To the prompts").click()
    ready(page)
    practised = 0
    while page.get_by_text("Practice").count():
        page.get_by_role("button", name="Response A: place 1").click()
        page.get_by_role("button", name="Put these below, tied").click()
        page.get_by_role("button", name="Submit ranking").click()
        page.get_by_text("Expected", exact=True).wait_for()
        shoot(page, "practice")
        page.get_by_role("button", name="Go on").click()
        ready(page)
        practised += 1
    assert practised == 2
    wanted: dict[int, str] = {}
    while "/done" not in page.url:
        keys = "ABCDEFGHI"[: page.locator(".response").count()]
        onto = page.locator("ol.ranking").first
        drag(page, row(page, keys[-1]), onto)
        becomes(page, keys[-1])
        drag(page, row(page, keys[0]), row(page, keys[-1]), share=0.95)
        becomes(page, f"{keys[-1]} > {keys[0]}")
        drag(page, row(page, keys[1]), row(page, keys[-1]), share=0.05)
        becomes(page, f"{keys[1]} > {keys[-1]} > {keys[0]}")
        for key in keys[2:-1]:
            row(page, key).get_by_label("give the next place").click()
        row(page, keys[2]).get_by_label("tie with the one above").click()
        rest = " > ".join(keys[3:-1])
        becomes(page, f"{keys[1]} > {keys[-1]} > {keys[0]} = {keys[2]}" + (f" > {rest}" if rest else ""))
        wanted[len(keys)] = line(page)
        shoot(page, f"rank-{len(keys)}")
        submit(page, lambda: page.get_by_role("button", name="Submit ranking").click())
    assert set(wanted) == {4, 9}
    for judgement in server.judgements_of("Mia"):
        if len(judgement.shown) in wanted and len(judgement.ranking) > 2:
            letters = dict(zip(judgement.shown, "ABCDEFGHI"))
            groups = [" = ".join(sorted(letters[i] for i in group)) for group in judgement.ranking]
            assert " > ".join(groups) == wanted[len(judgement.shown)]


def test_ranking_by_keyboard_alone_four_and_nine(server: Server, visit: Callable[..., Page]) -> None:
    page = visit()
    page.goto(server.invite())
    for text in ("Kim", PASSWORD):
        while page.evaluate("document.activeElement.tagName") != "INPUT" or page.evaluate(
            "document.activeElement.value"
        ):
            page.keyboard.press("Tab")
        page.keyboard.type(text)
    page.keyboard.press("Enter")
    page.get_by_role("link", name="To the prompts").focus()
    page.keyboard.press("Enter")
    ready(page)
    sizes: dict[int, str] = {}
    for _ in range(12):
        if "/done" in page.url:
            break
        keys = "ABCDEFGHI"[: page.locator(".response").count()]
        practice = page.get_by_text("Practice").count() > 0
        typed = "".join(f"{key.lower()}{place}" for place, key in enumerate(reversed(keys), start=1))
        page.keyboard.type(typed)
        becomes(page, " > ".join(reversed(keys)))
        # The last one, D or I, again: tied with the one below it, then out, then back on the first place.
        page.keyboard.type(f"{keys[-1].lower()}2")
        becomes(page, " > ".join([f"{keys[-2]} = {keys[-1]}", *reversed(keys[:-2])]))
        page.keyboard.press("Delete")
        becomes(page, " > ".join(reversed(keys[:-1])))
        page.keyboard.press("1")
        becomes(page, " > ".join(reversed(keys)))
        row(page, keys[-1]).locator(".grip").focus()
        page.keyboard.press("ArrowDown")
        becomes(page, " > ".join([keys[-2], keys[-1], *reversed(keys[:-2])]))
        assert page.evaluate("document.activeElement.closest('.row')?.dataset.key") == keys[-1]
        page.keyboard.press("=")
        becomes(page, " > ".join([f"{keys[-2]} = {keys[-1]}", *reversed(keys[:-2])]))
        says(page, f"{keys[-1]}, place 1 of {len(keys) - 1}, tied with {keys[-2]}")
        if practice:
            page.keyboard.press("Control+Enter")
            page.locator("#go-on:focus").wait_for()
            page.keyboard.press("Enter")
            ready(page)
        else:
            sizes[len(keys)] = line(page)
            submit(page, lambda: page.keyboard.press("Control+Enter"))
    assert set(sizes) == {4, 9}
    assert all(len(j.ranking[0]) == 2 for j in server.judgements_of("Kim") if len(j.shown) == 9)


def test_letters_can_be_switched_off_and_do_nothing_while_one_writes(
    server: Server, visit: Callable[..., Page]
) -> None:
    page = visit()
    start(page, server, "Lee")
    page.locator("#text-reason").fill("")
    page.locator("#text-reason").press_sequentially("a1 b2")
    assert line(page) == "Nothing placed yet"
    page.get_by_role("button", name="Keys").click()
    page.get_by_label("Letters and numbers work as keys").uncheck()
    page.keyboard.press("Escape")
    page.locator(".response").first.focus()
    page.keyboard.type("a1b2")
    page.wait_for_timeout(300)
    assert line(page) == "Nothing placed yet"


def test_closing_the_browser_and_coming_back_to_the_draft(server: Server, visit: Callable[..., Page]) -> None:
    page = visit()
    start(page, server, "Dora")
    asked = page.locator("#prompt").inner_text()
    page.keyboard.type("b1a2")
    page.locator("#text-reason").press_sequentially("B is <b>clear</b>, A is not")
    page.get_by_text("Write a better answer").click()
    page.locator("#text-better").press_sequentially("My own.")
    page.get_by_role("button", name="All are bad").click()
    page.wait_for_timeout(1200)
    page.context.close()

    again = visit()
    again.goto(f"{server.address}/rate")
    again.get_by_label("Name").fill("Dora")
    again.get_by_label("Password").fill(PASSWORD)
    again.get_by_role("button", name="Sign in").click()
    again.wait_for_url("**/rate")
    ready(again)
    assert again.locator("#prompt").inner_text() == asked
    becomes(again, "B > A")
    assert again.locator("#text-reason").input_value() == "B is <b>clear</b>, A is not"
    assert again.locator("#text-better").input_value() == "My own."
    assert again.get_by_role("button", name="All are bad").get_attribute("aria-pressed") == "true"
    again.get_by_role("button", name="All are bad").click()
    again.get_by_role("button", name="Submit ranking").click()
    submit_done(again, asked)
    (judgement,) = [j for j in server.judgements_of("Dora") if j.reason]
    assert judgement.reason == "B is <b>clear</b>, A is not" and judgement.seconds is not None
    again.get_by_role("button", name="Undo last").click()
    again.wait_for_function("asked => document.getElementById('prompt').innerText === asked", arg=asked)


def submit_done(page: Page, asked: str) -> None:
    page.wait_for_function("asked => document.getElementById('prompt').innerText !== asked", arg=asked)


def test_a_phone(server: Server, visit: Callable[..., Page]) -> None:
    page = visit(**PHONE)
    join(page, server.invite(), "Phil")
    assert fits(page)
    page.get_by_role("link", name="To the prompts").tap()
    ready(page)
    assert fits(page)
    keys = "ABCDEFGHI"[: page.locator(".response").count()]
    for place, key in enumerate(keys, start=1):
        page.get_by_role("button", name=f"Response {key}: place {place}").tap()
    becomes(page, " > ".join(keys))
    shoot(page, "phone")
    page.get_by_role("button", name="To the ranking").tap()
    page.get_by_role("button", name=f"{keys[0]}: down").tap()
    becomes(page, " > ".join([keys[1], keys[0], *keys[2:]]))
    shoot(page, "phone-ranking")
    page.get_by_role("button", name="Submit ranking").tap()
    page.get_by_role("button", name="Go on").wait_for()
    assert fits(page)
    shoot(page, "phone-practice")


def test_the_overview_on_a_phone(server: Server, visit: Callable[..., Page]) -> None:
    """The table scrolls within itself: what stands below it can be reached."""
    page = visit(**PHONE)
    join(page, server.invite("owner"), "Ophelia")
    page.get_by_role("table").wait_for()
    assert fits(page)
    page.get_by_role("button", name="Make a link").tap()
    page.get_by_label("Invitation link").wait_for()
    assert fits(page)


def fits(page: Page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= visualViewport.width")


def test_two_raters_at_once(server: Server, visit: Callable[..., Page]) -> None:
    pages = {"Uma": visit(), "Vic": visit()}
    for name, page in pages.items():
        start(page, server, name)
    pages["Uma"].keyboard.type("a1b2")
    pages["Vic"].keyboard.type("b1a2")
    becomes(pages["Uma"], "A > B")
    becomes(pages["Vic"], "B > A")
    for page in pages.values():
        submit(page, lambda p=page: p.keyboard.press("Control+Enter"))
    for name, order in (("Uma", (0, 1)), ("Vic", (1, 0))):
        (judgement,) = [
            j for j in server.judgements_of(name) if len(j.ranking) == 2 and len(j.ranking[1]) == 1
        ]
        assert judgement.ranking == tuple((judgement.shown[n],) for n in order)


def test_the_page_and_its_websocket_say_nothing_of_who_wrote(
    server: Server, visit: Callable[..., Page]
) -> None:
    page = visit()
    frames: list[str] = []
    page.on(
        "websocket",
        lambda socket: socket.on("framereceived", lambda data: frames.append(str(data))),
    )
    bodies: list[str] = []
    page.on(
        "response",
        lambda got: bodies.append(got.text()) if "/_nicegui" not in got.url and got.status == 200 else None,
    )
    start(page, server, "Bea")
    page.keyboard.type("a1b2c3")
    becomes(page, "A > B > C")
    said = " ".join([*frames, *bodies, page.content()])
    assert page.locator(".response .text").first.inner_text()[:20] in said
    for response in server.responses():
        assert response.id not in said and response.policy not in said
    assert POLICY not in said


def test_what_models_wrote_is_text(server: Server, visit: Callable[..., Page]) -> None:
    page = visit()
    start(page, server, "Xen")
    for _ in range(8):
        if "/done" in page.url:
            break
        assert not page.evaluate("window.hacked")
        for tag in ("script", "img", "b"):
            assert page.locator(f".response {tag}").count() == 0
        page.get_by_role("button", name="Put these below, tied").click()
        submit(page, lambda: page.get_by_role("button", name="Submit ranking").click())


def test_a_closed_account_submits_nothing(server: Server, visit: Callable[..., Page]) -> None:
    page = visit()
    start(page, server, "Zoe")
    before = len(server.judgements_of("Zoe"))
    server.close("Zoe")
    page.keyboard.type("a1b2")
    page.keyboard.press("Control+Enter")
    page.wait_for_url("**/sign-in**")
    assert len(server.judgements_of("Zoe")) == before


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_serious_issue_of_accessibility(
    server: Server, visit: Callable[..., Page], scheme: str
) -> None:
    page = visit(color_scheme=scheme)
    look = lambda name: accessible(page, f"{name}-{scheme}")  # noqa: E731
    page.goto(f"{server.address}/sign-in")
    look("sign-in")
    page.goto(server.invite())
    look("invitation")
    join(page, page.url, f"Axe {scheme}")
    look("guidelines")
    page.goto(f"{server.address}/rate")
    ready(page)
    look("rate")
    page.keyboard.type("a1b2c2")
    becomes(page, "A > B = C")
    page.get_by_text("Scores").first.click()
    page.get_by_text("Write a better answer").click()
    look("rate-filled")
    for name in ("Guidelines", "Keys", "Report a problem"):
        page.get_by_role("button", name=name).click()
        page.locator("dialog[open]").wait_for()
        look(name.split()[0].lower())
        page.keyboard.press("Escape")
    page.keyboard.press("Control+Enter")
    page.get_by_role("button", name="Go on").wait_for()
    look("explained")
    owner = visit(color_scheme=scheme)
    join(owner, server.invite("owner"), f"Own {scheme}")
    owner.get_by_role("button", name="Make a link").click()
    owner.get_by_label("Invitation link").wait_for()
    accessible(owner, f"overview-{scheme}")


def accessible(page: Page, name: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    shoot(page, name)
    found = Axe().run(page).response["violations"]
    serious = [
        f"{v['id']}: {v['nodes'][0]['target']}" for v in found if v["impact"] in ("serious", "critical")
    ]
    assert not serious, f"{name}: {serious}"


def test_a_problem_with_a_prompt_is_noted(server: Server, visit: Callable[..., Page]) -> None:
    page = visit()
    start(page, server, "Pia")
    page.get_by_role("button", name="Report a problem").click()
    field = page.get_by_label("What is wrong with this prompt or a response?")
    field.fill("<i>The prompt is cut off.</i>")
    page.get_by_role("button", name="Send").click()
    page.get_by_text("Thank you: it is noted.").wait_for()
    assert field.input_value() == ""
    with Database.open("sqlite:///tutelage.db", server.folder) as database, database.read() as connection:
        assert list(connection.scalars(select(tables.problems.c.text))) == ["<i>The prompt is cut off.</i>"]


def test_blind_evaluation_side_by_side(tmp_path: Path, visit: Callable[..., Page]) -> None:
    folder = make_test_project(tmp_path)
    leave_evaluation(folder, "base", "ppo")
    command = [sys.executable, "-m", "tutelage", "humans", "open", "--prompts", "3", "humans.raters=1"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    with serving(folder) as server:
        owner = visit()
        join(owner, server.owner_link, "Olga")
        page = visit()
        start(page, server, "Eva")
        for press in ("mouse", "keys", "tie"):
            assert page.locator(".response").count() == 2
            first, second = (page.locator(".response").nth(n).bounding_box() for n in (0, 1))
            assert first and second and first["y"] == second["y"]
            assert first["x"] + first["width"] <= second["x"] and first["width"] == second["width"]
            assert not page.get_by_text("Write a better answer").is_visible()
            key, other = "AB" if "PPO" in page.locator(".response .text").first.inner_text() else "BA"
            if press == "mouse":
                shoot(page, "side-by-side")
                page.get_by_role("button", name=f"{key} is better").click()
                becomes(page, f"{key} > {other}")
                page.locator(".response summary").first.click()
                page.get_by_label("Response A: harmless").select_option("5")
            elif press == "keys":
                page.locator(".response").first.focus()
                page.keyboard.type(f"{key.lower()}1{other.lower()}2")
                becomes(page, f"{key} > {other}")
                chosen = page.get_by_role("button", name=f"{key} is better")
                assert chosen.get_attribute("aria-pressed") == "true"
                page.set_viewport_size({"width": 390, "height": 844})
                above, below = (page.locator(".response").nth(n).bounding_box() for n in (0, 1))
                assert above and below and above["y"] < below["y"] and fits(page)
                page.set_viewport_size(DESKTOP["viewport"])
                accessible(page, "side-by-side-keys")
            else:
                page.get_by_role("button", name="As good as each other").click()
                becomes(page, "A = B")
            submit(page, lambda: page.keyboard.press("Control+Enter"))
        assert page.locator(".response").count() > 2
        owner.goto(f"{server.address}/evaluation")
        owner.get_by_text("Everything is judged and not settled").wait_for()
        accessible(owner, "evaluation-open")
        assert "preferred" not in owner.content() and "won" not in owner.content()
        owner.get_by_role("button", name="Close the round").click()
        owner.get_by_text("judgements 2 won, 1 tied, 0 lost").wait_for()
        accessible(owner, "evaluation-closed")
        (scored,) = [j for j in server.judgements_of("Eva") if j.split == "evaluation" and j.scores]
        assert scored.scores == {scored.shown[0]: {"harmless": 5}}
