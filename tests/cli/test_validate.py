"""`harness validate`: its table, its JSON and its exit status."""

import json

from tests.helpers.cli import invoke


def test_what_holds_is_a_table_and_status_0():
    said = invoke("validate", "organism", "--layers", "3", "--device", "cpu")
    assert said.exit_code == 0, said.output
    lines = said.stdout.splitlines()
    assert lines[0] == "organism: fixtures/organism, float32 on cpu"
    assert lines[-1] == "All checks hold."
    assert [line.split()[0] for line in lines[1:-1] if not line.startswith("    ")].count(
        "ok"
    ) >= 15
    assert any(line.startswith("  ok layer 3: misfit") for line in lines)


def test_what_does_not_hold_is_status_3(root):
    sae = root / "fixtures/organism/sae/layer_1/width_1k/average_l0_38/params.npz"
    call = ("validate", "organism", sae, "--layers", "4", "--device", "cpu")
    said = invoke(*call)
    assert said.exit_code == 3
    assert "no layer 4: misfit" in said.stdout
    assert "wrong layer: it fits the output of block 1" in " ".join(said.stdout.split())
    assert "do not hold" in said.stdout.splitlines()[-1]
    told = invoke(*call, "--json")
    assert told.exit_code == 3
    found = json.loads(told.stdout)
    assert found["holds"] is False
    (check,) = [one for one in found["checks"] if one["name"] == "misfit"]
    assert (check["holds"], check["layer"]) == (False, 4)
    assert {"name", "holds", "found", "expected", "layer", "value", "bound"} == set(check)


def test_prompts_of_a_file_are_taken(tmp_path):
    said = invoke(
        "validate", "mock", "--layers", "1", "--prompts", "data/kinematics.jsonl", "--device", "cpu"
    )
    assert said.exit_code == 0, said.output
    said = invoke("validate", "mock", "--prompts", tmp_path / "none.jsonl", "--device", "cpu")
    assert said.exit_code == 2
    assert "there is no such prompt file" in said.output


def test_doctor_offers_it(tmp_path, monkeypatch, root):
    assert (
        "  harness validate organism  " in invoke("doctor", "voices", "--target", "organism").stdout
    )
    spec = (root / "evals" / "voices.yaml").read_text()
    own = f"  mine: {{model: {root}/fixtures/organism, sae: {root}/fixtures/organism/sae}}\n"
    monkeypatch.setenv("HARNESS_FOLDERS", str(root))
    (tmp_path / "own.yaml").write_text(spec.replace("targets:\n", f"targets:\n{own}"))
    path = str(tmp_path / "own.yaml")
    found = json.loads(invoke("doctor", path, "--target", "mine", "--json").stdout)
    assert found["runs"][0]["validate"] == f"harness validate mine --spec {path}"
    said = invoke("validate", "mine", "--spec", path, "--layers", "1", "--device", "cpu")
    assert said.exit_code == 0, said.output
