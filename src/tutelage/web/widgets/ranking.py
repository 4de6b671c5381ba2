"""The ranking widget: responses to read, and beside them the list in which they are put in order.

Reading cards stay where they are, in the order shown; what moves is the list of short rows. A place is
given by dragging a row, by a number on the card, by the buttons of a row, or by keys alone: every way
calls the same functions of `places.py`, and says in a live region what came of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from nicegui import html, ui
from nicegui.elements.mixins.sortable_element import SortableElement
from nicegui.events import SortableEventArguments

from tutelage.web.widgets.places import Places, in_words, summary
from tutelage.web.widgets.words import Words

_TOUCH = {"delay": 160, "delayOnTouchOnly": True, "filter": ".act", "preventOnFilter": False}
_EMPTY = "Drag here, or give each response a place: 1 is the best, the same place twice is a tie."
_START = 120
"""Characters of a response in its row."""


class _List(SortableElement):
    """An ordered list whose items can be dragged."""

    def __init__(self) -> None:
        super().__init__("ol")


class RankingWidget:
    """The state (`places`), the cards and the list of one task. `changed` is called after every gesture."""

    def __init__(self, texts: Mapping[str, str], places: Places, changed: Callable[[], None]) -> None:
        self.places = places
        self._texts, self._changed = texts, changed
        self._cards: dict[str, html.li] = {}
        self._chips: dict[tuple[str, int], html.button] = {}
        self._rows: dict[str, _Row] = {}
        self._sides: list[tuple[Places, html.button]] = []

    @property
    def side_by_side(self) -> bool:
        """Whether there are two responses, which win, tie or lose."""
        return len(self.places.keys) == 2

    def cards(self, below: Callable[[str], None]) -> None:
        """The responses in full, with the places as numbers; `below` adds to each card."""
        with html.ol().classes("responses pair" if self.side_by_side else "responses"):
            for key in self.places.keys:
                with html.li(tabindex="0", **{"data-key": key}).classes("response") as card:
                    html.span(f"Response {key}").classes("letter")
                    html.div(self._texts[key]).classes("text")
                    with html.div().classes("card-foot"):
                        self._number_row(key)
                        below(key)
                self._cards[key] = card

    def _number_row(self, key: str) -> None:
        with html.div(role="group", **{"aria-label": f"Place of response {key}"}).classes("chips"):
            html.span("Place").classes("label")
            for place in range(1, len(self.places.keys) + 1):
                chip = html.button(str(place), type="button").classes("chip")
                chip.props["aria-label"] = f"Response {key}: place {place}"
                chip.on("click", lambda k=key, p=place: self._apply(self.places.toggle(k, p), k))
                self._chips[key, place] = chip

    def panel(self) -> None:
        """The list: what has a place, and what has none yet."""
        self._live = Words("div", role="status", **{"aria-live": "polite"}).classes("hidden-text")
        if self.side_by_side:
            self._which()
        html.h2("Your ranking, best first", id="ranking-title")
        with html.div().classes("ranked"):
            self._ranked = _List().classes("ranking")
            self._ranked.props["aria-labelledby"] = "ranking-title"
            self._empty = html.p(_EMPTY).classes("empty-note")
        with html.section() as self._without:
            html.h2("No place yet", id="waiting-title")
            self._waiting = _List().classes("ranking waiting")
            self._waiting.props["aria-labelledby"] = "waiting-title"
            with html.div().classes("rest"):
                self._rest("Put these below, tied", Places.rest_below)
                self._rest("Put these above, tied", Places.rest_above)
        for shown in (self._ranked, self._waiting):
            shown.make_sortable(
                _TOUCH, on_end=self._dropped, group="ranking", handle=".row", ghost_class="dragged"
            )
        with self._waiting:
            for key in self.places.keys:
                self._rows[key] = _Row(key, self._texts[key], self)
        self.refresh()

    def _which(self) -> None:
        """One press for each of the three orders that two responses can have."""
        first, second = self.places.keys
        nothing = Places(self.places.keys)
        orders = (
            (f"{first} is better", nothing.put(first, 1).put(second, 2)),
            ("As good as each other", nothing.put(first, 1).put(second, 1)),
            (f"{second} is better", nothing.put(second, 1).put(first, 2)),
        )
        html.h2("Which is better?", id="which-title")
        with html.div(role="group", **{"aria-labelledby": "which-title"}).classes("which"):
            for label, places in orders:
                button = html.button(label, type="button").classes("toggle")
                button.on("click", lambda p=places: self._apply(p))
                self._sides.append((places, button))

    def _rest(self, label: str, move: Callable[[Places], Places]) -> None:
        button = html.button(label, type="button").classes("plain")
        button.on("click", lambda: self._apply(move(self.places)))

    @property
    def summary(self) -> str:
        """The ranking in one line."""
        return summary(self.places)

    def press(self, key: str, pressed: str) -> None:
        """A key on a response: 1 to 9 a place, 0 or Delete none, arrows a step, = a tie with the one above."""
        if key not in self._rows:
            return
        if pressed.isdigit() and pressed != "0":
            self._apply(self.places.put(key, int(pressed)), key)
        elif pressed in ("0", "Delete", "Backspace"):
            self._apply(self.places.take(key), key)
        elif pressed == "=":
            self.step(key, Places.tie)
        elif pressed in ("ArrowUp", "ArrowDown"):
            self.step(key, Places.up if pressed == "ArrowUp" else Places.down, self._rows[key].grip)

    def step(self, key: str, move: Callable[[Places, str], Places], held: ui.element | None = None) -> None:
        """One of the moves of `Places` on a response; `held` is what had the focus."""
        self._apply(move(self.places, key), key)
        if held is not None:
            ui.run_javascript(f'tutelage.refocus("{held.html_id}")')

    def _dropped(self, event: SortableEventArguments) -> None:
        key = next((k for k, row in self._rows.items() if row.item is event.item), None)
        if key is None:
            return
        order = [
            k for item in self._ranked.default_slot.children for k, r in self._rows.items() if r.item is item
        ]
        self._apply(self.places.drop(key, order), key)

    def _apply(self, places: Places, key: str | None = None) -> None:
        self.places = places
        self.refresh()
        self._live.text = in_words(places, key) if key else f"ranking: {summary(places)}"
        self._changed()

    def refresh(self) -> None:
        """Show the state as it is: cards, rows, their order."""
        places = self.places
        for (key, place), chip in self._chips.items():
            chip.props["aria-pressed"] = str(places.given.get(key) == place).lower()
        for order, button in self._sides:
            button.props["aria-pressed"] = str(places.groups == order.groups).lower()
        for key, card in self._cards.items():
            card.props["aria-label"] = f"Response {in_words(places, key)}"
        self._lay(self._ranked, places.ranked)
        self._lay(self._waiting, places.unplaced)
        for row in self._rows.values():
            row.refresh(places)
        self._ranked.classes(**({"remove": "empty"} if places.ranked else {"add": "empty"}))
        self._empty.set_visibility(not places.ranked)
        self._without.set_visibility(bool(places.unplaced))

    def _lay(self, shown: _List, keys: Sequence[str]) -> None:
        """Put rows into a list in this order; those that lie right are not touched, and keep their focus."""
        for place, key in enumerate(keys):
            lying = shown.default_slot.children
            if place >= len(lying) or lying[place] is not self._rows[key].item:
                self._rows[key].item.move(shown, place)


class _Row:
    """A response in the list: place, letter, first words, and buttons for each move."""

    def __init__(self, key: str, text: str, widget: RankingWidget) -> None:
        self.key = key
        with html.li(**{"data-key": key}).classes("row") as self.item:
            self._place = Words("span").classes("place")
            with html.button(type="button").classes("grip") as self.grip:
                html.span(key, **{"aria-hidden": "true"}).classes("letter")
                html.span(" ".join(text[:_START].split()), **{"aria-hidden": "true"}).classes("start")
            self.grip.on("click", js_handler=_go_to(key))
            self._tie = self._act(
                "=", "tie with the one above", lambda: widget.step(key, Places.tie, self._tie)
            )
            self._up = self._act("↑", "up", lambda: widget.step(key, Places.up, self._up))
            self._down = self._act("↓", "down", lambda: widget.step(key, Places.down, self._down))
            self._out = self._act("×", "take out", lambda: widget.step(key, Places.take))
            self._add = self._act("+", "give the next place", lambda: widget.step(key, Places.append))

    def _act(self, sign: str, means: str, do: Callable[[], None]) -> html.button:
        button = html.button(sign, type="button", title=f"{self.key}: {means}").classes("act")
        button.props["aria-label"] = f"{self.key}: {means}"
        return button.on("click", do)

    def refresh(self, places: Places) -> None:
        group = next((g for g in places.groups if self.key in g), ())
        tied = len(group) > 1
        self._place.text = str(places.given.get(self.key, ""))
        _mark(self.item, "tied", tied and group[0] != self.key)
        _mark(self.item, "leads", tied and group[-1] != self.key)
        self.grip.props["aria-label"] = f"{in_words(places, self.key)}. Up and down arrows move it."
        self._tie.props["aria-pressed"] = str(tied).lower()
        first, last = places.groups[:1] == (group,), places.groups[-1:] == (group,)
        self._tie.props["disabled"] = first and not tied
        self._up.props["disabled"] = first and not tied
        self._down.props["disabled"] = last and not tied
        for button in (self._tie, self._up, self._down, self._out):
            button.set_visibility(bool(group))
        self._add.set_visibility(not group)


def _mark(element: ui.element, name: str, marked: bool) -> None:
    element.classes(**({"add": name} if marked else {"remove": name}))


def _go_to(key: str) -> str:
    return f"""() => {{
        const card = document.querySelector('.response[data-key="{key}"]');
        card.scrollIntoView({{block: "nearest"}}); card.focus({{preventScroll: true}});
    }}"""
