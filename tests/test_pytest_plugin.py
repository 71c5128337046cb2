"""Claims as pytest items."""

import json

import pytest

from harness.read import load_prompts
from harness.store import Store

HEADER = "# yaml-language-server: $schema=../harness/eval.schema.json\n"
SPEC = """\
name: small
question: Does the named voice move the answer?
targets: {organism: {layers: [3]}}
prompts: prompts.jsonl
split: {discovery: 0}
new_tokens: 0
claims:
  - {name: moved, behaviour: logit_difference, contrast: true, direction: greater}
  - {name: moved-back, behaviour: logit_difference, contrast: true, direction: less}
  - {name: not-here, features: significant, at_least: 1, only: [organism]}
"""


@pytest.fixture
def evals(pytester, root):
    """A folder with one eval of six families of `voices`, named prompts only."""
    families = sorted({p.family for p in load_prompts(root / "data" / "voices.jsonl")})[:6]
    lines = [
        line
        for line in (root / "data" / "voices.jsonl").read_text().splitlines()
        if json.loads(line)["family"] in families and '"named"' in line
    ]
    folder = pytester.mkdir("evals")
    (folder / "prompts.jsonl").write_text("\n".join(lines))
    (folder / "small.yaml").write_text(HEADER + SPEC)
    return folder


def test_claims_are_items_and_failures_are_a_few_lines(pytester, evals):
    found = pytester.runpytest_subprocess("-v", "evals", "--harness-target=organism")
    found.assert_outcomes(passed=2, failed=1)
    found.stdout.fnmatch_lines(
        [
            "evals/small.yaml::moved *",
            "*PASSED*",
            "*evals/small.yaml::moved-back FAILED*",
            "refuted: moved-back, on organism",
            "  claimed   behaviour: logit_difference, contrast: True, direction: less",
            "  observed  +*nats [[]+*, +*], p 0.031, 6 families",
            "  rows      harness sql \"FROM behaviour WHERE run_id = '*'*\"",
            "*= verdicts =*",
            "*moved-back*refuted*",
        ]
    )
    assert "Traceback" not in found.stdout.str()
    again = pytester.runpytest_subprocess("evals/small.yaml::moved")
    again.assert_outcomes(passed=1)
    with Store.open_to_read(pytester.path / "db" / "results.duckdb") as store:
        assert store.query("SELECT status, count(*) FROM runs GROUP BY ALL")[1] == [("finished", 2)]


def test_collecting_loads_no_weights(pytester, evals):
    pytester.makeconftest(
        "def pytest_collection_finish(session):\n"
        "    import pathlib, sys\n"
        "    heavy = {'torch', 'numpy', 'scipy', 'duckdb', 'transformers'} & set(sys.modules)\n"
        "    pathlib.Path('heavy').write_text(repr(sorted(heavy)))"
    )
    found = pytester.runpytest_subprocess("--collect-only", "-q", "evals")
    found.stdout.fnmatch_lines(["evals/small.yaml::moved", "evals/small.yaml::moved-back"])
    assert (pytester.path / "heavy").read_text() == "[]"


def test_a_faulty_spec_is_a_collection_error_with_its_places(pytester, evals):
    (evals / "small.yaml").write_text(HEADER + SPEC.replace("direction: less", "directoin: less"))
    found = pytester.runpytest_subprocess("evals")
    assert found.ret != 0
    found.stdout.fnmatch_lines(
        ["*small.yaml:10:*unknown key 'directoin'; did you mean 'direction'?"]
    )
    assert "Traceback" not in found.stdout.str()


def test_other_projects_yaml_is_left_alone(pytester):
    pytester.makefile(".yaml", config="claims:\n  - a\n", other="a: 1")
    pytester.makepyfile("def test_it(): pass")
    found = pytester.runpytest_subprocess("-v")
    found.assert_outcomes(passed=1)
    assert "config.yaml" not in found.stdout.str()
    assert "verdicts" not in found.stdout.str()


def test_a_spec_is_recognised_by_its_folder_or_when_it_is_given(pytester, evals):
    (evals / "small.yaml").write_text(SPEC)
    silent = pytester.runpytest_subprocess("--collect-only", "-q")
    assert "moved" not in silent.stdout.str()
    given = pytester.runpytest_subprocess("--collect-only", "-q", "evals/small.yaml")
    given.stdout.fnmatch_lines(["evals/small.yaml::moved"])
    pytester.makeini("[pytest]\nharness_evals = evals")
    named = pytester.runpytest_subprocess("--collect-only", "-q")
    named.stdout.fnmatch_lines(["evals/small.yaml::moved"])


def test_what_cannot_run_fails_with_one_line(pytester, evals):
    found = pytester.runpytest_subprocess("evals", "--harness-target=gemma-2-2b")
    found.assert_outcomes(failed=2)
    found.stdout.fnmatch_lines(["*'gemma-2-2b' is not among the targets of small*"])
    assert "Traceback" not in found.stdout.str()


def test_a_claim_on_random_saes_is_skipped_and_never_passes(pytester, evals):
    path = evals / "small.yaml"
    path.write_text(
        path.read_text().replace("{layers: [3]}", "{layers: [3], sae: mock:orthogonal}")
    )
    found = pytester.runpytest_subprocess("-rs", "evals/small.yaml::moved")
    found.assert_outcomes(skipped=1)
    found.stdout.fnmatch_lines(["*supported with random SAEs, which is no evidence*"])
