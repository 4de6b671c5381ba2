"""A piece of text that changes while a page is open."""

from __future__ import annotations

from nicegui.elements.mixins.text_element import TextElement


class Words(TextElement):
    """Set `text`, and the browser shows it. Attributes as keywords, `classes` as on any element."""

    def __init__(self, tag: str, text: str = "", **props: str) -> None:
        super().__init__(tag=tag, text=text)
        self.props.update(props)
