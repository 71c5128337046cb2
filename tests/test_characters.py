"""Whatever the data holds is shown: it moves no cursor, turns no direction, and stops no renderer."""

import io
import json
import re
from xml.etree import ElementTree as ET

import pytest
from rich.table import Table
from rich.text import Text

from harness.characters import escape_json, make_visible
from harness.cli.output import echo, print_json, say
from harness.errors import Fault
from harness.pytest_plugin.items import ClaimFailed
from harness.reports.html.behaviour import _chart
from harness.reports.html.charts import NAME
from harness.reports.html.svg import ChartRenderer
from harness.reports.markdown import summary
from harness.reports.terminal.excerpt import with_excerpts
from harness.reports.terminal.failure import failure_text
from harness.reports.terminal.progress import console
from harness.reports.terminal.tables import print_rows
from harness.reports.terminal.verdicts import print_verdicts
from harness.specs.spec_file import load
from tests.helpers.cli import invoke
from tests.helpers.outcomes import an_outcome

OBEYED = [
    "\0", "\x07", "\x08", "\r", "\x0c", "\x1b", "\x7f", "\x85", "\x9b", "\x9d", "\u061c", "\u200e",
    "\u200f", "\u2028", "\u2029", "\u202a", "\u202e", "\u2066", "\u2069", "\ud800", "\udcff", "\ufdd0",
    "\ufffe", "\uffff", "\U0001fffe", "\U0010ffff",
]  # fmt: skip
HOSTILE = "a\x1b]0;title\x07\x1b[2J\x9b31m\u202e\u2028\ufffe\x7fz"
WORDS = "Δv → ½ · 速度 · שלום · 👩‍👩‍👧 · e\u0301 · tab\there\nand a line"
RAW = re.compile("[" + "".join(one for one in OBEYED if one != "\r") + "]")


@pytest.mark.parametrize("sign", OBEYED)
def test_a_character_that_is_obeyed_is_written_as_an_escape(sign):
    shown = make_visible(f"a{sign}b")
    assert shown.isprintable()
    assert shown == f"a{ascii(sign)[1:-1]}b"
    text = escape_json(json.dumps({"a": sign}, ensure_ascii=False))
    assert not RAW.search(text)
    assert json.loads(text) == {"a": sign}


def test_words_of_any_language_stay_as_they_are():
    assert make_visible(WORDS) == WORDS
    assert escape_json(WORDS) == WORDS


def test_no_way_to_the_terminal_lets_one_through(capsys, root):
    echo(HOSTILE)
    say(HOSTILE)
    print_json({"a": HOSTILE})
    out = console(io.StringIO(), width=200)
    nested = Table("head\x1b[1m")
    nested.add_row(Text(HOSTILE, style="red"))
    outcome = an_outcome(question=HOSTILE, warnings=(HOSTILE,), exploratory=HOSTILE)
    print_rows(out, ["a", HOSTILE], [[HOSTILE, 1]])
    print_rows(console(out.file, width=30), ["a", HOSTILE, "b" * 20], [[HOSTILE, 1, 2]])
    out.print(nested, HOSTILE)
    print_verdicts(out, [outcome])
    file = load(root / "evals" / "placebo.yaml")
    texts = [
        *capsys.readouterr(),
        out.file.getvalue(),
        failure_text(file.spec, file.spec.claims[0], outcome.verdicts[0], outcome),
        *with_excerpts([Fault(HOSTILE, HOSTILE, HOSTILE)]),
        summary([outcome]),
    ]
    for text in texts:
        assert text
        assert not RAW.search(text), text
        assert "\\x1b" in text
    assert str(ClaimFailed(texts[3])) == texts[3]


def test_a_query_shows_them_and_gives_other_programs_what_is_stored(few):
    db, _ = few
    sql = "SELECT 'a' || chr(27) || '[2J' || chr(8238) AS x"
    for shape, shown in (("table", r"a\x1b[2J\u202e"), ("markdown", r"a\\x1b\[2J\\u202e")):
        found = invoke("sql", sql, "--db", db, "--format", shape).stdout
        assert shown in found
        assert not RAW.search(found)
    assert invoke("sql", sql, "--db", db, "--format", "csv").stdout == "x\na\x1b[2J\u202e\n"
    assert (
        json.loads(invoke("sql", sql, "--db", db, "--format", "json").stdout)[0]["x"][1] == "\x1b"
    )
    assert "\\x1b" in invoke("check", "no\x1b[2Jspec").stderr


def behaviour(names):
    """A chart of families of these names: two marks each."""
    families = [
        {
            "family": name,
            "split": "confirmation",
            "after_correct": i % 7,
            "after_misconception": -1.0,
        }
        for i, name in enumerate(names)
    ]
    return ChartRenderer().render(_chart(families, True))


def test_a_chart_of_families_of_any_names_has_a_row_and_a_label_for_each():
    """Those that the library takes for its own, long ones that begin alike, and numbers, too."""
    odd = [
        "",
        " ",
        "\n",
        "1",
        "1.0",
        "null",
        "<b>&'\"",
        "]]>",
        "\\",
        "${x}",
        "datum.label",
        *WORDS.split(),
    ]
    odd += ["__proto__", "constructor", "toString", "hasOwnProperty", "valueOf", "length"]
    long = ["x" * 3000 + end for end in "abc"]
    names = list(dict.fromkeys([*OBEYED, HOSTILE, *odd, *long]))
    drawn = behaviour(names)
    assert not RAW.search(drawn.svg + drawn.spec + drawn.says)
    picture = ET.fromstring(drawn.svg)
    labels = [one.text or "" for one in picture.iter() if one.tag.endswith("text")]
    assert {"constructor", "__proto__", "1.0", "<b>&'\""} <= set(labels)
    assert len([one for one in labels if re.fullmatch("x+\u2026", one)]) == 3
    assert max(map(len, labels)) <= max(NAME, len("log p(right) - log p(misconception), nats"))
    rows = set(re.findall(r'<use [^>]*y="([-\d.]+)"/>', drawn.svg))
    assert len([one for one in rows if one.endswith(".5")]) == len(names)
    assert "x" * 3000 in drawn.spec  # for the tooltip
