"""A new spec for a question, targets and a prompt file, with a comment on each part."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.characters import make_visible
from harness.errors import CannotRun, Fault, InputError, nearest
from harness.paths import PACKAGE, bundled, find, whole_file
from harness.specs.scaffold_facts import prompt_facts
from harness.specs.scaffold_template import draft
from harness.specs.target_files import known_targets

SCHEMA = PACKAGE / "eval.schema.json"
LONGEST_NAME = 40


def write_spec(
    question: str,
    targets: Sequence[str],
    prompts: Path,
    name: str = "",
    output: Path | None = None,
    allow: Callable[[], str] = str,
) -> tuple[Path, ...]:
    """Write the spec, and beside it the schema that it names; what was written, the spec first.

    `allow` gives the reason for which words, answers or lengths may tell the variants apart, or none, and is
    asked once all else is right.

    Nothing is overwritten. In a checkout the schema is the package's own, elsewhere a copy: a path into
    this machine's packages would mean nothing to those who share the file. Raises `InputError` where a
    target or name is wrong, the prompts are faulty or too few for any claim or the file is there
    already, and `CannotRun` where it cannot be written.
    """
    question = " ".join(question.split())
    if not re.search(r"\w", question):
        raise InputError(Fault("QUESTION", "it is empty", "write a sentence that ends in a ?"))
    if re.search("[\ud800-\udfff]", question):
        raise InputError(Fault("QUESTION", "it is not in UTF-8", "write it in UTF-8"))
    name = name or (output.stem if output else named(question))
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}", name):
        remedy = "use letters, digits, `-`, `_` and `.`"
        raise InputError(Fault(f"--name {name}", "it is no name of an eval", remedy))
    output = output or Path("evals") / f"{name}.yaml"
    known = known_targets(output.parent)
    if unknown := [target for target in targets if target not in known]:
        what = "there is no such target"
        raise InputError(*(Fault(f"--target {one}", what, nearest(one, known)) for one in unknown))
    prompt_file = find(prompts)
    if prompt_file is None or prompt_file.is_dir():
        what, remedy = "there is no such prompt file", "name a file of JSON lines"
        raise InputError(Fault(f"--prompts {prompts}", what, remedy))
    facts = prompt_facts(prompt_file)
    chosen = [known[target] for target in dict.fromkeys(targets)]
    # An empty file is what a full disk leaves, or `mktemp`: nothing is lost with it.
    if output.exists() and not (output.is_file() and output.stat().st_size == 0):
        remedy = "name another with --output or --name"
        raise InputError(Fault(str(output), "it is there already", remedy))
    text = draft(
        name,
        make_visible(question),
        chosen,
        _from(output, prompt_file),
        schema_of(output),
        facts,
        make_visible(" ".join(allow().split())),
    )
    return _write(output, text)


def _write(output: Path, text: str) -> tuple[Path, ...]:
    """Write a spec, and the schema that it names where there is none; what was written, the spec first."""
    beside = output.parent / schema_of(output)
    written = [output] if beside.exists() else [output, beside]
    try:
        for path in reversed(written):  # the schema first: it says nothing by itself
            with whole_file(path) as part:
                content = text if path is output else SCHEMA.read_text(encoding="utf-8")
                part.write_text(content, encoding="utf-8")
    except OSError as error:
        what = f"cannot be written: {(error.strerror or str(error)).lower()}"
        raise CannotRun(Fault(str(output), what, "name another with --output")) from None
    return tuple(written)


def named(question: str) -> str:
    """A name made of the first words of a question."""
    words = re.findall(r"[a-z0-9]+", question.lower().replace("'", "")) or ["eval"]
    name = words[0][:LONGEST_NAME]
    for word in words[1:]:
        if len(name) + 1 + len(word) > LONGEST_NAME:
            break
        name += f"-{word}"
    return name


def _from(spec: Path, prompts: Path) -> str:
    """The path of a prompt file as a spec finds it."""
    full, folder = prompts.resolve(), spec.resolve().parent
    around = (folder, folder.parent)
    ways = [
        str(full.relative_to(base))
        for base in (folder, folder.parent, bundled().resolve())
        if full.is_relative_to(base)
    ]
    for way in (*ways, os.path.relpath(full, folder)):
        if (found := find(way, *around)) is not None and found.resolve() == full:
            return way
    return str(full)


def schema_of(spec: Path) -> str:
    """The path of the schema from a spec's folder: within a checkout the package's, else beside it."""
    folder = spec.resolve().parent
    if folder.is_relative_to(PACKAGE.parent) and "site-packages" not in PACKAGE.parts:
        return os.path.relpath(SCHEMA, folder)
    return SCHEMA.name
