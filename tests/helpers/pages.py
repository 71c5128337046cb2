"""A report as its elements, and as the text that people see."""

from html.parser import HTMLParser
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder

from harness.reports.html.run_page import run_page
from harness.store.database import Store
from harness.store.find_run import find_run

WITHOUT_END = {"br", "hr", "img", "input", "link", "meta"}
UNSEEN = {"script", "style"}


class Page(HTMLParser):
    """A page's elements as a tree."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._tree, self._open = TreeBuilder(), []
        self.feed(text)
        self.close()
        assert not self._open, "every element has its end"
        self.root: Element = self._tree.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._tree.start(tag, {name: value or "" for name, value in attributes})
        if tag in WITHOUT_END:
            self._tree.end(tag)
        else:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"</{tag}> ends an element that it did not begin"
        self._tree.end(tag)

    def handle_data(self, data: str) -> None:
        if self._open:
            self._tree.data(data)

    @property
    def text(self) -> str:
        """What people see of the whole page."""
        return text_of(self.root)

    def all(self, tag: str, within: Element | None = None, **equal: str) -> list[Element]:
        """Elements of a kind that have these attributes; `class_` stands for `class`, `_` for `-`."""
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in equal.items()}
        return [
            element
            for element in (self.root if within is None else within).iter(tag)
            if all(element.get(name) == value for name, value in wanted.items())
        ]

    def part(self, name: str) -> Element:
        """A part of the page, by the name that links to it."""
        (element,) = (one for one in self.root.iter() if one.get("id") == name)
        return element

    def table(self, label: str) -> list[dict[str, str]]:
        """The rows of a table by what screen readers call it; each cell by its column's head."""
        (place,) = self.all("div", role="region", aria_label=label)
        head, *rows = place.iter("tr")
        names = [text_of(cell) for cell in head]
        return [dict(zip(names, map(text_of, row), strict=True)) for row in rows]


def text_of(element: Element) -> str:
    """What people see of an element, with single spaces."""
    return " ".join(" ".join(_words(element)).split())


def _words(element: Element) -> list[str]:
    if element.tag in UNSEEN:
        return []
    found = [element.text or ""]
    for inner in element:
        found += [*_words(inner), inner.tail or ""]
    return found


def page_of(db: Path, name: str = "voices") -> str:
    """The report of a stored run."""
    with Store.open_to_read(db) as store:
        return run_page(store, find_run(store, name), db)
