"""Charts drawn: a static SVG for every reader, and what the page's script needs to bring it to life."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from typing import Any

import vl_convert
from markupsafe import Markup

from harness.characters import make_visible
from harness.reports.html.charts import THEME, Chart

_NUMBER = re.compile(r"-?\d+\.\d{2,}(?:e-?\d+)?")
_LONG = re.compile(r'(?<= )(transform|d|x2|y2|width|height|viewBox)="([^"]*)"')
# Attributes that only say what is the default, or that no reader of a picture needs.
_IDLE = re.compile(
    r' (?:class|aria-hidden|role|aria-roledescription|xmlns|xmlns:xlink|version)="[^"]*"'
    r'| (?:pointer-events="none"|opacity="1"|display="none")'
    r'| font-(?:family|size)="(?:system-ui, sans-serif|11px)"| fill="currentColor"(?= opacity)'
)
_NOTHING = re.compile(r'<path(?: d="(?:M0,0h0v0h0Z)?")?/>')
_MARK = re.compile(
    r'<(path|line) transform="translate\(([-\d.]+),([-\d.]+)\)((?: rotate\([-\d.]+\))?)"([^>]*)/>'
)
ALIKE = 4  # marks of one look that are worth a definition


@dataclass(frozen=True)
class RenderedChart:
    """A chart as it is put into a page: both parts are safe there."""

    svg: Markup
    spec: Markup
    says: str


@dataclass
class ChartRenderer:
    """Draws the charts of one page, whose marks' names must differ."""

    _names: Iterator[int] = field(default_factory=count)

    def render(self, chart: Chart) -> RenderedChart:
        """Text in the data is escaped in the SVG, and cannot end the script it lies in."""
        shown = _visible(chart.spec)
        svg = vl_convert.vegalite_to_svg({"config": THEME, **shown}, show_warnings=False)
        spec = script_json(_pack(shown))
        return RenderedChart(Markup(self._shared(shrink_svg(svg))), spec, chart.says)  # noqa: S704

    def _shared(self, svg: str) -> str:
        """Marks that look alike are drawn once and then referred to."""
        looks = Counter((m[1], m[4], m[5]) for m in _MARK.finditer(svg))
        names = {look: f"m{next(self._names)}" for look, n in looks.items() if n >= ALIKE}

        def referred(mark: re.Match[str]) -> str:
            name = names.get((mark[1], mark[4], mark[5]))
            return f'<use href="#{name}" x="{mark[2]}" y="{mark[3]}"/>' if name else mark[0]

        drawn = "".join(
            f'<{kind} id="{name}" transform="{turn.strip()}"{look}/>'
            for (kind, turn, look), name in names.items()
        )
        head, _, rest = _MARK.sub(referred, svg).partition(">")
        return f"{head}><defs>{drawn}</defs>{rest}" if drawn else svg


def shrink_svg(svg: str) -> str:
    """The same picture in fewer bytes: a tenth of a pixel, and no attribute that says nothing."""

    def rounded(attribute: re.Match[str]) -> str:
        text = _NUMBER.sub(lambda n: f"{float(n[0]):.1f}".removesuffix(".0"), attribute[2])
        return f'{attribute[1]}="{text}"'

    return _NOTHING.sub("", _IDLE.sub("", _LONG.sub(rounded, svg)))


def script_json(value: object) -> Markup:
    """A value as JSON that may stand in a script element."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    for mark in "<>&\u2028\u2029":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return Markup(text)  # noqa: S704


@cache
def chart_library(snippet: str) -> Markup:
    """The charting library with a script that uses it, for one script element."""
    text = vl_convert.javascript_bundle(snippet)
    # Neither may end the element, nor open a comment in it.
    return Markup(text.replace("</script", "<\\/script").replace("<!--", "<\\!--"))  # noqa: S704


def _visible(part: Any) -> Any:
    """The specification without characters that the renderer, which is no Python, does not survive."""
    if isinstance(part, str):
        return make_visible(part)
    if isinstance(part, list):
        return [_visible(each) for each in part]
    return {key: _visible(each) for key, each in part.items()} if isinstance(part, dict) else part


def _pack(part: Any) -> Any:
    """The specification with each name of a table's columns written once; the script unpacks it."""
    if isinstance(part, list):
        return [_pack(each) for each in part]
    if not isinstance(part, dict):
        return part
    return {key: _pack_table(each) if key == "data" else _pack(each) for key, each in part.items()}


def _pack_table(data: dict[str, Any]) -> dict[str, Any]:
    rows = data["values"]
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {"names": names, "rows": [[row.get(name) for name in names] for row in rows]}
