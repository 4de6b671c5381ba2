"""What a rater can add to a ranking: why, that it cannot be judged, scores, a better answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nicegui import html
from nicegui.events import GenericEventArguments

from tutelage.preferences.desk import HIGHEST, LOWEST, VALUES
from tutelage.web.blind import LETTERS, LONGEST_TEXT

_VALUE = "(event) => emit(event.target.value)"
_LABELS = {"helpful": "Helpful", "harmless": "Harmless", "honest": "Honest"}
_OUTCOMES = {"cannot-judge": "I cannot judge this", "all-bad": "All are bad"}


class Details:
    """The state of these fields, as a draft keeps it. `changed` is called after each change."""

    def __init__(self, saved: Mapping[str, Any], changed: Callable[[], None]) -> None:
        self.reason = _text(saved.get("reason"))
        self.better = _text(saved.get("better"))
        outcome = saved.get("outcome")
        self.outcome: str = outcome if outcome in _OUTCOMES else "ranked"
        self.scores = _scores(saved.get("scores"))
        self._changed = changed
        self._toggles: dict[str, html.button] = {}

    def plain(self) -> dict[str, Any]:
        """As a draft and an answer hold it."""
        return {"reason": self.reason, "better": self.better, "outcome": self.outcome, "scores": self.scores}

    def scores_of(self, key: str) -> None:
        """The three scores of one response, folded away until somebody wants them."""
        given = self.scores.get(key, {})
        fold = html.details()
        if given:
            fold.props["open"] = True
        with fold:
            html.summary("Scores")
            with html.div().classes("scores"):
                html.span(f"{LOWEST} is low, {HIGHEST} is high").classes("head")
                for value in VALUES:
                    with html.span():
                        self._score(key, value, given.get(value))

    def _score(self, key: str, value: str, given: int | None) -> None:
        chosen = html.select(**{"aria-label": f"Response {key}: {value}"})
        with chosen:
            html.option(_LABELS[value], value="")
            for number in range(LOWEST, HIGHEST + 1):
                option = html.option(f"{_LABELS[value]} {number}", value=str(number))
                if number == given:
                    option.props["selected"] = True
        chosen.on("change", lambda e: self._scored(key, value, e), js_handler=_VALUE)

    def _scored(self, key: str, value: str, event: GenericEventArguments) -> None:
        of = self.scores.setdefault(key, {})
        number = str(event.args)
        if number.isdecimal() and LOWEST <= int(number) <= HIGHEST:
            of[value] = int(number)
        else:
            of.pop(value, None)
        self._changed()

    def fields(self, learnt_from: bool = True) -> None:
        """Reason, the two ways not to rank, and a better answer where the model may learn from it."""
        with html.section():
            self._area("reason", "Why?", "What made the difference? A sentence is enough.")
        with html.section().classes("others"):
            for outcome, label in _OUTCOMES.items():
                toggle = html.button(label, type="button").classes("toggle")
                toggle.on("click", lambda o=outcome: self._toggle(o))
                self._toggles[outcome] = toggle
        with html.section() as own:
            fold = html.details()
            if self.better:
                fold.props["open"] = True
            with fold:
                html.summary("Write a better answer")
                self._area("better", "Your own answer", "The model may learn from it.")
        own.set_visibility(learnt_from)
        self._show_outcome()

    def _area(self, name: str, label: str, hint: str) -> None:
        text_id = f"text-{name}"
        with html.label(label, **{"for": text_id}):
            pass
        # The text is the element's content, not its value: what is being typed is the browser's alone.
        area = html.textarea(getattr(self, name), id=text_id, rows=2, maxlength=LONGEST_TEXT)
        area.props["aria-describedby"] = f"{text_id}-hint"
        html.p(hint, id=f"{text_id}-hint").classes("hint")
        area.on(
            "input", lambda e: self._written(name, e), throttle=0.5, leading_events=False, js_handler=_VALUE
        )
        area.on("change", lambda e: self._written(name, e), js_handler=_VALUE)

    def _written(self, name: str, event: GenericEventArguments) -> None:
        setattr(self, name, _text(event.args))
        self._changed()

    def _toggle(self, outcome: str) -> None:
        self.outcome = "ranked" if self.outcome == outcome else outcome
        self._show_outcome()
        self._changed()

    def _show_outcome(self) -> None:
        for outcome, toggle in self._toggles.items():
            toggle.props["aria-pressed"] = str(self.outcome == outcome).lower()


def _scores(saved: Any) -> dict[str, dict[str, int]]:
    """Scores as a draft keeps them; what a draft should not hold is left out rather than believed."""
    rows = saved.items() if isinstance(saved, Mapping) else ()
    return {
        key: {name: n for name, n in of.items() if name in VALUES and n in range(LOWEST, HIGHEST + 1)}
        for key, of in rows
        if len(key) == 1 and key in LETTERS and isinstance(of, Mapping)
    }


def _text(value: Any) -> str:
    return value[:LONGEST_TEXT] if isinstance(value, str) else ""
