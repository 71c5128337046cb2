"""Commands about specs, before any weight is loaded: write one, and check it."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from harness.cli import completion
from harness.cli.exit_status import SUPPORTED, WRONG_INPUT, exit_with_status, print_faults
from harness.cli.options import JSON, target_option
from harness.cli.output import echo, print_json, say
from harness.cli.spec_facts import metric_lines, spec_facts, variants_line
from harness.errors import Fault, InputError
from harness.names import command


@click.command(short_help="Write a spec for a question, a target and a prompt file.")
@click.argument("question", metavar="QUESTION|FILE.csv")
@target_option(
    multiple=True,
    required=True,
    metavar="NAME",
    help="What to run on; see `harness targets`. Give it again for another.",
)
@click.option(
    "--prompts",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file of prompt pairs, one JSON object a line (data/README.md says which fields), or a CSV.",
)
@click.option("--name", default="", help="What the eval is called; else made of the question.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The new file; evals/NAME.yaml when left out. A file that is there is left alone.",
)
@click.option(
    "--allow-shortcuts",
    default="",
    metavar="REASON",
    help="Why words, answers or lengths may tell the variants apart, where they do.",
)
@exit_with_status
def new(
    question: str,
    target: tuple[str, ...],
    prompts: Path | None,
    name: str,
    output: Path | None,
    allow_shortcuts: str,
) -> None:
    """Write a spec for QUESTION, a target and a prompt file, with a comment for each part.

    How features are read, selected and split, and what is claimed, follows from the prompts: do the
    variants of a pair differ before the answer, and how many families are there? The file passes
    `harness check` as it is written, and is yours to change before the first run.

    A CSV has a pair a row: under the names of two variants their texts, of which the last words are the
    answers, unless columns NAME_answer say them; `a|b` is a set of answers, and a column family says
    which pairs belong together. The prompt file is written beside it.

    \b
    harness new "Does a voice change the answer?" --target organism --prompts data/voices.jsonl
    harness new pairs.csv --target organism
    """
    from harness.specs.scaffold import write_spec
    from harness.specs.target_files import HERE

    question, prompts, name = _from_csv(question, prompts, name)
    _check_answers(prompts, target, (output or HERE / "NAME").parent)
    allow = partial(_allowed, prompts, allow_shortcuts)
    path, *schema = write_spec(question, target, prompts, name, output, allow)
    for beside in schema:
        echo(f"{beside}: written. Editors read there what a spec may say.")
    echo(f"{path}: written. Read it, change it, and then:")
    for step in ("check", "plan", "run"):
        on = ("--target", target[0]) if step == "run" else ()
        echo(f"  {command(step, path, *on)}")


def _from_csv(question: str, prompts: Path | None, name: str) -> tuple[str, Path, str]:
    """The question, prompt file and name of a new spec: of a CSV its pairs are written into a prompt file.

    Raises `InputError` with what is wrong with the CSV, or where there are no prompts.
    """
    from harness.specs.csv_pairs import read_csv, write_pairs

    file = Path(question) if prompts is None else prompts
    if file.suffix.lower() != ".csv":
        if prompts is None:
            remedy = "name it with --prompts, or give a CSV in the question's place: harness new pairs.csv"
            raise InputError(Fault("--prompts", "there is no prompt file", remedy))
        return question, prompts, name
    pairs = read_csv(file)
    written = write_pairs(file, pairs)
    count = len(pairs.lines) // 2
    echo(f"{written}: written, {count} pair{'s' * (count != 1)}.")
    one, other = pairs.variants.names
    if pairs.last_words:
        columns = f"columns {one}_answer and {other}_answer"
        say(f"note: {file}: the last word of each text is its answer; {columns} say others")
    if prompts is None:
        question, name = f"What tells {one} from {other}?", name or file.stem
    return question, written, name


def _check_answers(prompts: Path, targets: tuple[str, ...], beside: Path) -> None:
    """Raises `InputError` where `check` would refuse answers of the prompts on known targets."""
    from harness.cli.answers import answers_alike
    from harness.paths import find
    from harness.specs.prompt_file import load_prompts, variants_in
    from harness.specs.target_files import known_targets

    try:
        path = find(prompts)
        read = load_prompts(path, variants=variants_in(path)) if path else ()
    except InputError:
        return  # what is wrong with the file itself is said where the spec is written
    there = known_targets(beside)
    known = [there[name] for name in dict.fromkeys(targets) if name in there]
    if faults := answers_alike(path, read, known)[0]:
        raise InputError(*faults)


def _allowed(prompts: Path, reason: str) -> str:
    """The reason, where words, answers or lengths tell the variants apart.

    Raises `InputError` where they do and there is none: `check` would refuse the spec.
    """
    from harness.analysis.shortcut_checks import shortcut_findings
    from harness.paths import find
    from harness.specs.prompt_file import load_prompts, variants_in

    place, path = str(prompts), find(prompts) or prompts
    read = load_prompts(path, variants=variants_in(path))
    faults = shortcut_findings(place, read, place, None, lambda *_: place).faults
    if faults and not reason.strip():
        raise InputError(*(replace(one, remedy=_SAY_WHY) for one in faults))
    return reason if faults else ""


_SAY_WHY = (
    "let both variants use the same words, answers and lengths equally often, or say why it may be so: "
    "`--allow-shortcuts REASON`"
)


@click.command(short_help="Say everything that is wrong with specs, before any run.")
@click.argument("specs", nargs=-1, required=True, shell_complete=completion.specs)
@JSON
@exit_with_status
def check(specs: tuple[str, ...], as_json: bool) -> None:
    """Say everything that is wrong with SPECS and their prompts, before any weight is loaded.

    A spec is named by its path or its name: evals/NAME.yaml here, else one of the package's.

    \b
    harness check evals/*.yaml
    harness check voices --json
    """
    from harness.specs.independence import Clustering

    checked: list[dict[str, Any]] = []
    faults: list[Fault] = []
    for name in specs:
        facts, of_spec = spec_facts(name)
        checked.append(facts)
        faults += of_spec
        if not of_spec and not as_json:
            echo(
                f"{facts['spec']}: right; {facts['discovery'] + facts['confirmation']} families "
                f"({facts['discovery']} discover, {facts['confirmation']} confirm), "
                f"{facts['pairs']} pairs, {facts['claims']} claims on {', '.join(facts['targets'])}"
            )
            for line in [
                *filter(None, [variants_line(facts)]),
                *metric_lines(facts),
                *(str(Clustering(**one)) for one in facts["clusters"]),
                *facts["sources"],
                *facts["controls"],
                *filter(None, [facts["shortcuts"]["line"]]),
            ]:
                echo(f"  {line}")
            for note in facts["notes"]:
                say(f"note: {note}")
    if as_json:
        print_json({"right": not faults, "specs": checked})
        print_faults(dict.fromkeys(faults))
        raise SystemExit(WRONG_INPUT if faults else SUPPORTED)
    if faults:
        raise InputError(*dict.fromkeys(faults))
