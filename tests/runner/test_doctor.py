"""What the doctor says of this machine, and of what a run would need."""

import pytest
from click.testing import CliRunner

from harness.cli import main
from harness.runner.doctor import forward_tokens, machine, requirements
from harness.specs.spec_file import load

GB = 10**9


def needs(plan):
    return {one.what: one for one in requirements(plan, "cpu")}


def test_it_says_what_the_machine_has():
    found = dict(machine())
    assert "torch" in found["packages"]
    assert "GB of memory free" in found["processor"]
    assert found["cuda" if "cuda" in found else "cuda:0"]
    assert "free" in found["downloads"]


def test_the_organism_needs_nothing_but_what_is_here():
    assert not any(one.stops for one in needs(load("voices").plan("organism")).values())


def test_a_gated_model_without_a_token_stops_a_run(monkeypatch):
    monkeypatch.setattr("harness.models.hub_settings.has_token", lambda: False)
    monkeypatch.setattr("harness.models.hub_download.cached", lambda *_: None)
    monkeypatch.setattr("harness.models.hub_settings.free_bytes", lambda folder: 100 * GB)
    found = needs(load("voices").plan("gemma-2-2b"))
    assert found["token"].stops
    assert "hf auth login" in found["token"].remedy
    assert found["download"].needed == "12.0 GB in 6 files"
    assert not found["download"].stops
    monkeypatch.setattr("harness.models.hub_settings.has_token", lambda: True)
    assert "token" not in needs(load("voices").plan("gemma-2-2b"))


@pytest.mark.parametrize(
    "what, name",
    [
        ("download", "harness.models.hub_settings.free_bytes"),
        ("memory", "harness.runner.doctor.free_memory"),
    ],
)
def test_too_little_room_stops_a_run(monkeypatch, what, name):
    monkeypatch.setattr("harness.models.hub_download.cached", lambda *_: None)
    monkeypatch.setattr(name, lambda _: 3 * GB)
    assert needs(load("voices").plan("gemma-2-2b"))[what].stops
    monkeypatch.setattr(name, lambda _: 30 * GB)
    assert not needs(load("voices").plan("gemma-2-2b"))[what].stops


def test_tokens_are_counted_by_stage():
    plan = load("voices").plan("gemma-2-2b")
    tokens = forward_tokens(plan)
    assert tokens["generate"] - tokens["survey"] * 2 == pytest.approx(640 * 6, rel=0.2)
    assert tokens["ablate"] > tokens["observe"]
    assert forward_tokens(load("pilot").plan("gemma-3-270m"))["survey"] == 0


def test_the_command_says_it_and_its_status_tells(monkeypatch):
    fine = CliRunner().invoke(main, ["doctor", "pilot", "--target", "organism"])
    assert fine.exit_code == 0, fine.output
    assert "pilot on organism, layers 0, 1, 2, 3, 4, 5" in fine.output
    assert "harness run pilot --target organism" in fine.output
    monkeypatch.setattr("harness.models.hub_settings.has_token", lambda: False)
    monkeypatch.setattr("harness.models.hub_download.cached", lambda *_: None)
    stopped = CliRunner().invoke(main, ["doctor", "pilot", "--target", "gemma-2-2b"])
    assert stopped.exit_code == 3
    assert "It cannot run here like this." in stopped.output
    assert CliRunner().invoke(main, ["doctor", "pilto"]).exit_code == 2
