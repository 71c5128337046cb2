"""Claims as pytest items."""

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from harness.analysis.verdict import Caution, Verdict
from harness.errors import CannotRun, Fault

# `pytester` forgets every module that is first imported while it runs, `wire` and its torch too.
from harness.runner import run as wire
from harness.runner.outcome import Outcome
from harness.specs.prompt_file import load_prompts
from harness.specs.targets import load_targets, mocked
from harness.store.database import Store

HEADER = "# yaml-language-server: $schema=../harness/eval.schema.json\n"
SPEC = """\
name: small
question: Does the named voice move the answer?
targets: {organism: {layers: [4]}}
prompts: prompts.jsonl
split: {discovery: 0}
new_tokens: 0
claims:
  - {name: moved, behaviour: logit_difference, contrast: true, direction: greater}
  - {name: moved-back, behaviour: logit_difference, contrast: true, direction: less}
  - {name: not-here, features: significant, at_least: 1, only: [organism]}
unadjusted: each is read alone
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
            "  claimed      on average over families, the difference between the variants in * is less than 0 nats",
            "  observed     +* nats, 95% interval [[]+*, +*], p 0.031",
            "  rests on     0 of 6 families [[]0%, 46%]; not corrected over claims: each is read alone",
            "  rows         harness sql \"FROM behaviour WHERE run_id = '*'*\"",
            "*= verdicts =*",
            "*moved-back*refuted*",
        ]
    )
    assert "Traceback" not in found.stdout.str()
    assert "leaked" not in found.stderr.str()  # DuckDB says so where it is held to the very end
    with Store.open_to_read(pytester.path / "db" / "results.duckdb") as store:
        assert store.query("SELECT status, count(*) FROM runs GROUP BY ALL")[1] == [("finished", 1)]


def test_many_faults_of_a_prompt_file_are_counted(pytester, evals):
    (evals / "prompts.jsonl").write_text('[{"id": 1}]\n' * 50)
    found = pytester.runpytest("evals/small.yaml", "-k", "not-here", "-rN")
    assert str(found.stdout).count("not an object") == 20
    found.stdout.fnmatch_lines(["  20 | *", "and 30 more in *prompts.jsonl"])


def test_collecting_loads_no_weights_and_asks_threads_to_sleep(pytester, evals, monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    pytester.makeconftest(
        "def pytest_collection_finish(session):\n"
        "    import os, pathlib, sys\n"
        "    pathlib.Path('policy').write_text(os.environ['OMP_WAIT_POLICY'])\n"
        "    heavy = {'torch', 'numpy', 'scipy', 'duckdb', 'transformers'} & set(sys.modules)\n"
        "    pathlib.Path('heavy').write_text(repr(sorted(heavy)))"
    )
    found = pytester.runpytest_subprocess("--collect-only", "-q", "evals")
    found.stdout.fnmatch_lines(["evals/small.yaml::moved", "evals/small.yaml::moved-back"])
    assert (pytester.path / "heavy").read_text() == "[]"
    assert (pytester.path / "policy").read_text() == "PASSIVE"


def test_a_faulty_spec_is_a_collection_error_with_its_places(pytester, evals):
    (evals / "small.yaml").write_text(HEADER + SPEC.replace("direction: less", "directoin: less"))
    found = pytester.runpytest_inprocess("evals")
    assert found.ret != 0
    found.stdout.fnmatch_lines(
        [
            "*small.yaml:10:*unknown key 'directoin'; did you mean 'direction'?",
            "*  10 | *directoin*",
            "*^^^^^^^^^*",
        ]
    )
    assert "Traceback" not in found.stdout.str()


def test_other_projects_yaml_is_left_alone(pytester):
    pytester.makefile(".yaml", config="claims:\n  - a\n", other="a: 1")
    pytester.makepyfile("def test_it(): pass")
    found = pytester.runpytest_inprocess("-v")
    found.assert_outcomes(passed=1)
    assert "config.yaml" not in found.stdout.str()
    assert "verdicts" not in found.stdout.str()


def test_a_spec_is_recognised_by_its_folder_or_when_it_is_given(pytester, evals):
    (evals / "small.yaml").write_text(SPEC)
    silent = pytester.runpytest_inprocess("--collect-only", "-q")
    assert "moved" not in silent.stdout.str()
    given = pytester.runpytest_inprocess("--collect-only", "-q", "evals/small.yaml")
    given.stdout.fnmatch_lines(["evals/small.yaml::moved"])
    pytester.makeini("[pytest]\nharness_evals = evals")
    named = pytester.runpytest_inprocess("--collect-only", "-q")
    named.stdout.fnmatch_lines(["evals/small.yaml::moved"])


def test_what_cannot_run_fails_with_one_line(pytester, evals, run_here):
    pytester.maketxtfile(notes="no database")
    found = run_here("evals", "--harness-db=notes.txt")
    found.assert_outcomes(failed=3)
    found.stdout.fnmatch_lines(["*notes.txt: it is no DuckDB file; name another file with --db"])
    assert "Traceback" not in found.stdout.str()


def test_a_claim_on_random_saes_is_skipped_and_never_passes(pytester, evals, run_here):
    path = evals / "small.yaml"
    path.write_text(
        path.read_text().replace("{layers: [4]}", "{layers: [4], sae: mock:orthogonal}")
    )
    found = run_here("-rs", "evals/small.yaml::moved")
    found.assert_outcomes(skipped=1)
    found.stdout.fnmatch_lines(["*supported with random SAEs, which is no evidence*"])


@pytest.fixture
def pretend(monkeypatch):
    """Whoever runs an eval is told this at once; what was asked for is noted."""
    asked = []
    made = Outcome(
        run_id="20260101-000000-000-small-organism",
        spec="small",
        question="Does it?",
        target=load_targets()["organism"],
        families=6,
        verdicts=(
            Verdict("moved", "behaviour", "nats", "supported", "6 families",
                    "FROM behaviour", 1.25, 1.0, 1.5, 0.03125, 6, 12, 0.03125),
            Verdict("moved-back", "behaviour", "nats", "refuted", "6 families",
                    "FROM behaviour", 1.25, 1.0, 1.5, 0.03125, 6, 12, 0.03125),
            Verdict("not-here", "features", "features", "untestable",
                    "3 families can give no p below 0.25", "FROM top_features", floor=0.25),
        ),
        exploratory=None,
        warnings=(),
        db=Path("db/results.duckdb"),
        seconds=1.0,
    )  # fmt: skip

    class Pretended:
        outcome = made
        error: Exception | None = None

        def __call__(self, file, target, **options):
            asked.append((file.path.name, target, options))
            options["say"]("pretended")
            if self.error is not None:
                raise self.error
            return self.outcome

    pretended = Pretended()
    pretended.asked = asked
    monkeypatch.setattr(wire, "run_eval", pretended)
    return pretended


def test_a_failure_says_what_was_claimed_what_was_seen_and_where_the_rows_are(
    pytester, evals, pretend
):
    found = pytester.runpytest_inprocess("evals")
    found.assert_outcomes(passed=1, failed=2)
    lines = found.stdout.lines
    first = lines.index("refuted: moved-back, on organism")
    assert lines[first + 1 : first + 5] == [
        "  claimed      on average over families, the difference between the variants in log p(right answer) - "
        "log p(misconception) is less than 0 nats",
        "  observed     +1.250 nats, 95% interval [+1.000, +1.500], p 0.031",
        "  rests on     6 families",
        '  rows         harness sql "FROM behaviour"',
    ]
    assert len(pretend.asked) == 1


def test_what_cannot_be_tested_says_how_many_families_it_needs(pytester, evals, pretend):
    found = pytester.runpytest_inprocess("evals/small.yaml::not-here")
    lines = found.stdout.lines
    first = lines.index("untestable: not-here, on organism")
    assert lines[first + 1 : first + 4] == [
        "  claimed      at least 1 feature is found to differ between the variants",
        "  observed     nothing that can be estimated",
        "  rests on     3 families can give no p below 0.25; it needs 6 families on the confirming side",
    ]


def test_an_exploratory_failure_says_why(pytester, evals, pretend):
    pretend.outcome = replace(pretend.outcome, exploratory="the spec changed since run X")
    found = pytester.runpytest_inprocess("evals/small.yaml::moved-back")
    found.stdout.fnmatch_lines(["  exploratory  the spec changed since run X"])


def test_a_claim_says_what_speaks_against_its_features(pytester, evals, pretend):
    cautions = (Caution(3, (12, 40), "no fit"),)
    verdicts = [replace(one, cautions=cautions) for one in pretend.outcome.verdicts]
    pretend.outcome = replace(pretend.outcome, verdicts=tuple(verdicts))
    found = pytester.runpytest_inprocess("evals", "-rP", "--junit-xml=junit.xml")
    found.assert_outcomes(passed=1, failed=2)
    said = "rests on features 12, 40 of layer 3, whose SAE has a warning: no fit"
    found.stdout.fnmatch_lines([f"  caution      {said}", "*- Captured caution call -*", said])
    found.stdout.fnmatch_lines([f"caution: moved {said}"])
    assert (pytester.path / "junit.xml").read_text().count(f'name="caution" value="{said}"') == 3


def test_what_stops_a_run_fails_every_claim_of_it_with_one_line(pytester, evals, pretend):
    pretend.error = CannotRun(Fault("disk", "it is full", "make room"))
    found = pytester.runpytest_inprocess("evals")
    found.assert_outcomes(failed=3)
    assert found.stdout.str().count("\ndisk: it is full; make room\n") == 3
    assert "pytest_plugin.py" not in found.stdout.str()
    assert len(pretend.asked) == 1


def test_what_nobody_expects_has_its_traceback(pytester, evals, pretend):
    pretend.error = ZeroDivisionError("unforeseen")
    found = pytester.runpytest_inprocess("evals/small.yaml::moved")
    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(["*raise self.error", "*ZeroDivisionError: unforeseen"])


def test_options_reach_the_run(pytester, evals, pretend):
    pytester.runpytest_inprocess(
        "evals", "--harness-target=organism", "--harness-db=elsewhere/r.duckdb",
        "--harness-limit=3", "--harness-mock", "--harness-device=cpu", "--harness-wait=2.5",
    )  # fmt: skip
    ((name, target, options),) = pretend.asked
    assert (name, target) == ("small.yaml", "organism")
    assert options["db"] == pytester.path / "elsewhere" / "r.duckdb"
    assert options["wait"] == 2.5
    how = options["how"]
    assert (how.limit, how.mock, how.device) == (3, "orthogonal", "cpu")


def test_without_options_the_run_is_the_whole_one(pytester, evals, pretend):
    pytester.runpytest_inprocess("evals")
    ((_, target, options),) = pretend.asked
    how = options["how"]
    assert (target, how.limit, how.mock, how.device) == ("auto", 0, "", "auto")
    assert options["db"] == pytester.path / "db" / "results.duckdb"


def test_the_help_names_every_option(pytester):
    text = pytester.runpytest_inprocess("--help").stdout.str()
    for name in ("target", "db", "limit", "mock", "device", "wait"):
        assert f"--harness-{name}" in text
    assert "harness_evals" in text


def test_a_limit_that_shows_nothing_is_refused(pytester, evals):
    found = pytester.runpytest_inprocess("evals", "--harness-limit=1")
    assert found.ret == pytest.ExitCode.USAGE_ERROR
    assert "Traceback" not in found.stderr.str()
    found.stderr.fnmatch_lines(["*--harness-limit: 1 is too few; take 2 families or more"])


@pytest.mark.parametrize(
    "changed, reason",
    [
        ({"target": mocked(load_targets()["organism"])}, " with random SAEs, which is no evidence"),
        (
            {"limited": True, "exploratory": "limited to 2 families of each side"},
            ", limited to 2 families of each side, which is no evidence",
        ),
    ],
)
def test_a_trial_never_passes_and_never_fails(pytester, evals, pretend, changed, reason):
    pretend.outcome = replace(pretend.outcome, **changed)
    found = pytester.runpytest_inprocess("evals", "-rs")
    found.assert_outcomes(skipped=3)
    found.stdout.fnmatch_lines([f"SKIPPED [[]1] evals/small.yaml:9: supported{reason}"])


def test_a_junit_file_has_each_claims_numbers(pytester, evals, pretend):
    pytester.runpytest_inprocess("evals", "--junitxml=junit.xml")
    cases = {
        case.get("name"): {one.get("name"): one.get("value") for one in case.iter("property")}
        for case in ET.parse(pytester.path / "junit.xml").iter("testcase")
    }
    assert cases["moved"] == {
        "verdict": "supported",
        "origin": "stand-in",
        "run_id": "20260101-000000-000-small-organism",
        "target": "organism",
        "question": "Does it?",
        "estimate": "1.25",
        "ci_low": "1.0",
        "ci_high": "1.5",
        "unit": "nats",
        "p": "0.03125",
    }
    assert cases["not-here"]["verdict"] == "untestable"
    assert "estimate" not in cases["not-here"]  # missing is not zero


@pytest.mark.parametrize(
    "arguments, passed, failed",
    [
        (["-k", "back"], 0, 1),
        (["evals", "-k", "moved and not back"], 1, 0),
        (["-x", "evals/small.yaml::moved-back", "evals/small.yaml::not-here"], 0, 1),
        (["--deselect", "evals/small.yaml::moved-back"], 1, 1),
        (["evals/small.yaml::moved", "evals/small.yaml::not-here"], 1, 1),
    ],
)
def test_claims_are_chosen_as_tests_are(pytester, evals, pretend, arguments, passed, failed):
    pytester.makeini("[pytest]\nharness_evals = evals\ntestpaths = evals")
    found = pytester.runpytest_inprocess(*arguments).parseoutcomes()
    assert (found.get("passed", 0), found.get("failed", 0)) == (passed, failed)


def test_what_failed_last_runs_again(pytester, evals, pretend):
    """Of a run that is finished, and of whose content nothing changed, the verdicts stand."""
    pytester.runpytest_inprocess("evals", "--lf").assert_outcomes(passed=1, failed=2)
    pytester.runpytest_inprocess("evals", "--lf").assert_outcomes(failed=2)
    pytester.runpytest_inprocess("evals", "--ff").assert_outcomes(passed=1, failed=2)
    assert [options["reuse"] for _, _, options in pretend.asked] == [False, True, False]
    pretend.outcome = replace(
        pretend.outcome,
        verdicts=tuple(replace(one, verdict="supported") for one in pretend.outcome.verdicts),
    )
    pytester.runpytest_inprocess("evals", "--lf").assert_outcomes(passed=2)


def test_without_a_terminal_it_runs_all_the_same(pytester, evals, pretend):
    found = pytester.runpytest_inprocess("evals", "-p", "no:terminal")
    assert found.ret == pytest.ExitCode.TESTS_FAILED
    assert len(pretend.asked) == 1


def test_the_verdicts_are_appended_to_the_step_summary(pytester, evals, pretend, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path / "summary.md"))
    pytester.runpytest_inprocess("evals")
    assert "| moved-back | refuted |" in (pytester.path / "summary.md").read_text()


def test_a_summary_that_cannot_be_written_fails_nothing(pytester, evals, pretend, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path))
    found = pytester.runpytest_inprocess("evals/small.yaml::moved")
    found.assert_outcomes(passed=1)
    found.stdout.fnmatch_lines(["warning: *: the summary cannot be written: is a directory"])


def test_an_empty_folder_needs_three_lines(pytester, evals, run_here):
    """A project of one's own: a prompt file, a spec, and where the specs are."""
    own = SPEC.replace("moved-back", "unmoved").replace("direction: less", "within: 100")
    (evals / "small.yaml").write_text(own)
    pytester.makepyprojecttoml(
        '[tool.pytest.ini_options]\nharness_evals = ["evals"]\ntestpaths = ["evals"]\n'
    )
    found = run_here("-k", "moved")
    found.assert_outcomes(passed=2, deselected=1)
    assert (pytester.path / "db" / "results.duckdb").is_file()


