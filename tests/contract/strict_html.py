"""A reader of HTML that refuses what is not closed, and anything from outside."""

from __future__ import annotations

from html.parser import HTMLParser


class Strict(HTMLParser):
    """Feed it a document; `open` must then be empty. `seen` lists every element."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag not in {"script", "link", "img", "iframe"}
        assert not any(name in {"src", "href"} for name, _ in attributes)
        self.seen.append(tag)
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
