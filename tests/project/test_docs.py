"""What the documents show is what happens: commands, output, queries, files, links."""

import ast
import re
import time
from pathlib import Path

import pytest
import yaml

import harness
from harness.cli import main
from harness.reports.terminal.progress import PlainProgress
from tests.helpers import ROOT
from tests.helpers.documents import (
    PAGES,
    Block,
    Shell,
    alike,
    blocks,
    commands,
    cut,
    first_difference,
    prepare,
    tried,
    words,
)

# What can be tried in a folder that is nobody's.
HARMLESS = ("harness", "cat", "cp", "diff", "echo", "head", "ls", "mkdir", "pytest", "sed")
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


@every_page
def test_what_a_page_shows_is_what_happens(page, finished, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    prepare(tmp_path / "here", finished)
    shell, wrong = Shell(tmp_path / "here"), []
    for block, command, shown, printed in tried(shell, page):
        difference = first_difference(shown, printed) if shown else None
        if difference is None and shell.status and block.language in ("sh", "sql"):
            difference = f"it fails: {printed}"
        if difference:
            wrong.append(f"{block}\n$ {command}\n{difference}")
    assert not wrong, "\n\n".join(wrong)


@every_page
def test_commands_exist_with_their_options(page):
    wrong = []
    for block in blocks(page):
        for command, _ in commands(block):
            if why := refused(block, command):
                wrong.append(f"{block}: {command}: {why}")
    assert not wrong, "\n".join(wrong)


def refused(block: Block, command: str) -> str | None:
    """Why a command of a page cannot be meant; None where it can."""
    name, *arguments = words(command.split(" | ")[0]) or [""]
    if name == "harness":
        return parsed(arguments)
    if name == "nox":
        sessions = re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text(), flags=re.M)
        asked = [arguments[i + 1] for i, word in enumerate(arguments) if word == "-s"]
        return None if set(asked) <= set(sessions) else f"no session {asked}"
    if name == "pip":
        project = (ROOT / "pyproject.toml").read_text()
        extras = re.findall(r"\[([\w,-]+)\]", " ".join(arguments))
        known = all(
            re.search(rf"^{extra} = \[", project, flags=re.M)
            for some in extras
            for extra in some.split(",")
        )
        return None if known else f"no extra {extras}"
    if name == "pytest":
        plugin = (ROOT / "harness" / "pytest_plugin" / "__init__.py").read_text()
        own = [word.split("=")[0] for word in arguments if word.startswith("--harness")]
        missing = [option for option in own if f'"{option}"' not in plugin]
        return f"no option {missing}" if missing else None
    return None if not block.tried or name in HARMLESS else "it is not one of those that are tried"


def parsed(arguments: list[str]) -> str | None:
    """Why the command line would refuse these words before it does anything."""
    import click

    # A sketch of a call names what stands there: SPEC, RUN.
    try:
        context = main.make_context("harness", list(arguments))
        name, command, rest = main.resolve_command(context, list(arguments))
        command.make_context(name, rest, parent=context)
    except click.exceptions.Exit:  # --help, --version
        return None
    except click.ClickException as error:
        return error.format_message()
    return None


def test_messages_of_the_troubleshooting_page_are_the_harness_own():
    known = "\n".join(messages())
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    named = re.findall(r"^- `([^`]+)`", page, flags=re.M)
    assert len(named) >= 30
    wrong = [
        f"{message}: '{part}' is said nowhere"
        for message in named
        for part in re.split("…|: ", message)
        if len(part.strip()) > 3 and part.strip() not in known
    ]
    assert not wrong, "\n".join(wrong)


def messages():
    """Every text in the package's code, with its values as a `…`."""
    for path in (ROOT / "harness").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                yield "".join(
                    str(part.value) if isinstance(part, ast.Constant) else "…"
                    for part in node.values
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


@every_page
def test_links_and_anchors_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.S | re.M)
    wrong = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        there = (page.parent / name).resolve() if name else page
        if not there.exists() or not there.is_relative_to(ROOT):
            wrong.append(f"{link}: there is no such file")
        elif anchor and anchor not in anchors(there):
            wrong.append(f"{link}: no heading of it has this name")
    assert not wrong, "\n".join(wrong)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_named_in_the_index():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    pages = [page.name for page in PAGES if page.parent.name == "docs" and page.stem != "index"]
    assert [name for name in pages if f"({name})" not in index] == []


def test_the_citation_and_the_changelog_are_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == harness.__version__
    assert harness.__version__ in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_command_is_in_some_page():
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [name for name in main.commands if f"harness {name}" not in text] == []


def test_every_saved_query_is_in_the_cookbook():
    page = (ROOT / "docs" / "sql.md").read_text(encoding="utf-8")
    saved = [query.stem for query in (ROOT / "db" / "queries").glob("*.sql")]
    assert [name for name in saved if f"harness sql {name}" not in page] == []


def test_progress_is_shown_in_the_form_it_is_printed_in():
    """Left out where outputs are compared: its times are of one machine. Its form is not."""

    def form(line):
        return re.sub(r"[\d.]+", "0", line)

    shown = [
        (block, line)
        for page in PAGES
        for block in blocks(page)
        for line in block.body.splitlines()
        if re.fullmatch(r"  [a-z ]+: \d+ of \d+ \(.*\)", line)
    ]
    assert shown
    wrong = []
    for block, line in shown:
        stage, _, total = re.fullmatch(r"  ([a-z ]+): (\d+) of (\d+) .*", line).groups()
        printed = []
        say = PlainProgress(printed.append)
        say(stage, 0, int(total))
        time.sleep(0.001)
        say(stage, int(total), int(total))
        if form(line) != form(printed[-1]):
            wrong.append(f"{block}: {line}; printed as {printed[-1]}")
    assert not wrong, "\n".join(wrong)


def test_what_only_a_slow_machine_prints_is_on_no_page():
    slow = "on organism\n  loading fixtures/organism (2 s)\n  survey: 6 of 22 (9 s, 28.1/min, about 34 s left)\n"
    assert (
        cut(slow + "  survey: 22 of 22 (1 s, 9/s)\n")
        == "on organism\n  survey: 22 of 22 (1 s, 9/s)\n"
    )
    assert first_difference("on organism\n", slow) is None
    assert "loading" in first_difference("on organism\n", "on organism\nloading\n")


def test_a_changed_output_is_seen():
    shown = "claim  p\nmoves  0.048\n...\nlast 20261123-113102-770-voices"
    assert first_difference(shown, shown.replace("...", "a\nb").replace("0.048", "0.049")) is None
    assert first_difference(shown, shown.replace("770", "111")) is None
    assert "0.048" in first_difference(shown, shown.replace("0.048", "0.5"))
    assert "moves" in first_difference(shown, shown.replace("moves", "stays"))
    assert "last" in first_difference(shown, "claim p\nmoves 0.048\n")
    assert "besides" in first_difference(shown, shown + "\nmore")
    assert not alike("1 family", "9 families")


def test_a_wrong_command_is_seen():
    block = blocks(ROOT / "README.md")[0]
    assert "no such option" in refused(block, "harness run voices --targt organism").lower()
    assert "no command" in refused(block, "harness rnu voices")
    assert "no session" in refused(block, "nox -s nothing")
    assert "no extra" in refused(block, "pip install -e '.[nothing]'")
    assert "no option" in refused(block, "pytest evals --harness-nothing")
    assert refused(block, "harness run voices --target organism") is None