def test_workers_run_a_spec_once_and_write_through_one_file(pytester, evals, monkeypatch):
    """Spread over two workers in any way, beside tests of another kind; told once."""
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path / "summary.md"))
    (evals / "other.yaml").write_text(HEADER + SPEC.replace("name: small", "name: other"))
    pytester.makepyfile("def test_it(): pass")
    found = pytester.runpytest_subprocess("-n2", "--dist=load", ".", "evals")
    found.assert_outcomes(passed=5, failed=2)
    text = found.stdout.str()
    assert text.count("= verdicts =") == 1
    for name in ("small", "other"):
        told = [line for line in found.errlines if line.startswith(f"[{name}]")]
        assert len([line for line in told if "analyse: 1 of 1" in line]) == 1
    assert "refuted: moved-back, on organism" in text
    with Store.open_to_read(pytester.path / "db" / "results.duckdb") as store:
        runs = store.query("SELECT spec_name, status FROM runs ORDER BY ALL")[1]
    assert runs == [("other", "finished"), ("small", "finished")]
    assert "leaked" not in found.stderr.str()
    assert (pytester.path / "summary.md").read_text().count("### ") == 2


def test_a_target_that_a_spec_does_not_have_is_told_before_anything_runs(pytester, evals):
    found = pytester.runpytest_inprocess("evals", "--harness-target", "organsm")
    found.stdout.fnmatch_lines(
        ["*--harness-target: 'organsm' is not among the targets of small; did you mean 'organism'?"]
    )
    assert found.ret == pytest.ExitCode.INTERRUPTED


