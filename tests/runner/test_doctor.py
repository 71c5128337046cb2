"""What the doctor says of this machine, and of what a run would need."""

import re
from dataclasses import replace

import pytest

from harness.runner.doctor import machine, requirements
from harness.specs.spec_file import load
from tests.helpers.cli import invoke

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
        ("memory", "harness.runner.estimate.free_memory"),
    ],
)
def test_too_little_room_stops_a_run(monkeypatch, what, name):
    monkeypatch.setattr("harness.models.hub_download.cached", lambda *_: None)
    monkeypatch.setattr(name, lambda _: 3 * GB)
    assert needs(load("voices").plan("gemma-2-2b"))[what].stops
    monkeypatch.setattr(name, lambda _: 30 * GB)
    assert not needs(load("voices").plan("gemma-2-2b"))[what].stops


def test_memory_and_time_are_told_stage_by_stage():
    plan = load("voices").plan("gemma-2-2b")
    found = needs(plan)
    for stage in ("observe", "generate", "survey", "ablate top", "trace"):
        assert re.match(r"[\d.]+ [MG]B, [\d,]+ tokens in [\d,]+ forwards$", found[stage].needed)
        assert found[stage].mark == "--"
    assert "model 5.2 GB in bfloat16, SAEs 1.5 GB" in found["memory"].needed
    assert re.search("loading .*, forwards .*, launches ", found["time"].needed)
    assert re.search("GFLOP/s, .* us a launch, .* GB/s", found["time"].there)


def test_what_fits_with_fewer_rows_can_run(monkeypatch):
    """A run whose memory runs out goes on with fewer rows: what stops it is what one row takes."""
    plan = load("voices").plan("gemma-2-2b")
    told = {}
    for free in (30, 8, 7):
        monkeypatch.setattr("harness.runner.estimate.free_memory", lambda _, free=free: free * GB)
        told[free] = needs(plan)["memory"]
    assert "with a row at a time" not in told[30].needed
    assert "with a row at a time" in told[8].needed
    assert [one.stops for one in told.values()] == [False, False, True]


def test_random_saes_leave_a_model_to_be_estimated():
    plan = load("voices").plan("gemma-2-2b", "orthogonal")
    assert "model 5.2 GB" in needs(plan)["memory"].needed


def test_a_model_of_which_nothing_is_known_is_not_estimated(tmp_path):
    plan = load("pilot").plan("gemma-2-2b")
    nameless = replace(plan.target, architecture={"model_type": "gemma99"})
    found = needs(replace(plan, target=nameless))
    assert found["time"].needed == "not estimated"
    assert "not known here" in found["time"].there
    assert not found["memory"].stops


def test_the_command_says_it_and_its_status_tells(monkeypatch):
    fine = invoke("doctor", "pilot", "--target", "organism")
    assert fine.exit_code == 0, fine.output
    assert "pilot on organism, layers 0, 1, 2, 3, 4, 5" in fine.output
    assert "harness run pilot --target organism" in fine.output
    monkeypatch.setattr("harness.models.hub_settings.has_token", lambda: False)
    monkeypatch.setattr("harness.models.hub_download.cached", lambda *_: None)
    stopped = invoke("doctor", "pilot", "--target", "gemma-2-2b")
    assert stopped.exit_code == 3
    assert "It cannot run here like this." in stopped.output
    assert invoke("doctor", "pilto").exit_code == 2
