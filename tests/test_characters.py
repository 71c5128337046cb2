"""Whatever the data holds is shown: it moves no cursor, turns no direction, and stops no renderer."""

import io
import json
import logging
import re
import sys
import time
import warnings
from xml.etree import ElementTree as ET

import click
import pytest
from rich.table import Table
from rich.text import Text

from harness.characters import (
    LONGEST,
    disarm,
    escape_json,
    escape_markdown,
    make_visible,
    one_line,
)
from harness.cli.output import echo, print_json, say
from harness.errors import Fault
from harness.models.waiting import waiting_for
from harness.pytest_plugin.items import ClaimFailed
from harness.reports.html.behaviour import _chart
from harness.reports.html.charts import NAME
from harness.reports.html.svg import ChartRenderer
from harness.reports.markdown import summary
from harness.reports.terminal.excerpt import with_excerpts
from harness.reports.terminal.failure import failure_text
from harness.reports.terminal.progress import Terminal, console
from harness.reports.terminal.tables import print_rows
from harness.reports.terminal.verdicts import print_verdicts
from harness.specs.spec_file import load
from harness.specs.variants import Variants
from harness.streams import shown, shown_streams
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
    for shape, said in (("table", r"a\x1b[2J\u202e"), ("markdown", r"a\\x1b\[2J\\u202e")):
        found = invoke("sql", sql, "--db", db, "--format", shape).stdout
        assert said in found
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
    return ChartRenderer().render(_chart(families, True, Variants()))


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


@pytest.mark.parametrize(
    "line",
    [
        "::error::x", " \t\u00a0::set-env name=PATH::x", "::", "\u200d::error::x", ":\ufe0f:error::x", "a ##[error]b",
        "##vso[task.setvariable]x", "##teamcity[x]", "#\u200d#[error]x", "ok\n  ::add-mask::e\n::x",
    ],
)  # fmt: skip
def test_no_line_is_a_command_to_what_reads_a_log(line):
    shown = disarm(line)
    bare = re.sub("[\u200d\ufe0f]", "", shown)  # as .NET compares
    assert not re.search(r"^\s*::|##\w*\[", bare, re.MULTILINE)
    assert shown.replace("\\", "") == line
    assert disarm(shown) == shown


def test_what_is_no_command_is_left_alone():
    for line in (
        "tests/a.py::b",
        "error: a::b: c",
        "  12 | ::error::x",
        "# a [b]",
        "## c",
        "",
        " \n\n",
    ):
        assert disarm(line) == line


def test_json_and_markdown_say_the_same_and_are_no_commands():
    text = escape_json(json.dumps({"##[error]": ["##vso[x]", 1]}))
    assert "##[" not in text
    assert "##vso[" not in text
    assert json.loads(text) == {"##[error]": ["##vso[x]", 1]}
    shown = escape_markdown(
        "a_b _c_ @someone me@here [x](javascript:1) <img src=x> ![y](z)\n# h | `k`"
    )
    assert shown == (
        r"a_b \_c\_ @&#8203;someone me@here \[x\](javascript:1) \<img src=x\> !\[y\](z) \# h \| \`k\`"
    )


def test_a_line_is_one_and_has_an_end():
    assert one_line("a\nb\rc\td\u2028") == "a\\nb\\rc d\\u2028"
    long = one_line("x" * 10**7)
    assert len(long) == LONGEST + 1
    assert long.endswith("x…")
    piled = make_visible("e" + "\u0301" * 10_000)
    assert piled.count("\u0301") == 12


def test_a_stream_shows_whatever_is_written_in_whatever_pieces():
    out = io.StringIO()
    stream = shown(out)
    for piece in ("a", " ::b::\n", "  ", "::c::", "::d\n", "::e\r\x1b[2J\n"):
        assert stream.write(piece) == len(piece)
    assert out.getvalue() == "a ::b::\n  \\::c::::d\n\\::e\\r\\x1b[2J\n"
    with pytest.raises(BrokenPipeError) as error:
        shown(BrokenStream(), "standard output").write("a")
    assert error.value.filename == "standard output"


class BrokenStream(io.StringIO):
    """A stream that nobody reads any more."""

    def write(self, _):
        raise BrokenPipeError


def test_warnings_logs_and_tracebacks_of_libraries_are_shown_too(capsys):
    said = f"{HOSTILE}\n::error::x"
    with shown_streams():
        logger = logging.getLogger("harness.tests.hostile")
        logger.addHandler(handler := logging.StreamHandler())
        logger.warning(said)
        logger.removeHandler(handler)
        sys.stderr.write(warnings.formatwarning(said, UserWarning, f"{HOSTILE}.py", 1))
        click.echo(said, err=True)
        print(said)
    for text in capsys.readouterr():
        assert not RAW.search(text)
        assert text.count("\\::error::x") >= 1
        assert not re.search("^::", text, re.MULTILINE)


def test_no_text_is_markup(capsys):
    """Neither a style nor a link, which a terminal would follow."""
    out = Terminal(io.StringIO())
    outcome = an_outcome(spec="[link=http://x]a[/link]", question="[bold]q[/] :smile: [/nothing]")
    print_verdicts(out, [outcome])
    out.note("[link=http://x]b[/link]")
    print_rows(out, ["[red]n[/]"], [["[link=http://x]c[/link]"]])
    for text in (
        "[link=http://x]a[/link]",
        "[bold]q[/] :smile: [/nothing]",
        "b[/link]",
        "[red]n[/]",
        "c[/link]",
    ):
        assert text in out.file.getvalue()


def test_a_wait_is_told_of_in_a_line(monkeypatch, capsys):
    monkeypatch.setattr("harness.models.waiting.PATIENCE", 0.01)
    with waiting_for(f"{HOSTILE}\n::error::x"):
        time.sleep(0.1)
    (line, *_) = capsys.readouterr().err.splitlines()
    assert "\\n::error::x (" in line
    assert not RAW.search(line)
