"""Whatever a stranger's file says is shown: no command's output is obeyed by a terminal or a log's reader."""

import json
import re
import shutil

import duckdb
import pytest
import torch

from harness.cli import main
from tests.helpers.cli import invoke
from tests.helpers.parts import all_in_parts
from tests.helpers.specs import SMALL_SPEC, family_lines

# The clipboard (OSC 52), a link (OSC 8), colours (CSI, C1), a direction, commands of services that run
# checks, and rich's markup.
PAYLOAD = (
    "q\n::error file=x::OWNED ##[error]y ##vso[task.setvariable]z ##teamcity[w]\n \t::add-mask::m\r::debug::d"
    "\x1b]52;c;AAAA\x07\x1b]8;;http://evil\x1b\\l\x1b]8;;\x1b\\\x9b31m\u202e\u2028::notice::n\u200b\U000e0041"
    " [link=http://evil]k[/link] [/nothing] @someone [x](javascript:1)"
)
FILE = PAYLOAD.replace("/", "").split("\r")[0]  # what a file can be called
OBEYED = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\U000e0000-\U000e007f]"
)
COMMAND = re.compile(r"^\s*::|##(vso|teamcity)?\[", re.MULTILINE)
RUN = "$RUN"
# Columns without which a run is not even found: one results file keeps them, the other does not.
KEPT = (
    "run_id", "spec_name", "status", "target", "origin", "split", "label", "prompt_id", "pair_id", "family",
    "verdict", "claim", "unit", "stage", "kind", "of", "against", "about",
)  # fmt: skip


def assert_shown(*texts):
    for text in texts:
        assert not OBEYED.search(text), ascii(text)
        assert not COMMAND.search(text), ascii(text)


def poison(db, kept):
    """The payload in every text of every table, as far as the tables' own checks allow."""
    with duckdb.connect(str(db)) as connection:
        columns = connection.execute(
            "SELECT table_name, column_name FROM duckdb_columns() WHERE data_type = 'VARCHAR' "
            "AND NOT internal AND table_name IN (SELECT table_name FROM duckdb_tables())"
        ).fetchall()
        for table, column in columns:
            if column in kept or table == "schema_version":
                continue
            said = f'"{column}" || $said'
            if column in ("spec", "analysed_spec"):  # JSON, whose texts are the payload's
                said = f"""json_merge_patch("{column}", json_object('question', $said))::VARCHAR"""
            try:
                connection.execute(
                    f'UPDATE {table} SET "{column}" = {said} WHERE "{column}" IS NOT NULL',
                    {"said": PAYLOAD},
                )
            except duckdb.Error:  # the schema refuses it: nobody's file can say it
                continue
    return db


@pytest.fixture(scope="module")
def place(two_dtypes, tmp_path_factory):
    """A folder of a stranger's: results files, specs, prompts; and the ids of the runs."""
    folder = tmp_path_factory.mktemp("hostile") / FILE
    folder.mkdir()
    db, *ids = two_dtypes
    for name, kept in (("texts", KEPT), ("all", ())):
        poison(shutil.copy(db, folder / f"{name}.duckdb"), kept)
    lines = family_lines(6)
    (folder / "few.jsonl").write_text("\n".join(map(json.dumps, lines)))
    hostile = [line | {"family": line["family"] + PAYLOAD} for line in lines]
    (folder / "families.jsonl").write_text("\n".join(map(json.dumps, hostile)))
    broken = [line | {"label": PAYLOAD, PAYLOAD: PAYLOAD} for line in lines]
    (folder / "broken.jsonl").write_text(
        "\n".join([*map(json.dumps, broken), "::error::OWNED ##[error] {"])
    )
    yaml = json.dumps(PAYLOAD.replace("\U000e0041", ""))  # YAML joins no halves of pairs
    for name, spec in {
        "right": SMALL_SPEC.replace("Does it survive?", yaml),
        "families": SMALL_SPEC.replace("few.jsonl", "families.jsonl"),
        "broken": SMALL_SPEC.replace("few.jsonl", "broken.jsonl"),
        "gone": SMALL_SPEC.replace("few.jsonl", yaml),
        "keys": f"{SMALL_SPEC}? {yaml}\n: 1\n",
        "claim": SMALL_SPEC.replace("name: moved", f"name: {yaml}"),
        "target": SMALL_SPEC.replace("{organism", f"{{? {yaml}\n "),
        "no": "::error::OWNED\n - [ \x1b]8;;\n##[error]: {",
    }.items():
        (folder / f"{name}.yaml").write_text(spec)
    (folder / f"{FILE}.yaml").write_text("::error::OWNED: 1\n")
    lists = {
        "wrong": f'[{yaml}]\nmodel = {yaml}\n[b]\nmodel = {yaml}\n{yaml} = {yaml}\n[c]\nmodel = "m"\ndtype = {yaml}\n',
        "listed": '[a]\nsummary = "::error::OWNED ##[error]y"\nmodel = "::error::OWNED ##[x]"\n',
    }
    for name, said in lists.items():
        (folder / name).mkdir()
        (folder / name / "a.yaml").write_text(SMALL_SPEC)
        (folder / name / "targets.toml").write_text(said)
    # A path with = is refused for parts, as this folder's is.
    parts = all_in_parts(folder / "texts.duckdb", tmp_path_factory.mktemp("lake"))
    (folder / "lake.duckdb").symlink_to(parts)
    (folder / "run").mkdir()
    (folder / "run" / "features.jsonl").write_text(
        json.dumps({"prompt_id": PAYLOAD}) + "\n::error::OWNED\n"
    )
    for name, state in {"pickles": {PAYLOAD: [1]}, "good": {PAYLOAD: torch.zeros(2)}}.items():
        (folder / name).mkdir()
        torch.save(state, folder / name / f"{FILE}.pt")
    return folder, ids


