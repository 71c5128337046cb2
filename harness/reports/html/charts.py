"""Charts as Vega-Lite specifications: data and what is drawn of it, nothing drawn yet.

Colours are the page's own CSS variables, so that one picture serves a light and a dark page.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.characters import make_visible

NAME = 32  # characters of a name in a picture
ChartSpec = dict[str, Any]
Values = Sequence[Mapping[str, Any]]
CORRECT, MISCONCEPTION = "var(--correct)", "var(--misconception)"
HIT, QUIET, INK, LINE = "var(--hit)", "var(--quiet)", "currentColor", "var(--line)"
THEME: ChartSpec = {
    "background": "transparent",
    # The reader's font may be wider than the one that the picture was measured with.
    "padding": {"left": 14, "right": 8, "top": 4, "bottom": 4},
    "font": "system-ui, sans-serif",
    "aria": False,  # the figure's own label and the table beside it say it better
    "view": {"stroke": None},
    "axis": {
        "labelColor": INK,
        "titleColor": INK,
        "titleFontWeight": "normal",
        "labelFontSize": 11,
        "titleFontSize": 11,
        "domainColor": LINE,
        "tickColor": LINE,
        "gridColor": "var(--grid)",
        "labelLimit": 140,
    },
    "legend": {
        "labelColor": INK,
        "titleColor": INK,
        "titleFontWeight": "normal",
        "orient": "top",
        "labelFontSize": 11,
        "symbolOpacity": 1,
        "columnPadding": 20,
    },
    "text": {"color": INK, "fontSize": 11},
}


@dataclass(frozen=True)
class Chart:
    """A Vega-Lite specification, and what it shows in words for those who do not see it."""

    spec: ChartSpec
    says: str


def chart(says: str, values: Values, layers: Iterable[ChartSpec], **more: Any) -> Chart:
    """Layers over the same values. `more` are properties of the whole: width, height, resolve."""
    return Chart({"data": {"values": list(values)}, "layer": list(layers), **more}, says)


def quantity(field: str, title: str | None = None, **more: Any) -> ChartSpec:
    """A channel for a number; `scale` and `axis` in `more`."""
    return {"field": field, "type": "quantitative", "title": title, **more}


LABEL_AS_IS = "'' + datum.value"  # a label of an axis as its number is written


def categories(rows: Values, field: str, order: Sequence[str]) -> tuple[Values, ChartSpec]:
    """The rows with the place `at` of their names in this order, and the channel for these places.

    A name stands in the picture as a label and nowhere else: the library fails at some, takes others for
    one, and measures a long one for minutes. The tooltip has the whole.
    """
    place = {name: number for number, name in enumerate(order)}
    # A space before each: in an expression the library takes "constructor" for its own.
    labels = json.dumps([f" {shorten(name)}" for name in order])
    axis = {"labelExpr": f"{labels}[datum.value]"}
    channel = {"field": "at", "type": "ordinal", "title": None, "axis": axis}
    return [{**row, "at": place[row[field]]} for row in rows], channel


def shorten(name: str) -> str:
    """A name that fits where one reads it at a glance."""
    shown = make_visible(name)
    return shown if len(shown) <= NAME else shown[: NAME - 1] + "\u2026"


def colour(field: str, of: Mapping[str, str], legend: bool = True) -> ChartSpec:
    """A channel for a few kinds, each with its colour."""
    scale = {"domain": list(of), "range": list(of.values())}
    shown: ChartSpec | None = {"title": None} if legend else None
    return {"field": field, "type": "nominal", "scale": scale, "legend": shown}


def family_label(family: str, split: str) -> str:
    """A family's name; one that discovers is marked, since no conclusion rests on it."""
    return family if split == "confirmation" else f"\u25e6 {family}"


def line_at(value: float, channel: str = "x", colour: str = LINE, **mark: Any) -> ChartSpec:
    """A rule at a value."""
    drawn = {"type": "rule", "color": colour, "tooltip": None, **mark}
    return {"data": {"values": [{}]}, "mark": drawn, "encoding": {channel: {"datum": value}}}


def tooltip(*fields: tuple[str, str] | tuple[str, str, str]) -> list[ChartSpec]:
    """What is said of the mark under the pointer: (field, title) or (field, title, format)."""
    tips = []
    for name, title, *shape in fields:
        tip: ChartSpec = {"field": name, "title": title}
        if shape:
            tip |= {"type": "quantitative", "format": shape[0]}
        tips.append(tip)
    return tips