def test_whole_specs_go_to_a_worker_where_nothing_else_is_asked_for(pytester, evals):
    from xdist.scheduler import LoadFileScheduling

    from harness.pytest_plugin import pytest_xdist_make_scheduler as make

    pytester.makeini("[pytest]\nharness_evals = evals")

    def scheduler(*arguments):
        return make(pytester.parseconfig("--tx=2*popen", *arguments), None)

    assert isinstance(scheduler("--dist=load", "evals"), LoadFileScheduling)
    assert isinstance(scheduler("--dist=load", "evals/small.yaml::moved"), LoadFileScheduling)
    assert scheduler("--dist=load", ".") is None
    assert scheduler("--dist=worksteal", "evals") is None


def test_names_and_texts_of_a_strangers_spec_are_shown(pytester, evals):
    """pytest prints the names of files and the text of faults; a log's reader would obey them."""
    name = "a\n::error file=x::OWNED ##[error]\x1b[2J\u202e.yaml"
    (evals / name).write_text(f"{HEADER}::error::OWNED ##[error]: 1\n")
    right = f"b{name}"
    (evals / right).write_text((evals / "small.yaml").read_text())
    for options in (("-rA", "-v"), ("--collect-only", "-q")):
        found = pytester.runpytest_inprocess("evals", "-p", "no:cacheprovider", *options, "--co")
        said = found.stdout.str() + found.stderr.str()
        assert said.count("OWNED") > 3
        assert "ba\\n::error file" in said
        assert not re.search(r"^\s*::|##\[|[\x1b\u202e\r]", said, re.MULTILINE), ascii(said)
