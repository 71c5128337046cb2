"""Wrong calls: what is said, and with which status it ends."""

import re
import subprocess
import sys

import pytest

from tests.helpers.cli import invoke


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
def test_a_wrong_call_has_its_status_and_the_nearest_name(arguments, status, said, tmp_path):
    own = () if "--db" in arguments or arguments[0] != "run" else ("--db", tmp_path / "r.duckdb")
    found = invoke(*arguments, *own)
    assert found.exit_code == status, found.output
    assert said in found.output
    assert "Traceback" not in found.output


@pytest.mark.parametrize(
    "module", ["click", "harness.cli.cluster", "torch", "harness.models.language_model"]
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


@pytest.mark.parametrize(
    "call, status, said",
    [
        ("chekc x", 2, "error: harness: there is no command 'chekc'; did you mean 'check'?\n"
                       "see harness --help\n"),
        ("check", 2, "error: harness check: SPECS is missing; add it\nsee harness check --help\n"),
        ("check voicse", 2, "error: voicse: there is no such spec; did you mean 'voices'?\n"),
        ("plan voices --targt organism", 2,
         "error: harness plan: there is no option '--targt'; did you mean '--target'?\n"
         "see harness plan --help\n"),
        ("plan voices --bogus", 2,
         "error: harness plan: there is no option '--bogus'; leave it out\nsee harness plan --help\n"),
        ("plan voices more", 2,
         "error: harness plan: got unexpected extra argument (more); leave it out, or quote what belongs "
         "together\nsee harness plan --help\n"),
        ("plan voices --target", 2,
         "error: harness plan --target: it has no value; write one after it\nsee harness plan --help\n"),
        ("plan voices --target gemma-2-b", 2,
         "error: VOICES: 'gemma-2-b' is not among the targets of voices; did you mean 'gemma-2-2b'?\n"),
        ("sql x --format jsno", 2,
         "error: harness sql --format: there is no 'jsno'; did you mean 'json'?\nsee harness sql --help\n"),
        ("sql top_featurs", 2,
         "error: top_featurs: there is no such saved query; did you mean 'top_features'?\n"),
        ("run voices --workers 0", 2,
         "error: harness run --workers: 0 is not allowed; write a whole number of at least 1\n"
         "see harness run --help\n"),
        ("extract --layers_to_hook a,b", 2,
         "error: harness extract --layers_to_hook: 'a,b' is no list of numbers; write them with commas "
         "between: 0,6,12\nsee harness extract --help\n"),
        ("schema evla", 2,
         "error: harness schema NAME: there is no 'evla'; did you mean 'eval'?\n"
         "see harness schema --help\n"),
        ("show --db none.duckdb", 3,
         "error: none.duckdb: there are no results yet; run `harness run voices` first\n"),
    ],
)  # fmt: skip
def test_a_wrong_call_is_answered_word_for_word(root, call, status, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = invoke(*call.split())
    voices = str(root / "evals" / "voices.yaml")
    assert (found.exit_code, found.stdout) == (status, "")
    assert found.stderr == said.replace("VOICES", voices)


LONG = "n" * 256


@pytest.mark.parametrize(
    "call",
    [
        f"check {LONG}",
        f"plan {LONG}*",
        f"doctor {'n/' * 2500}",
        f"run voices --db {LONG}",
        f"sql answers --db {LONG}/results.duckdb --snapshot",
        f"new Why? --target organism --prompts data/voices.jsonl --name n --output {LONG}/n.yaml",
        f"import {LONG}",
        f"diff --run_dir_a {LONG}",
        f"prompts --model_name {LONG}",
    ],
)
def test_a_name_that_no_file_can_have_is_said_to_be_too_long(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = invoke(*call.split())
    assert found.exit_code == 2
    assert found.stderr.endswith(": no file can have so long a name; write a shorter one\n")


@pytest.mark.parametrize(
    "call, said",
    [
        ("run nothing --workers 1_0", "--workers: '1_0' is not allowed; write a whole number of at least 1"),
        ("run nothing --limit 03", "--limit: '03' is not allowed; write a whole number of at least 2"),
        ("run nothing --wait nan", "--wait: 'nan' is not allowed; write a number of at least 0"),
        ("ablate --model_name n --layer 0x1 --feature_id 1", "--layer: '0x1' is not allowed; write a whole number"),
        ("extract --model_name n --layers_to_hook 1,1_2", "--layers_to_hook: '1,1_2' is no list of numbers"),
        (f"prompts --model_name n --seed {10**18}", f"--seed: '{10**18}' is not allowed; write a whole number"),
    ],
)  # fmt: skip
def test_an_options_number_is_written_in_plain_digits(call, said):
    found = invoke(*call.split())
    assert found.exit_code == 2
    assert said in found.stderr
