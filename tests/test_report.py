"""The pages: what they say of a run, of two, of a part of one, and what they never let through."""

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import duckdb
import pytest
from click.testing import CliRunner
from markupsafe import Markup

import harness
from harness.analysis.comparison import compare
from harness.cli import main
from harness.reports.html.charts import THEME, Chart
from harness.reports.html.comparison_page import comparison_page
from harness.reports.html.layout import percent
from harness.reports.html.run_page import run_page
from harness.reports.html.svg import ChartRenderer, RenderedChart, script_json, shrink_svg
from harness.reports.html.volcano import _Axes, _merge_spots
from harness.store.database import Store
from harness.store.find_run import find_run
from harness.store.tables.runs import Runs

HOSTILE = "</script><script>window.alerted=1</script><img src=x onerror=window.alerted=2>'\"&"


class Page(HTMLParser):
    """A page's elements, and the text of those that people see."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.words, self._hidden = [], [], None
        self.feed(text)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag in ("script", "style"):
            self._hidden = tag

    def handle_endtag(self, tag):
        if tag == self._hidden:
            self._hidden = None

    def handle_data(self, data):
        if self._hidden is None:
            self.words.append(data)

    def all(self, tag, **equal):
        named = {name.rstrip("_"): value for name, value in equal.items()}
        return [
            found
            for kind, found in self.elements
            if kind == tag and all(found.get(name) == value for name, value in named.items())
        ]


@pytest.fixture
def changed(finished, tmp_path):
    """The finished runs as a file that is changed by SQL before it is read."""

    def change(*statements):
        copy = tmp_path / "changed.duckdb"
        shutil.copy(finished, copy)
        with duckdb.connect(str(copy)) as connection:
            for statement in statements:
                connection.execute(statement)
        return copy

    return change


@pytest.fixture
def undrawn(monkeypatch):
    """Pages without their pictures, for what is said in words: drawing takes seconds."""
    nothing = RenderedChart(Markup(""), Markup("{}"), "")
    monkeypatch.setattr(ChartRenderer, "render", lambda _, chart: replace(nothing, says=chart.says))


def page_of(db, name="voices"):
    with Store.open_to_read(db) as store:
        return run_page(store, find_run(store, name), db)


@pytest.fixture(scope="module")
def voices(finished):
    return page_of(finished)


def test_the_question_and_the_verdicts_come_first(voices, finished):
    text = Page(voices).text
    with Store.open_to_read(finished) as store:
        run = find_run(store, "voices")
        _, rows = store.query(
            "SELECT claim, verdict, because FROM verdicts WHERE run_id = $run",
            {"run": run["run_id"]},
        )
    begins = [text.index(word) for word in (run["question"], "Verdicts", *(r[0] for r in rows))]
    assert begins[0] < begins[1] < min(begins[2:])
    assert max(begins[2:]) < text.index("Behaviour by family")
    for claim, verdict, because in rows:
        assert re.search(rf"{verdict} {claim} .*?{re.escape(because)}", text)


def test_every_part_has_its_numbers_from_the_store(voices, finished):
    text = Page(voices).text
    with Store.open_to_read(finished) as store:
        name = find_run(store, "voices")["run_id"]

        def ask(sql):
            return store.query(sql, {"run": name})[1]

        for layer, tested, below in ask(
            "SELECT layer, count(*), count(*) FILTER (p_adjusted <= 0.05) FROM feature_tests "
            "WHERE run_id = $run AND split = 'confirmation' GROUP BY layer ORDER BY layer"
        ):
            assert re.search(rf"Layer {layer} .*? {below} of {tested} features", text)
        ((impact, synergy),) = ask(
            "SELECT mean_impact, synergy FROM ablation_summary WHERE run_id = $run AND role = 'target'"
        )
        assert f"moves the answers by {impact:+.3f} nats; 0 of 20 matched" in text
        assert f"differ by {synergy:+.3f} nats" in text
        for family, after in ask(
            "SELECT family, after_correct FROM family_contrasts WHERE run_id = $run"
        ):
            assert re.search(rf"{re.escape(family)} \w+ 8 {re.escape(f'{after:+.3f}')}", text)
        ((right, asked),) = ask(
            "SELECT count(*) FILTER (logit_difference > 0), count(*) FROM behaviour WHERE run_id = $run"
        )
        assert f"On {right} of {asked} prompts" in text
        for layer, l0 in ask("SELECT layer, l0 FROM sae_health WHERE run_id = $run"):
            assert re.search(rf"{layer} 1024 {l0:.1f} ", text)
    assert "20 (and 20 that selected), 160 pairs" in text
    assert f"harness rerun {name}" in text
    assert "placebo: 0 of " in text


def test_each_feature_has_its_test_every_pair_and_tokens_in_context(voices, finished):
    page = Page(voices)
    with Store.open_to_read(finished) as store:
        _, rows = store.query(
            "SELECT layer, feature, mean_difference FROM top_features WHERE run_id = $run LIMIT 20",
            {"run": find_run(store, "voices")["run_id"]},
        )
    for layer, feature, difference in rows:
        assert page.all("details", id=f"feature-{layer}-{feature}")
        assert page.all("a", href=f"#feature-{layer}-{feature}")
        assert re.search(
            rf"{layer}:{feature} rank \d+; difference {re.escape(f'{difference:+.3f}')}", page.text
        )
    shares = [one["style"] for one in page.all("mark")]
    # The strongest token of a context is the darkest; each feature has up to three contexts.
    assert len(rows) * 2 < shares.count("--share:1.00")
    assert "Its tokens were not traced" not in page.text


def test_it_is_one_file_of_under_three_megabytes_that_refers_to_nothing(voices):
    page = Page(voices)
    assert len(voices.encode()) < 3_000_000
    assert not page.all("link")
    assert not page.all("img")
    assert not any("src" in one for _, one in page.elements)
    refers = {one["href"] for kind, one in page.elements if kind in ("a", "use") and "href" in one}
    assert all(one.startswith("#") for one in refers)
    ids = [one["id"] for _, one in page.elements if "id" in one]
    assert len(ids) == len(set(ids))
    assert {one[1:] for one in refers} <= set(ids)
    (policy,) = (m["content"] for m in page.all("meta") if "http-equiv" in m)
    assert policy.startswith("default-src 'none';")


def test_charts_say_in_words_what_they_show(voices):
    charts = Page(voices).all("div", class_="chart")
    assert len(charts) > 30
    assert all(one["role"] == "img" and len(one["aria-label"]) > 20 for one in charts)


def test_whatever_the_store_holds_is_text(changed):
    """A prompt, a family, a token, a label, a question: none of them can end the place it stands in."""
    hostile = HOSTILE.replace("'", "''")
    db = changed(
        f"UPDATE prompts SET family = '{hostile}' || family, prompt = '{hostile}'",
        f"UPDATE prompt_tokens SET token = '{hostile}'",
        f"UPDATE runs SET question = '{hostile}', spec_path = '{hostile}', exploratory = '{hostile}'",
        f"UPDATE verdicts SET because = '{hostile}', query = '{hostile}'",
        f"UPDATE sae_health SET warning = '{hostile}'",
        "UPDATE runs SET neuronpedia = ['x/' || layer FOR layer IN layers]",
        "INSERT INTO feature_labels SELECT DISTINCT 'x/' || layer, feature, "
        f"'{hostile}', 'someone', now() FROM feature_tests",
    )
    text, plain = page_of(db, "pilot"), Page(page_of(changed(), "pilot"))
    page = Page(text)
    assert "window.alerted" in page.text
    assert not page.all("img")
    assert len(page.all("script")) == len(plain.all("script"))
    assert not any("onerror" in one for _, one in page.elements)
    for spec in re.findall(r'<script type="application/json">(.*?)</script>', text, re.S):
        json.loads(spec)


@pytest.mark.parametrize(
    "change,kind,word,verdict",
    [
        ("UPDATE runs SET origin = 'mock'", "mock", "Mock", "mock: supported"),
        (
            "UPDATE runs SET exploratory = 'prompts changed'",
            "exploratory",
            "Exploratory",
            "exploratory: supported",
        ),
        (
            "UPDATE runs SET exploratory = 'limited to 3 families'",
            "limited",
            "Limited",
            "limited: supported",
        ),
    ],
)
def test_what_is_no_evidence_says_so_on_every_screen(changed, undrawn, change, kind, word, verdict):
    """In the title, in a bar that stays, around the page, and at each verdict."""
    text = page_of(changed(change))
    page = Page(text)
    assert re.search(rf"<title>[^<]*{word}", text)
    assert kind in page.all("body")[0]["class"].split()
    assert page.all("p", class_=f"stamp {kind}")
    assert page.text.count(verdict) == 4
    said = page.text[: page.text.index("The spec, with every default written out")]
    assert "significant" not in said.lower()
    assert ".stamps { position: sticky; top: 0;" in text
    assert f"body.{kind} main" in text


def test_a_stand_in_is_told_apart_from_the_real_thing(voices, changed, undrawn):
    assert (
        "Stand-in organism shows that the method works, and says nothing about Gemma."
        in Page(voices).text
    )
    real = Page(page_of(changed("UPDATE runs SET origin = 'real'")))
    assert not real.all("aside")
    assert "stand-in" not in real.text.lower()


def test_a_run_that_has_just_begun_says_what_it_has_not(changed, undrawn):
    tables = ("answers", "activations", "feature_tests", "verdicts", "sae_health", "ablation_tests",
              "interventions", "impacts", "prompt_tokens", "token_activations")  # fmt: skip
    db = changed(
        "UPDATE runs SET status = 'running', finished_at = NULL",
        *(f"DELETE FROM {name}" for name in tables),
    )
    with Store.open_to_read(db) as store:
        name = next(r["run_id"] for r in store.read(Runs).rows() if r["spec_name"] == "voices")
    page = Page(page_of(db, name))
    assert page.all("p", class_="stamp unfinished")
    for told in (
        "No verdict has been drawn: the run is not finished.",
        "Nothing has been observed yet.",
        "No feature was tested: none is active on the confirming families, or the run is not finished.",
        "There is no feature to show.",
        "No ablation has been tested: the run is not finished.",
        "No SAE was read.",
    ):
        assert told in page.text


def test_a_run_without_ablations_placebo_or_tokens_says_so(changed, undrawn, finished):
    pilot = Page(page_of(finished, "pilot"))
    assert "The spec asks for no ablation on this target." in pilot.text
    alone = Page(
        page_of(
            changed(
                "DELETE FROM runs WHERE spec_name = 'placebo'",
                "DELETE FROM prompt_tokens",
                "DELETE FROM token_activations",
            )
        )
    )
    assert "No placebo run of this target is in the results file: harness run placebo" in alone.text
    assert "Its tokens were not traced" in alone.text


def test_labels_and_pages_of_features_are_shown_where_there_are_any(changed, undrawn):
    db = changed(
        "UPDATE runs SET neuronpedia = ['gemma/' || layer FOR layer IN layers]",
        "INSERT INTO feature_labels SELECT DISTINCT 'gemma/' || layer, feature, 'words of ' || feature, 'm', now() FROM feature_tests",
    )
    page = Page(page_of(db))
    assert page.text.count("words of ") >= 40
    links = [
        one
        for one in page.all("a")
        if one.get("href", "").startswith("https://www.neuronpedia.org/gemma/")
    ]
    assert len(links) >= 20
    assert all(one["rel"] == "noopener noreferrer" for one in links)


def test_two_runs_are_compared_on_one_page(finished, tmp_path):
    with Store.open_to_read(finished) as store:
        run = find_run(store, "voices")
        other = dict(run) | {"origin": "mock", "dtype": "bfloat16"}
        found = compare(store, run, other)
        page = Page(comparison_page(found, finished))
    assert "B: Random SAEs: a trial of the pipeline." in page.text
    assert "context-moves-answer supported mock: supported" in page.text
    assert "dtype float32 bfloat16" in page.text
    for row in found.rows:
        assert re.search(rf"{row.quantity} {row.unit} {re.escape(f'{row.a:+.3f}')} ", page.text)
    assert len(page.all("div", class_="chart")) == len({(r.about, r.unit) for r in found.rows})


def test_the_commands_write_the_file_and_say_where(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = CliRunner().invoke(main, ["report", "pilot", "--db", str(finished)])
    assert said.exit_code == 0
    file = tmp_path / said.stdout.strip()
    assert file.parent.name == "reports"
    assert file.read_text().startswith("<!doctype html>")
    wrong = CliRunner().invoke(main, ["report", "pilott", "--db", str(finished)])
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    barred = CliRunner().invoke(
        main,
        [
            "report",
            "pilot",
            "--db",
            str(finished),
            "--output",
            str(tmp_path / ("x" * 300)),
        ],
    )
    assert barred.exit_code == 3
    assert "cannot be written" in barred.stderr


def test_a_report_takes_the_place_of_a_report_and_of_nothing_else(changed, undrawn, tmp_path):
    """Not of the results file, a spec, or whatever else a name may mean."""
    db = changed()
    before = db.read_bytes()
    spec, page = tmp_path / "mine.yaml", tmp_path / "mine.html"
    spec.write_text("name: mine")
    for there in (db, spec, tmp_path):
        for call in (["report", "pilot"], ["compare", "pilot", "voices", "--report"]):
            call = [
                *call,
                *(["--output"] if call[0] == "report" else []),
                str(there),
                "--db",
                str(db),
            ]
            refused = CliRunner().invoke(main, call)
            assert refused.exit_code == 2, call
    with pytest.raises(harness.InputError, match="something else than a report is there"):
        harness.report("pilot", db=db, output=spec)
    assert db.read_bytes() == before
    assert spec.read_text() == "name: mine"
    for _ in range(2):
        assert harness.report("pilot", db=db, output=page) == page
    assert page.read_text().endswith("</html>")


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


def test_what_speaks_against_an_sae_is_said_with_the_verdicts(changed, undrawn):
    page = Page(page_of(changed("UPDATE sae_health SET warning = 'off by one' WHERE layer = 2")))
    assert page.text.count("Warning the SAE of layer 2: off by one") == 1
    assert page.text.count("Warning ") == 1
    assert page.text.index("Warning the SAE") < page.text.index("Behaviour by family")


def test_a_placebo_that_did_not_finish_is_no_placebo(changed, undrawn):
    page = Page(page_of(changed("UPDATE runs SET status = 'running' WHERE spec_name = 'placebo'")))
    assert "No placebo run of this target is in the results file" in page.text


def test_a_mock_on_some_families_is_stamped_twice(changed, undrawn):
    db = changed(
        "UPDATE runs SET origin = 'mock', exploratory = 'limited to 3 families of each side'"
    )
    page = Page(page_of(db))
    assert [one["class"] for one in page.all("p") if "stamp" in one.get("class", "").split()] == [
        "stamp mock",
        "stamp limited",
    ]


@pytest.mark.parametrize(
    "change,said",
    [
        ("SELECT 1", "--target organism --dtype float32 --db"),
        ("UPDATE runs SET origin = 'mock', sae = 'mock:orthogonal'", "--dtype float32 --mock --db"),
        (
            "UPDATE runs SET exploratory = 'limited to 3 families of each side', dtype = 'bfloat16'",
            "--dtype bfloat16 --limit 3 --db",
        ),
    ],
)
def test_the_command_that_runs_the_spec_again_asks_for_the_same(changed, undrawn, change, said):
    page = Page(page_of(changed(change)))
    assert re.search(rf"harness run \S*voices.yaml .*{said}", page.text)


def test_a_prompt_that_both_variants_share_is_counted_once(finished, undrawn):
    with Store.open_to_read(finished) as store:
        _, ((pairs, right),) = store.query(
            "SELECT count(DISTINCT pair_id), count(DISTINCT pair_id) FILTER (logit_difference > 0) "
            "FROM behaviour WHERE run_id = (SELECT run_id FROM runs WHERE spec_name = 'pilot')"
        )
    page = Page(page_of(finished, "pilot"))
    assert f"On {right} of {pairs} prompts" in page.text
    assert "it is counted once" in page.text
    assert "it is counted once" not in Page(page_of(finished)).text


def test_features_are_not_called_silent_before_they_are_tested(changed, undrawn):
    begun = Page(page_of(changed("DELETE FROM feature_tests")))
    assert "not tested yet; edited by top" in begun.text
    assert "silent" not in begun.text.replace("silent ", "", 1)  # a column's head


def test_a_placebo_that_was_read_elsewhere_says_so(changed, undrawn):
    page = Page(
        page_of(changed("UPDATE runs SET readout = 'answer:mean' WHERE spec_name = 'placebo'"))
    )
    assert "which reads its features at answer:mean and not at last_prompt_token" in page.text


def test_no_found_feature_shares_its_dot(voices, finished):
    """Pale dots may stand for several; every feature below alpha has a dot of its own."""
    specs = [
        json.loads(one)
        for one in re.findall(r'<script type="application/json">(.*?)</script>', voices)
    ]
    dots = [
        dict(zip(part["names"], row, strict=True))
        for spec in specs
        if "statistic" in (part := spec.get("data", {"names": ()}))["names"]
        for row in part["rows"]
    ]
    found = [dot["feature"] for dot in dots if dot["kind"].startswith("adjusted")]
    with Store.open_to_read(finished) as store:
        _, rows = store.query(
            "SELECT layer || ':' || feature, run_id FROM feature_tests WHERE split = 'confirmation' "
            "AND p_adjusted <= 0.05 AND run_id = $run",
            {"run": find_run(store, "voices")["run_id"]},
        )
        _, ((tested,),) = store.query(
            "SELECT count(*) FROM feature_tests JOIN runs USING (run_id) "
            "WHERE split = 'confirmation' AND spec_name IN ('voices', 'placebo')"
        )
    assert sorted(found) == sorted(name for name, _ in rows)
    assert sum(dot["here"] for dot in dots) == tested


def test_the_smallest_p_of_each_claim_is_said_with_what_bounds_it(voices, changed, undrawn):
    text = Page(voices).text
    assert "top-features-matter: 0.048, its rank among 20 controls" in text
    assert "context-moves-answer: 1.5e-05, sign flips of the families" in text
    assert "untestable" not in text
    assert "its t tests have no floor" in Page(page_of(changed(), "placebo")).text
    strict = Page(page_of(changed("UPDATE runs SET alpha = 0.01")))
    assert "its rank among 20 controls: above alpha 0.01, so it is untestable" in strict.text


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE answers SET logprob = 'nan' WHERE prompt_id = (SELECT min(prompt_id) FROM answers)",
        "DELETE FROM prompts WHERE label = 'misconception' AND family = (SELECT min(family) FROM prompts)",
        "UPDATE feature_tests SET statistic = 'nan' WHERE feature < 50",
        "UPDATE feature_tests SET mean_difference = 'inf' WHERE feature < 50",
        "UPDATE feature_tests SET mean_difference = mean_difference * 1e-6",
        "UPDATE activations SET value = 'nan' WHERE feature < 50",
        "UPDATE ablation_tests SET mean_impact = 'nan'",
        "UPDATE ablation_tests SET ci_high = NULL",
        "UPDATE verdicts SET ci_high = NULL",
    ],
)
def test_what_has_no_value_is_left_out(changed, undrawn, change):
    """An edited or imported file may hold what no run writes."""
    assert "<h1>" in page_of(changed(change))


def test_labels_say_whose_they_are_and_since_when(changed, undrawn):
    db = changed(
        "UPDATE runs SET neuronpedia = ['gemma/' || layer FOR layer IN layers]",
        "INSERT INTO feature_labels SELECT DISTINCT 'gemma/' || layer, feature, 'a thing', "
        "'some-model', TIMESTAMPTZ '2026-02-03 12:00:00+00' FROM feature_tests",
    )
    page = Page(page_of(db))
    assert "a thing (said by some-model on Neuronpedia, fetched on 03 February 2026;" in page.text


@pytest.mark.parametrize(
    "share,said",
    [(None, ""), (0.0, "0%"), (0.004, "<1%"), (0.5, "50%"), (0.996, ">99%"), (1.0, "100%")],
)
def test_only_all_is_a_hundred_percent(share, said):
    assert percent(share) == said


def test_dots_stand_for_several_features_only_where_nothing_is_lost():
    """Of eight features at one spot: two are found, one is shown elsewhere, the others are one dot."""
    rows = [
        {"layer": 0, "feature": n, "mean_difference": 0.5, "statistic": 1.0, "p_adjusted": p}
        for n, p in enumerate([0.01, 0.02, *[0.5] * 6])
    ]
    drawn = _merge_spots(rows, _Axes(1.0, 2.0), 0.05, {(0, 4)})
    assert sorted(here for _, here in drawn) == [1, 1, 1, 5]
    assert {row["feature"] for row, here in drawn if here == 1} == {0, 1, 4}
    assert [row["feature"] for row, _ in drawn[-2:]] == [0, 1]  # on top of the others


def test_a_placebo_at_the_same_readout_comes_before_a_later_one(changed, undrawn):
    db = changed(
        "INSERT INTO runs SELECT * REPLACE ('later-' || run_id AS run_id, finished_at + INTERVAL 1 DAY "
        "AS finished_at, 'answer:mean' AS readout) FROM runs WHERE spec_name = 'placebo'"
    )
    page = Page(page_of(db))
    assert "on the same axes: run 2" in page.text
    assert "later-" not in page.text