SPECS = ("right", "families", "broken", "gone", "keys", "claim", "target", "no", FILE, PAYLOAD)
READ = [["--db", f"{name}.duckdb"] for name in ("texts", "all", "gone")]
SHAPES = [["--format", shape] for shape in ("table", "markdown", "json")]
# Per command: the arguments of its calls. A file's name counts from the stranger's folder.
CALLS = {
    "new": [[PAYLOAD, "--target", "organism", "--prompts", prompts, "--output", f"new-{prompts}.yaml"]
            for prompts in ("few.jsonl", "families.jsonl", "broken.jsonl", PAYLOAD)]
           + [["q", "--target", PAYLOAD, "--prompts", "few.jsonl", "--name", PAYLOAD]],
    "check": [[f"{spec}.yaml", *more] for spec in SPECS for more in ([], ["--json"])],
    "plan": [[f"{spec}.yaml", *more] for spec in SPECS for more in ([], ["--json"], ["--target", PAYLOAD])],
    "run": [[f"{spec}.yaml", "--db", "run.duckdb"] for spec in SPECS[2:]] + [["right.yaml", "--device", PAYLOAD]],
    "register": [[f"{spec}.yaml", *more] for spec in SPECS for more in (["--db", "reg.duckdb"], ["--db", "reg.duckdb", "--json"])],
    "analyse": [["few", *db, *more] for db in READ for more in ([], ["--json"])],
    "rerun": [[PAYLOAD, *db] for db in READ],
    "report": [[PAYLOAD, *db] for db in READ] + [[RUN, *READ[2], "--output", f"{FILE}.html"]],
    "show": [[run, *db, *more] for db in READ for run in (RUN, PAYLOAD, f"few/{PAYLOAD}", "few/top")
             for more in ([], ["--json"])],
    "sql": [[f"FROM {table} LIMIT 2", *db, *shape] for db in READ[:2] for shape in SHAPES
            for table in ("runs", "generations", PAYLOAD)]
           + [["FROM runs LIMIT 2", "--db", "lake.duckdb", *shape] for shape in SHAPES]
           + [["SELECT $x", "--set", f"x={PAYLOAD}", *READ[0]], ["--list"], ["evidence", "--set", PAYLOAD, *READ[0]],
              ["evidence", "--run", RUN, "--set", f"claim={PAYLOAD}", *READ[0]]],
    "compare": [[RUN, "latest", *db, *more] for db in READ for more in ([], ["--json"])],
    "label": [[run, *db] for db in READ for run in (RUN, PAYLOAD)],
    "export": [[RUN, *db, "--format", shape, "--output_dir", FILE] for db in READ
               for shape in ("poc", "parquet", "parts", "hub", PAYLOAD)]
              + [["all", *READ[0], "--format", "parts", "--output_dir", "lake"]],
    "import": [["texts.duckdb", "--db", "into.duckdb"], ["all.duckdb", "--db", "into.duckdb"], [PAYLOAD], [FILE], ["lake.duckdb", "--db", "into.duckdb"]],
    "prompts": [["--model_name", PAYLOAD], ["--prompts", "broken.jsonl"], [PAYLOAD]],
    "extract": [["--model_name", PAYLOAD], ["--prompts", "broken.jsonl"], ["--layers_to_hook", PAYLOAD]],
    "diff": [["--run_dir_a", "run", "--run_dir_b", "run"], ["--run_dir_a", PAYLOAD, "--run_dir_b", "run"]],
    "ablate": [["--layer", PAYLOAD, "--feature_id", "1"], ["--layer", "1", "--feature_id", "1", "--model_name", PAYLOAD]],
    "targets": [[], ["--json"], ["wrong/a.yaml"], ["listed/a.yaml"], ["listed/a.yaml", "--json"], [PAYLOAD], [f"--{PAYLOAD}"]],
    "convert": [[PAYLOAD, "into"], ["run", FILE], ["::error::OWNED.pt", "into"], [FILE, FILE], ["pickles", FILE], ["good", FILE]],
    "dictionaries": [[PAYLOAD], [PAYLOAD, "--json"], ["--refresh", PAYLOAD], ["--refresh", "broken.jsonl"], ["--refresh", FILE]],
    "doctor": [[f"{spec}.yaml", *more] for spec in SPECS for more in ([], ["--json"])],
    "schema": [[], [PAYLOAD]],
    "validate": [[PAYLOAD], [PAYLOAD, "--json"], ["mock", PAYLOAD], ["organism", "--layers", PAYLOAD], ["mock", "--spec", PAYLOAD],
                 ["mock", "--prompts", PAYLOAD], ["mock", "--prompts", "broken.jsonl", "--device", "cpu"], ["mock", "--device", PAYLOAD],
                 ["mock", "--layers", "1", "--prompts", "families.jsonl", "--device", "cpu", "--json"]],
}  # fmt: skip


def test_every_command_is_called():
    assert set(CALLS) == set(main.commands)


@pytest.mark.parametrize("command", main.commands)
def test_nothing_that_a_command_prints_is_obeyed(place, command, monkeypatch):
    folder, (run, _) = place
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    said = ""
    for call in CALLS[command]:
        found = invoke(command, *(run if word == RUN else word for word in call))
        assert_shown(found.stdout, found.stderr)
        assert isinstance(found.exception, SystemExit | None), (call, found.exception)
        if found.stdout and ("--json" in call or "json" in call):
            json.loads(found.stdout)
        said += found.output
    assert "OWNED" in said
