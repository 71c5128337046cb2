"""The command line: what it says, and with which status it exits."""

import json
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner

from harness import formats
from harness.cli import here, main
from harness.store import Store


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
        "for call in (['check', 'voices'], ['targets'], ['schema'], ['-h']):\n"
        "    assert CliRunner().invoke(main, call).exit_code == 0, call\n"
        "heavy = {'torch', 'transformers', 'numpy', 'scipy', 'duckdb', 'pandas', 'statsmodels'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_plan_imports_no_torch():
    code = (
        "import sys\nfrom click.testing import CliRunner\nfrom harness.cli import main\n"
        "assert CliRunner().invoke(main, ['plan', 'voices']).exit_code == 0\n"
        "print(sorted({'torch', 'transformers', 'duckdb'} & set(sys.modules)))"
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
    assert set(here.FORMATS) == set(formats.FORMATS)
    for name in here.FORMATS:
        assert json.loads(invoke("schema", name).output)["properties"]
