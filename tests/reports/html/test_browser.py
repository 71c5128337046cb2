"""A report as people meet it: opened from disk in a real browser, with the network off."""

import os
import shutil
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None and "HARNESS_NEEDS_BROWSER" not in os.environ:
    pytest.skip("no chromium is installed", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync")
SCREENS = [(1200, "light"), (390, "dark")]


@pytest.fixture(scope="module")
def chromium():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(voices, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("report") / "voices.html"
    file.write_text(voices, encoding="utf-8")
    return file


class Opened:
    """A page, with all that it said and asked for."""

    def __init__(self, browser, file, width=1200, scheme="light", before="", **more):
        self.context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            offline=True,
            reduced_motion="reduce",
            **more,
        )
        self.context.add_init_script(before)
        self.page = self.context.new_page()
        self.said, self.asked = [], []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(file.as_uri())

    def see_all(self):
        """Scroll through it, so that every chart comes to life; returns when they have."""
        self.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        for chart in self.page.locator(".chart").all():
            chart.scroll_into_view_if_needed()
        # Asked from outside: the page lets nobody evaluate a text while it waits.
        asleep = self.page.locator(".chart:not(:has(.vega-embed))")
        sync_api.expect(asleep).to_have_count(0, timeout=60_000)


@pytest.fixture
def opened(chromium, report):
    made = []

    def open_report(**more):
        made.append(Opened(chromium, more.pop("file", report), **more))
        return made[-1]

    yield open_report
    for one in made:
        one.context.close()


def test_it_opens_without_a_network_an_error_or_a_request(opened, report):
    """Every chart of it comes to life, and nothing but the file is asked for."""
    seen = opened()
    seen.see_all()
    assert seen.said == []
    assert seen.asked == [report.as_uri()]


def test_charts_are_pictures_before_any_script_runs(opened):
    seen = opened(java_script_enabled=False)
    charts = seen.page.locator(".chart > svg")
    assert charts.count() > 20
    assert charts.first.locator("text").count() > 2
    assert seen.page.locator("h1").inner_text().endswith("?")


NOTHING_COMES_INTO_VIEW = "IntersectionObserver = class { observe() {} }"
# The dots of a chart by their colours, whether each is drawn by itself or by reference.
DOTS = """chart => [...chart.querySelectorAll("use, path")]
    .filter(one => !one.closest("defs"))
    .map(one => one.matches("use") ? document.querySelector(one.getAttribute("href")) : one)
    .filter(one => ["var(--hit)", "var(--quiet)"].includes(one.getAttribute("fill"))).length"""


def test_a_chart_drawn_again_shows_what_its_picture_showed(opened):
    """The same axis labels and as many dots: the script draws from the same data."""
    still, alive = opened(before=NOTHING_COMES_INTO_VIEW), opened()
    alive.see_all()

    def shown(one, at):
        chart = one.page.locator("#layers .chart").nth(at)
        return sorted(chart.locator("text").all_text_contents()), chart.evaluate(DOTS)

    for at in (2, 3):
        assert still.page.locator("#layers .chart").nth(at).locator("use").count() > 15
        assert shown(alive, at) == shown(still, at)
        assert shown(alive, at)[1] > 15


def test_a_table_is_sorted_both_ways_by_its_heads(opened):
    page = opened().page
    table = page.locator("#feature-table")
    head = table.locator("th", has_text="difference").locator("button")

    def column():
        return [float(text) for text in table.locator("tbody td:nth-child(3)").all_inner_texts()]

    before = column()
    head.click()
    assert column() == sorted(before)
    assert table.locator("th[aria-sort=ascending]").inner_text().startswith("difference")
    head.click()
    assert column() == sorted(before, reverse=True)
    assert before not in (sorted(before), sorted(before, reverse=True))


def test_intervals_are_sorted_by_where_they_begin(opened):
    """As numbers: as text the minus signs would not count."""
    page = opened().page
    page.locator("#feature-table th", has_text="interval").locator("button").click()
    cells = page.locator("#feature-table tbody td:nth-child(4)").all_inner_texts()
    begins = [float(text.split(" to ")[0]) for text in cells if text]
    assert begins == sorted(begins)
    assert begins[0] < 0 < begins[-1]


def test_what_has_no_value_stays_last_in_a_sorted_table(opened):
    """An empty cell is no number: neither the smallest nor the largest."""
    page = opened().page
    page.evaluate("document.querySelector('#feature-table tbody td:nth-child(6)').textContent = ''")
    head = page.locator("#feature-table th", has_text="adjusted p").locator("button")
    for _ in range(2):
        head.click()
        shown = page.locator("#feature-table tbody td:nth-child(6)").all_inner_texts()
        assert shown[-1] == ""
        assert "" not in shown[:-1]


def test_a_filter_leaves_the_rows_and_the_cards_that_have_the_words(opened):
    page = opened().page
    rows, cards = page.locator("#feature-table tbody tr:visible"), page.locator(".feature:visible")
    every = rows.count()
    page.get_by_label("Filter").fill("top")
    assert 0 < rows.count() < every
    assert rows.count() == cards.count()
    assert page.get_by_role("status").inner_text() == f"{rows.count()} of {every}"
    page.get_by_label("Filter").fill("no such word")
    assert (rows.count(), cards.count()) == (0, 0)


def test_a_feature_is_followed_from_the_table_to_its_card(opened):
    page = opened().page
    link = page.locator("#feature-table tbody a").nth(3)
    name = link.inner_text()
    link.click()
    card = page.locator(f"#feature-{name.replace(':', '-')}")
    assert card.evaluate("card => card.open")
    assert card.locator("summary").first.evaluate("one => one === document.activeElement")
    assert card.locator(".context mark").count() > 0
    assert card.locator("figure svg").count() >= 1
    bar = page.locator(".stamps").bounding_box()
    assert card.bounding_box()["y"] >= bar["y"] + bar["height"]
    card.locator("summary").first.click()
    link.click()  # once more: the address is the same
    assert card.evaluate("card => card.open")


def test_a_feature_is_followed_by_keyboard_alone(opened):
    page = opened().page
    page.locator("#feature-table tbody a").first.focus()
    page.keyboard.press("Enter")
    sync_api.expect(page.locator("summary:focus")).to_have_count(1)
    page.keyboard.press("Enter")
    assert not page.locator(".feature").first.evaluate("card => card.open")


def test_a_dot_tells_its_feature_and_leads_to_it(opened):
    seen = opened()
    seen.see_all()
    seen.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = false)")
    found = seen.page.evaluate(
        "[...document.querySelectorAll('#layers .vega-embed path')].map(one => one.__data__?.datum)"
        ".filter(one => one?.kind?.startsWith('adjusted')).map(one => one.feature)"
    )
    shown = seen.page.locator("#feature-table tbody a").all_inner_texts()
    name = next(one for one in found if one in shown)
    dot = seen.page.evaluate_handle(
        "name => [...document.querySelectorAll('#layers .vega-embed path')]"
        ".find(one => one.__data__?.datum?.feature === name)",
        name,
    ).as_element()
    dot.scroll_into_view_if_needed()
    dot.hover(force=True)
    tip = seen.page.locator("#vg-tooltip-element.visible")
    tip.wait_for()
    assert name in tip.inner_text()
    dot.click(force=True)
    card = seen.page.locator(f"#feature-{name.replace(':', '-')}[open]")
    sync_api.expect(card).to_have_count(1)


