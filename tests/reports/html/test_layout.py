"""What holds of every page: one file, that refers to nothing, and in which nothing stored is more than text."""

import json
import re

import pytest

from harness.reports.html.layout import percent
from tests.helpers.pages import Page, page_of

HOSTILE = "</script><script>window.alerted=1</script><img src=x onerror=window.alerted=2>'\"&"
OBEYED = "\x1b[2J\x9b\u202e\u2028\ufffe"


def test_it_is_one_file_of_under_three_megabytes_that_refers_to_nothing(voices, page):
    assert len(voices.encode()) < 3_000_000
    assert not page.all("link")
    assert not page.all("img")
    assert not any("src" in one.attrib for one in page.root.iter())
    refers = {one.get("href") for kind in ("a", "use") for one in page.all(kind)} - {None}
    assert all(one.startswith("#") for one in refers)
    ids = [one.get("id") for one in page.root.iter() if "id" in one.attrib]
    assert len(ids) == len(set(ids))
    assert {one[1:] for one in refers} <= set(ids)
    (policy,) = (one.get("content") for one in page.all("meta") if "http-equiv" in one.attrib)
    assert policy.startswith("default-src 'none';")


def test_charts_say_in_words_what_they_show(page):
    charts = page.all("div", class_="chart")
    assert len(charts) > 30
    assert all(one.get("role") == "img" and len(one.get("aria-label")) > 20 for one in charts)


def test_whatever_the_store_holds_is_text(changed):
    """A prompt, a family, a token, a label, a question: none of them can end the place it stands in."""
    hostile = HOSTILE.replace("'", "''") + OBEYED
    db = changed(
        f"UPDATE prompts SET family = '{hostile}' || family, prompt = '{hostile}'",
        f"UPDATE prompt_tokens SET token = '{hostile}'",
        f"UPDATE feature_logits SET token = '{hostile}'",
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
    assert not any("onerror" in one.attrib for one in page.root.iter())
    assert "\\x1b[2J\\x9b\\u202e\\u2028\\ufffe" in page.text
    specs = re.findall(r'<script type="application/json">(.*?)</script>', text, re.S)
    for spec in specs:
        json.loads(spec)
    assert not re.search("[\x1b\x9b\u202e\u2028\ufffe]", "".join([page.text, *specs]))


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


@pytest.mark.parametrize(
    "share,said",
    [(None, ""), (0.0, "0%"), (0.004, "<1%"), (0.5, "50%"), (0.996, ">99%"), (1.0, "100%")],
)
def test_only_all_is_a_hundred_percent(share, said):
    assert percent(share) == said
