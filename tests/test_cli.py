"""The command line: what it says, and with which status it exits."""

import json
import os
import re
import subprocess
import sys

import duckdb
import pytest
from click.testing import CliRunner

from harness.cli import environment as here
from harness.cli import main
from harness.cli.parser import summary
from harness.specs.power import smallest_effect
from harness.stats.power import minimum_detectable
from harness.store.database import Store
from harness.store.export import formats
from harness.store.run_names import stored_runs


def invoke(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


def test_check_says_what_is_right(root):
    found = invoke("check", *sorted((root / "evals").glob("*.yaml")))
    assert found.exit_code == 0, found.output
    assert found.output.count(": right; ") == 4
    assert "40 families (20 discover, 20 confirm), 320 pairs" in found.output


def test_check_names_faults_of_all_files_and_exits_with_2(tmp_path, root):
    (tmp_path / "a.yaml").write_text("nam: x\n")
    found = invoke("check", tmp_path / "a.yaml", tmp_path / "none.yaml", "voices")
    assert found.exit_code == 2
    assert (
        f"error: {tmp_path / 'a.yaml'}:1:1: unknown key 'nam'; did you mean 'name'?" in found.output
    )
    assert f"error: {tmp_path / 'none.yaml'}: there is no such spec" in found.output
    assert "voices.yaml: right" in found.output


def test_check_refuses_claims_out_of_reach(tmp_path, prompt_lines):
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, prompt_lines)))
    (tmp_path / "a.yaml").write_text(
        "name: a\nquestion: Is it?\ntargets: {organism: {layers: all}}\nprompts: p.jsonl\n"
        "claims:\n  - {name: c, behaviour: logit_difference, direction: greater}\n"
    )
    found = invoke("check", tmp_path / "a.yaml")
    assert found.exit_code == 2
    assert "claim 'c' cannot reach alpha 0.05" in found.output


