"""Charts in a page: small, with nothing lost, and unable to end the place they stand in."""

import json
import re

from harness.reports.html.charts import THEME, Chart
from harness.reports.html.svg import ChartRenderer, script_json, shrink_svg


def test_json_in_a_script_element_cannot_end_it():
    text = script_json({"a": "</script><!--\u2028&"})
    assert "<" not in text
    assert "&" not in text
    assert json.loads(text) == {"a": "</script><!--\u2028&"}


def test_marks_that_look_alike_are_drawn_by_reference_and_lose_nothing():
    """As many marks at the same places as in the library's own picture, under names of their own."""
    import vl_convert

    values = [{"x": i, "y": i % 3} for i in range(12)]
    spec = {
        "data": {"values": values},
        "mark": {"type": "point", "filled": True},
        "encoding": {name: {"field": name, "type": "quantitative"} for name in "xy"},
    }
    renderer = ChartRenderer()
    first, second = (renderer.render(Chart(spec, "dots")).svg for _ in range(2))
    whole = shrink_svg(vl_convert.vegalite_to_svg({"config": THEME, **spec}))
    places = re.findall(r'<path transform="translate\(([-\d.]+),([-\d.]+)\)" d="[^"]*A', whole)
    assert len(places) == 12
    for svg in (first, second):
        found = re.findall(r'<use href="#(m\d+)" x="([-\d.]+)" y="([-\d.]+)"/>', svg)
        dots = {
            name
            for name in {one[0] for one in found}
            if re.search(rf'id="{name}"[^>]* d="[^"]*A', svg)
        }
        assert len(dots) == 1
        assert len([one for one in found if one[0] in dots]) == 12
    names = [set(re.findall(r'id="(m\d+)"', svg)) for svg in (first, second)]
    assert not names[0] & names[1]
