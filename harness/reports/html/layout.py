"""What every page has around its content: style, script, caveats, and how numbers are written."""

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from harness.characters import make_visible
from harness.reports.html.caveats import Caveat
from harness.reports.html.charts import THEME
from harness.reports.html.svg import chart_library, script_json
from harness.reports.text import p_text


def frame(
    title: str, caveats: Sequence[Caveat], parts: Sequence[tuple[str, str]], db: Path
) -> Mapping[str, Any]:
    """What the layout asks for; `parts` are the page's sections, by anchor and name."""
    return {
        "title": title,
        "version": version("misconception-harness"),
        "caveats": caveats,
        "parts_of_page": parts,
        "db": str(db),
        "style": Markup(_text("report.css")),  # noqa: S704
        "script": (script := chart_library(_text("report.js"))),
        "script_hash": b64encode(sha256(script.encode()).digest()).decode(),
        "theme": script_json(THEME),
    }


@cache
def environment() -> Environment:
    """Templates that escape whatever is put into them, and show what a browser would obey."""
    made = Environment(
        loader=PackageLoader("harness.reports.html"),
        autoescape=True,
        finalize=lambda value: make_visible(value) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., str]] = {
        "number": number,
        "p": lambda p: "" if p is None else p_text(p),
        "percent": percent,
        "interval": _interval,
    }
    made.filters.update(filters)
    return made


def _text(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")


def number(value: float | None, digits: int = 3, sign: bool = True) -> str:
    """With so many digits after the point; nothing for what is not there."""
    if value is None:
        return ""
    return f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"


def percent(share: float | None) -> str:
    """A share in whole percents, where only all is 100% and only nothing 0%."""
    if share is None:
        return ""
    if 0 < share < 0.005:
        return "<1%"
    return ">99%" if 0.995 <= share < 1 else f"{share:.0%}"


def _interval(row: Any) -> str:
    low, high = (
        row[name] if isinstance(row, Mapping) else getattr(row, name)
        for name in ("ci_low", "ci_high")
    )
    return "" if low is None or high is None else f"{number(low)} to {number(high)}"