def test_check_imports_nothing_heavy(root):
    """Nor does collecting claims; see test_pytest_plugin."""
    code = (
        "import sys\nfrom click.testing import CliRunner\nfrom harness.cli import main\n"
        "for call in (['check', 'voices'], ['plan', 'voices'], ['targets'], ['schema'], ['-h'],\n"
        "             ['run', '-h'], ['sql', '--list']):\n"
        "    assert CliRunner().invoke(main, call).exit_code == 0, call\n"
        "heavy = {'torch', 'transformers', 'numpy', 'scipy', 'duckdb', 'pandas', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_plan_shows_what_a_run_would_do():
    facts = json.loads(invoke("plan", "voices", "--target", "organism", "--json").output)
    assert facts["layers"] == [0, 1, 2, 3, 4, 5]
    assert len(facts["discovery"]) == len(facts["confirmation"]) == 20
    assert not set(facts["discovery"]) & set(facts["confirmation"])
    assert "known-features-found" in facts["claims"]
    facts = json.loads(invoke("plan", "voices", "--target", "gemma-2-2b", "--json").output)
    assert "known-features-found" not in facts["claims"]
    assert invoke("plan", "voices", "--target", "gemma").exit_code == 2


def test_the_schema_beside_the_package_is_the_models(root):
    written = json.loads((root / "harness" / "eval.schema.json").read_text())
    assert json.loads(invoke("schema").output) == written, (
        "harness schema > harness/eval.schema.json"
    )


def test_every_documented_query_runs(tmp_path, root):
    """Also where times with a zone come back, and whatever brackets a text holds."""
    Store.open(tmp_path / "r.duckdb").__exit__()
    texts = [(root / "README.md").read_text(), (root / "db" / "README.md").read_text(), main.help]
    queries = set(re.findall(r'harness sql "([^"]+)"', "".join(texts)))
    assert len(queries) >= 2
    for query in (*queries, "FROM runs", "FROM units", "SELECT now(), '[red]x[/foo]'"):
        for shape in ("table", "json", "csv"):
            call = ("sql", query, "--db", tmp_path / "r.duckdb", "--format", shape)
            assert invoke(*call).exit_code == 0, (query, invoke(*call).output)
    assert "[red]x[/foo]" in invoke(*call[:4]).output
    whole = invoke("sql", "SELECT sum(x) AS n FROM range(3) t(x)", *call[2:4], "--format", "json")
    assert json.loads(whole.output) == [{"n": 3}]
    assert "no query is given" in invoke("sql", "", *call[2:4]).output


def test_queries_of_a_missing_or_wrong_kind_are_said(tmp_path):
    found = invoke("sql", "FROM runs", "--db", tmp_path / "none.duckdb")
    assert found.exit_code == 3
    assert "there are no results yet" in found.output


@pytest.mark.parametrize(
    "arguments, status, said",
    [
        (("chekc", "x"), 2, "did you mean 'check'?"),
        (("run", "nothing"), 2, "there is no such spec"),
        (("run", "voices", "--target", "organsim"), 2, "did you mean 'organism'?"),
        (("run", "voices", "--target", "organism", "--device", "cuda"), 3, "cannot be used"),
        (("analyse", "x", "--db", "/nowhere/at/all.duckdb"), 3, "there are no results yet"),
    ],
)
def test_wrong_calls(arguments, status, said, tmp_path):
    own = () if "--db" in arguments or arguments[0] != "run" else ("--db", tmp_path / "r.duckdb")
    found = invoke(*arguments, *own)
    assert found.exit_code == status, found.output
    assert said in found.output
    assert "Traceback" not in found.output


def test_every_format_of_a_file_has_its_schema():
    """The command line names them without importing what defines them."""
    assert set(here.FORMAT_NAMES) == set(formats.FORMATS)
    for name in here.FORMAT_NAMES:
        assert json.loads(invoke("schema", name).output)["properties"]


def commands():
    return sorted(main.commands.items())


def test_every_command_stands_in_one_section_of_the_help_with_a_whole_sentence():
    shown = CliRunner().invoke(main, ["--help"], env={"COLUMNS": "80"}).output
    assert "..." not in shown.partition("Evals:")[2]
    assert all(len(line) <= 80 for line in shown.splitlines())
    listed = [name for names in main.sections.values() for name in names]
    assert sorted(listed) == sorted(main.commands)
    for name, command in commands():
        assert shown.count(f"\n  {name:<8}") == 1
        assert summary(command) in shown
    assert "_HARNESS_COMPLETE=bash_source harness" in shown


@pytest.mark.parametrize("name, command", commands())
def test_every_command_has_an_example_and_fits_a_terminal(name, command):
    lines = [line.strip() for line in command.help.splitlines()]
    assert any(re.match(rf"harness {name}\b", line) for line in lines)
    for width in (60, 80, 200):
        found = CliRunner().invoke(main, [name, "--help"], env={"COLUMNS": str(width)})
        assert found.exit_code == 0
        assert max(map(len, found.output.splitlines())) <= 100


def test_what_takes_json_says_so_in_the_same_words():
    takes = {
        name: one.help for name, command in commands() for one in command.params
        if one.name == "as_json"
    }  # fmt: skip
    assert set(takes) >= {
        "check", "plan", "targets", "doctor", "show", "compare", "rerun", "run", "analyse"
    }  # fmt: skip
    assert len(set(takes.values())) == 1


def completed(*words, **environment):
    """What bash is told for the last of the words."""
    asked = {"_HARNESS_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(("harness", *words)),
             "COMP_CWORD": str(len(words)), **environment}  # fmt: skip
    found = CliRunner().invoke(main, prog_name="harness", env=asked)
    return [line.removeprefix("plain,") for line in found.output.splitlines() if line]


def test_the_shell_completes_specs_targets_queries_and_words():
    assert completed("ch") == ["check"]
    assert completed("run", "v") == ["velocity_vs_acceleration", "voices"]
    assert completed("check", "data/x") == ["file,data/x"]
    assert completed("run", "voices", "--target", "g") == ["gemma-2-2b", "gemma-3-270m"]
    assert "mock" not in completed("plan", "voices", "--target", "")
    assert "mock" in completed("run", "--target", "")
    assert "top_features" in completed("sql", "top")
    assert completed("sql", "evidence", "--set", "c") == ["claim="]
    assert completed("sql", "--format", "m") == ["markdown"]


def test_the_shell_completes_the_specs_of_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "evals").mkdir()
    (tmp_path / "evals" / "two.yaml").write_text("")
    monkeypatch.chdir(tmp_path)
    assert completed("run", "t") == ["two"]
    assert completed("check", "v") == ["velocity_vs_acceleration", "voices"]


@pytest.mark.parametrize("width", [80, 100])
def test_what_is_here_and_what_is_missing_fits_the_terminal(monkeypatch, width):
    """All but words that are longer than the line, as paths can be."""
    monkeypatch.setattr("harness.reports.terminal.width.terminal_columns", lambda _: width)
    for call in (["targets"], ["doctor"], ["doctor", "voices"]):
        for line in invoke(*call).output.splitlines():
            words = line.split()
            assert len(line) <= width or len(words[-1]) > width - 30, line


