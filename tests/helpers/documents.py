"""The commands, queries and links of the documents, and what it takes to try them.

A block `console` has commands after `$ ` with what they print below; `sh` has commands alone; `sql`
has one query, and a block `text` right after it what that shows. `yaml`, `toml` and `python` blocks are files
where the block's first word is `file=NAME`. A block is tried unless it is marked: `gpu`, `network`,
`slow` (minutes), `here` (its output is of one machine) and `sketch` (it names what is not there) are
only parsed. In expected output a line `...` stands for any lines.

    python -m tests.helpers.documents results.duckdb    # write what the commands print into the pages
"""

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import chdir, redirect_stdout
from dataclasses import dataclass, field
from glob import glob
from itertools import zip_longest
from pathlib import Path

from tests.helpers import ROOT

PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
SHIPPED = ("evals", "data", "docs/notebook.py")
UNTRIED = frozenset({"gpu", "network", "slow", "here", "sketch"})
_FENCE = re.compile(r"^```(\w*) *([^\n`]*)\n(.*?)^```$", flags=re.S | re.M)


@dataclass(frozen=True)
class Block:
    """A fenced block: where it is, its language, its marks, its lines."""

    page: Path
    line: int
    language: str
    marks: frozenset[str]
    body: str

    @property
    def tried(self) -> bool:
        """Whether it can be run without a GPU, weights, a network or minutes."""
        return not self.marks & UNTRIED

    @property
    def file(self) -> str | None:
        """The name of the file that it is, if it is one."""
        return next((m.removeprefix("file=") for m in self.marks if m.startswith("file=")), None)

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in its order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page,
            text.count("\n", 0, found.start()) + 1,
            found[1],
            frozenset(found[2].split()),
            found[3],
        )
        for found in _FENCE.finditer(text)
    ]


def commands(block: Block) -> Iterator[tuple[str, str]]:
    """Each command of a block, with what is shown below it."""
    if block.language == "sh":
        for command in block.body.replace("\\\n", "").splitlines():
            if command.strip() and not command.startswith("#"):
                yield command, ""
    elif block.language == "console":
        for part in re.split(r"^\$ ", block.body.replace("\\\n", ""), flags=re.M)[1:]:
            command, _, shown = part.partition("\n")
            yield command, shown


def words(command: str) -> list[str]:
    """A command's words, without settings of the environment before it and a comment after it."""
    found = shlex.split(command, comments=True)
    while found and re.fullmatch(r"\w+=.*", found[0]):
        del found[0]
    return found


@dataclass
class Shell:
    """Tries commands in a folder; `harness` in this process, so that nothing is imported twice."""

    folder: Path
    status: int = 0
    said: list[str] = field(default_factory=list)

    def run(self, command: str) -> str:
        """What a command prints, its errors among it."""
        call = words(command)
        if command.strip() == "echo $?":
            return f"{self.status}\n"
        if call[0] == "harness" and "|" not in call:
            from click.testing import CliRunner

            from harness.cli import main

            with chdir(self.folder):
                arguments = [name for word in call[1:] for name in _expanded(word)]
                found = CliRunner().invoke(main, arguments, prog_name="harness")
            if found.exception is not None and not isinstance(found.exception, SystemExit):
                raise found.exception
            self.status = found.exit_code
            return found.output
        environment = {name: text for name, text in os.environ.items() if "PYTEST" not in name}
        environment["CUDA_VISIBLE_DEVICES"] = ""  # the pages show a machine without
        if call[0] == "pytest":
            command = f"{shlex.quote(sys.executable)} -m {command}"
        done = subprocess.run(
            command,
            shell=True,
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        self.status = done.returncode
        return done.stdout + done.stderr

    def query(self, sql: str) -> str:
        """What a query shows, as `harness sql` prints it."""
        return self.run(f"harness sql {shlex.quote(sql)}")

    def python(self, code: str) -> str:
        """What lines of Python print."""
        out = io.StringIO()
        with chdir(self.folder), redirect_stdout(out):
            exec(compile(code, "<page>", "exec"), {"__name__": "page"})
        return out.getvalue()


def _expanded(word: str) -> Sequence[str]:
    return sorted(glob(word)) if re.fullmatch(r"[\w./*-]+", word) and "*" in word else [word]


def tried(shell: Shell, page: Path) -> Iterator[tuple[Block, str, str, str]]:
    """Try a page's blocks in their order: each with a command, what is shown, what it prints."""
    found = blocks(page)
    for block, after in zip_longest(found, found[1:]):
        if not block.tried:
            continue
        if block.file:
            target = shell.folder / block.file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.body, encoding="utf-8")
        elif block.language in ("sql", "python"):
            shown = after.body if after is not None and after.language == "text" else ""
            print_ = shell.query if block.language == "sql" else shell.python
            yield block, block.body, shown, print_(block.body)
        else:
            for command, shown in commands(block):
                yield block, command, shown, shell.run(command)


