"""Commands about specs: what is right is said, what is wrong is named, nothing heavy is imported."""

import json
import subprocess
import sys

from tests.helpers.cli import invoke


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