def test_the_shell_completes_runs_and_is_silent_where_they_cannot_be_read(tmp_path):
    file = tmp_path / "r.duckdb"
    assert completed("show", "--db", str(file), "") == []
    assert not file.exists()
    with duckdb.connect(str(file)) as stored:
        stored.execute("CREATE TABLE runs (run_id TEXT, spec_name TEXT, target TEXT)")
        stored.execute("INSERT INTO runs VALUES ('20260101-voices', 'voices', 'organism')")
        call = [sys.executable, "-m", "harness"]
        asked = {"_HARNESS_COMPLETE": "bash_complete", "COMP_CWORD": "4",
                 "COMP_WORDS": f"harness show --db {file} "}  # fmt: skip
        writing = subprocess.run(call, capture_output=True, text=True, env=os.environ | asked)
        assert (writing.stdout.strip(), writing.stderr) == ("", "")
    assert completed("show", "--db", str(file), "") == ["latest", "voices", "20260101-voices"]
    assert completed("sql", "--db", str(file), "top_features", "--run", "voi") == ["voices"]
    file.write_bytes(b"no database")
    assert stored_runs(file) == []
    assert completed("show", "--db", str(file), "") == []


def test_check_targets_and_doctor_as_json(tmp_path):
    """Nothing but JSON on standard output, also where something is wrong."""
    (tmp_path / "a.yaml").write_text("nam: x\n")
    found = invoke("check", "voices", tmp_path / "a.yaml", "--json")
    told = json.loads(found.stdout)
    assert found.exit_code == 2
    assert not told["right"]
    assert [one["right"] for one in told["specs"]] == [True, False]
    assert told["specs"][0]["confirmation"] == 20
    assert told["specs"][1]["faults"][0]["where"] == f"{tmp_path / 'a.yaml'}:1:1"
    assert "error: " in found.stderr
    targets = {one["name"]: one for one in json.loads(invoke("targets", "--json").stdout)}
    assert targets["organism"]["missing"] == []
    assert targets["gemma-2-2b"]["layers"] == [0, 6, 12, 18, 24]
    told = json.loads(invoke("doctor", "pilot", "--target", "organism", "--json").stdout)
    assert told["runs"][0]["can_run"]
    assert {need["what"] for need in told["runs"][0]["needs"]} == {"files", "memory", "time"}
    assert "processor" in told["machine"]


def test_a_run_and_what_is_made_of_it_as_json(tmp_path):
    """Nothing but JSON on standard output; the notes and the progress stand on standard error."""
    db = ("--db", tmp_path / "r.duckdb")
    ran = invoke("run", "pilot", "--target", "organism", "--json", *db)
    assert ran.exit_code == 0, ran.output
    (told,) = json.loads(ran.stdout)["evals"]
    assert (told["spec"], told["target"], told["origin"]) == ("pilot", "organism", "stand-in")
    assert [verdict["verdict"] for verdict in told["verdicts"]] == ["supported"]
    assert "pilot on organism" in ran.stderr
    assert "observe: 22 of 22" in ran.stderr
    again = invoke("analyse", "pilot", "--json", *db)
    assert json.loads(again.stdout)["verdicts"] == told["verdicts"]
    repeated = invoke("rerun", "pilot", "--json", *db)
    assert repeated.exit_code == 0, repeated.output
    assert json.loads(repeated.stdout)["agrees"]
    second = json.loads(repeated.stdout)["again"]
    compared = json.loads(invoke("compare", told["run_id"], second, "--json", *db).stdout)
    assert compared["b"] == second
    shown = json.loads(invoke("show", second, "--json", *db).stdout)
    assert shown["verdicts"][0]["claim"] == "answers-right"
    misspelt = invoke("show", "pilto", *db)
    assert misspelt.stderr == "error: run pilto: there is no such run; did you mean 'pilot'?\n"
    assert misspelt.exit_code == 2


def test_what_nobody_reads_any_more_ends_quietly(tmp_path):
    """As `harness sql ... | head -1` does, also where the last lines are still in a buffer."""
    Store.open(tmp_path / "r.duckdb").__exit__()
    for shape in ("csv", "table", "json"):
        call = [sys.executable, "-m", "harness", "sql", "FROM range(3)", "--format", shape]
        running = subprocess.Popen(
            [*call, "--db", tmp_path / "r.duckdb"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait() == 141
        running.stderr.close()


@pytest.mark.parametrize(
    "module", ["click", "harness.cli.parallel", "torch", "harness.models.language_model"]
)
def test_an_interrupt_while_something_is_imported_is_a_line(module):
    code = (
        "import sys\nclass Interrupts:\n    def find_spec(self, name, *_):\n"
        f"        if name == {module!r}: raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupts())\nfrom harness.__main__ import main\n"
        "sys.argv = ['harness', 'run', 'voices', '--target', 'organism']\nmain()"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 130
    assert re.fullmatch("stopped(; the same command goes on from here)?\n", found.stderr)


@pytest.mark.parametrize("families", [5, 6, 12, 20, 100])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 6144])
def test_plan_finds_the_detectable_effect_as_the_statistics_do(families, alpha):
    expected = minimum_detectable(families, alpha=alpha)
    assert smallest_effect(families, alpha) == pytest.approx(expected, rel=1e-3)