def prepare(folder: Path, db: Path) -> None:
    """A folder as a checkout looks after `harness run`: specs, prompts, a results file."""
    (folder / "db").mkdir(parents=True)
    shutil.copy(db, folder / "db" / "results.duckdb")
    for name in SHIPPED:
        there, here = ROOT / name, folder / name
        here.parent.mkdir(exist_ok=True)
        (shutil.copytree if there.is_dir() else shutil.copy)(there, here)


_SAME = (
    (r"\d{8}-\d{6}(-\d{3})?", "TIME"),
    (r"\d{8}_\d{6}(_\d+)?", "TIME"),
    (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?(\.\d+)?", "WHEN"),
    (r"\b(?=[0-9a-f]*[a-f])(?=[0-9a-f]*\d)[0-9a-f]{8,}\b", "HASH"),
    (r"\b\d+(\.\d+)? (seconds|s|ms|MB|GB|hours)\b", r"N \2"),
    (r"\b\d+\.\d+s\b", "Ns"),
    # What `harness plan` makes of times, and of how a file is packed.
    (r"= \$[\d.]+$", "= $N"),
    (r"[\d,]+ rows x \d+ bytes", "N rows x N bytes"),
    (r"^ *by workers .*\n *enough .*$", "by workers, and enough"),
    (r"[─━]+", "─"),
    # Of impacts beside controls it hangs on which controls were drawn: see `alike`.
    (r"correlation within (\w+) [\d.]+", r"correlation within \1 N"),
)
_PROGRESS = re.compile(r"^ *[\w -]+: \d+ of \d+ \(.*\)$\n?", flags=re.M)
# Seen only where a machine is slow: no page shows it.
_BY_CHANCE = re.compile(r"^  (?:[\w ,-]+: \d+ of \d+ \(.* left\)|loading .*)$\n?", flags=re.M)
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def settled(text: str) -> list[str]:
    """The lines of an output without what changes from run to run: ids, times, hashes, progress."""
    text = _PROGRESS.sub("", _BY_CHANCE.sub("", text))
    for pattern, name in _SAME:
        text = re.sub(pattern, name, text, flags=re.M)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    return [line for line in lines if line]


def alike(shown: str, printed: str) -> bool:
    """Whether a line is the other but for the last digits of numbers.

    Which controls are drawn hangs on the last bit of activities, and these on the processor: means over
    them differ by hundredths of a nat from machine to machine.
    """
    if _NUMBER.sub("0", shown) != _NUMBER.sub("0", printed):
        return False
    pairs = zip(_NUMBER.findall(shown), _NUMBER.findall(printed), strict=True)
    return all(abs(float(a) - float(b)) <= 0.02 + 0.05 * abs(float(a)) for a, b in pairs)


def first_difference(shown: str, printed: str) -> str | None:
    """The first shown line that was not printed, in the order shown; None where there is none."""
    wanted, found = settled(shown), settled(printed)
    at, gap = 0, False
    for line in wanted:
        if line == "...":
            gap = True
            continue
        where = next(
            (i for i in range(at, len(found) if gap else min(at + 1, len(found)))
             if alike(line, found[i])),
            None,
        )  # fmt: skip
        if where is None:
            there = found[at] if at < len(found) else "nothing more"
            return f"shown   {line}\nprinted {there}"
        at, gap = where + 1, False
    if wanted and not gap and at < len(found):
        return f"printed besides: {found[at]}"
    return None


def cut(out: str, most: int = 26, kept: int = 7) -> str:
    """An output as a page shows it: without blank lines around it, and of a long one the beginning."""
    out = _BY_CHANCE.sub("", out)
    lines = "\n".join(line.rstrip() for line in out.splitlines()).strip("\n").splitlines()
    shown = [*lines[:kept], "..."] if len(lines) > most else lines
    return "".join(f"{line}\n" for line in shown)


def rewritten(page: Path, shell: Shell) -> str:
    """The page's text with what its commands print today; what is shown and still fits is kept."""
    printed: dict[int, list[tuple[str, str]]] = {}
    for block, _, shown, out in tried(shell, page):
        fits = bool(shown) and first_difference(shown, out) is None
        printed.setdefault(block.line, []).append((block.language, shown if fits else cut(out)))
    text = page.read_text(encoding="utf-8")
    answer: list[str] = []  # of the query or program before

    def of(found: re.Match[str]) -> str:
        outs = printed.get(text.count("\n", 0, found.start()) + 1, [])
        head, body = found[0][: found.start(3) - found.start()], found[3]
        if found[1] == "text" and answer:
            body = answer.pop()
        answer.clear()
        if outs and outs[0][0] == "console":
            calls = re.findall(r"^\$ (?:.*\\\n)*.*\n", body, flags=re.M)
            body = "".join(call + out for call, (_, out) in zip(calls, outs, strict=True))
        elif outs and outs[0][0] in ("sql", "python"):
            answer.append(outs[0][1])
        return f"{head}{body}```"

    return _FENCE.sub(of, text)


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        for number, one in enumerate(PAGES):
            if sys.argv[2:] and one.stem not in sys.argv[2:]:
                continue
            here = Path(place) / str(number)
            prepare(here, Path(sys.argv[1]))
            one.write_text(rewritten(one, Shell(here)), encoding="utf-8")
            print(one)
