"""Commands with --json: nothing but JSON on standard output."""

import json

from tests.helpers.cli import invoke


def test_check_targets_and_doctor_as_json(tmp_path):
    """Nothing but JSON on standard output, also where something is wrong."""
    (tmp_path / "a.yaml").write_text("nam: x\n")
    found = invoke("check", "voices", tmp_path / "a.yaml", "--json")
    told = json.loads(found.stdout)
    assert found.exit_code == 2
    assert not told["right"]
    assert [one["right"] for one in told["specs"]] == [True, False]
    assert told["specs"][0]["confirmation"] == 48
    assert told["specs"][1]["faults"][0]["where"] == f"{tmp_path / 'a.yaml'}:1:1"
    assert "error: " in found.stderr
    targets = {one["name"]: one for one in json.loads(invoke("targets", "--json").stdout)}
    assert targets["organism"]["missing"] == []
    assert targets["gemma-2-2b"]["layers"] == [0, 6, 12, 18, 24]
    told = json.loads(invoke("doctor", "pilot", "--target", "organism", "--json").stdout)
    assert told["runs"][0]["can_run"]
    assert {need["what"] for need in told["runs"][0]["needs"]} == {
        "files",
        "here",
        "memory",
        "observe",
        "generate",
        "survey",
        "trace",
        "output scores",
        "time",
    }
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
