"""What tests of reports share: a page's parts by a plain parser, and runs to report on."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any


class Page(HTMLParser):
    """A page: its elements as (tag, attributes), and its text."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.folder = file.parent
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data

    def having(self, attribute: str) -> list[dict[str, str]]:
        """The attributes of the elements that have this one."""
        return [attributes for _, attributes in self.elements if attribute in attributes]

    def ids(self) -> set[str]:
        return {attributes["id"] for attributes in self.having("id")}

    def files(self) -> set[str]:
        """All that the page refers to."""
        named = {attributes[name] for name in ("src", "href") for attributes in self.having(name)}
        named |= {file for card in self.having("data-shots") for _, file in json.loads(card["data-shots"])}
        named |= {file for scrub in self.having("data-files") for _, file in json.loads(scrub["data-files"])}
        return {name for name in named if not name.startswith(("#", "data:"))}

    def cards(self, direction: str = "a2b") -> list[dict[str, Any]]:
        """The cards of a direction: name, figures and files by label."""
        found: list[dict[str, Any]] = []
        for card in self.having("data-card"):
            shots = dict(json.loads(card["data-shots"]))
            if all(f"/{direction}/" in file for file in shots.values()):
                found.append({"name": card["data-name"], "figures": json.loads(card["data-figures"]), "shots": shots})
        return found