# Cells whose number or name stands on more than one line.
BROKEN = """[...document.querySelectorAll("td.n, tbody .whole")].filter(one => {
  const range = document.createRange();
  range.selectNodeContents(one);
  return new Set([...range.getClientRects()].map(box => Math.round(box.bottom / 4))).size > 1;
}).map(one => one.textContent)"""
CUT = """[...document.querySelectorAll("td, th, pre, .claim, figure, p")].filter(one =>
  one.getClientRects().length && one.getBoundingClientRect().right > innerWidth + 1
).map(one => one.textContent.slice(0, 40))"""
PRINTED = 703  # CSS pixels between the margins of A4


def test_no_number_is_broken(opened):
    page = opened().page
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.locator("td.n").count() > 100
    for width in (1280, 760, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(BROKEN) == []


@pytest.fixture(scope="module")
def crowded(voices, tmp_path_factory) -> Path:
    """A report whose names and labels are as long as a spec allows."""
    long = "a-name_of-eighty.characters-" * 3
    text = voices.replace(">top<", f">{long}<").replace("<td>top</td>", f"<td>{long}</td>")
    file = tmp_path_factory.mktemp("report") / "crowded.html"
    file.write_text(text, encoding="utf-8")
    return file


def test_nothing_is_cut_on_paper(opened, crowded):
    """Neither a column nor a number, and heads have their words, which a button would lose."""
    page = opened(width=PRINTED, file=crowded).page
    page.emulate_media(media="print")
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.evaluate(CUT) == []
    assert page.evaluate(BROKEN) == []
    display = "getComputedStyle(document.querySelector('th button')).display"
    assert page.evaluate(display) == "contents"


@pytest.mark.parametrize("width,scheme", SCREENS)
def test_it_fits_the_screen_and_an_accessibility_checker_finds_nothing(opened, width, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    seen = opened(width=width, scheme=scheme)
    seen.see_all()
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    found = axe.run(seen.page).response["violations"]
    assert {one["id"]: [node["html"][:120] for node in one["nodes"][:3]] for one in found} == {}


def test_no_other_script_runs_even_where_one_is_in_the_page(opened, report, tmp_path):
    """What its policy allows is the report's own script, by its hash, if escaping should ever fail."""
    added = "<script>window.ran = 1</script><img src='x' onerror='window.ran = 2'>"
    hostile = tmp_path / "hostile.html"
    hostile.write_text(
        report.read_text(encoding="utf-8").replace("</main>", f"{added}</main>"), encoding="utf-8"
    )
    seen = opened(file=hostile)
    seen.see_all()
    assert seen.page.evaluate("window.ran") is None
    assert (
        seen.page.evaluate(
            "[...document.scripts].filter(one => one.text === 'window.ran = 1').length"
        )
        == 1
    )
    assert any("Content Security Policy" in line for line in seen.said)
