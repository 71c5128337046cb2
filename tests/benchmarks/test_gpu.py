"""The benchmark of a GPU, where there is none: what it would do there, on other devices."""

import subprocess
import sys

import pytest

from benchmarks import gpu
from harness.paths import bundled
from tests.benchmarks.conftest import read_figure
from tests.helpers import ROOT

# inference mode is not for tensors of a device in Python; without gradients they are the same.
SLICE = """
import torch
torch.inference_mode = torch.no_grad
from benchmarks import pretend_device
from benchmarks.place import choose
choose(pretend_device.NAME)
from benchmarks.intervention_jobs import Size
from benchmarks.interventions import capture, organism, small
size = Size(layers=4, width=64, sae=256, prompts=8, ablated=4)
small(True, size), capture(True, size), organism(True, sets=2)
"""


def test_without_a_gpu_nothing_is_measured(monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("sys.argv", ["gpu"])
    assert gpu.main() == 0
    assert capsys.readouterr().out == "no CUDA device: nothing is measured\n"


def test_a_whole_eval_is_measured(figures, tmp_path, monkeypatch):
    """With a program in the place of nvidia-smi that says 40 and 60 %."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nprintf '40\\n60\\n[N/A]\\n'\nexec sleep 600\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    gpu.whole_eval(bundled("evals", "pilot.yaml"), "organism", "cpu")
    shown = figures()
    assert shown["gpu: share of the time it is busy"]["value"] == pytest.approx(0.5)
    assert shown["gpu: whole eval"]["value"] > 0
    assert shown["gpu: waits a forward"]["value"] == 0


@pytest.mark.slow
def test_interventions_are_compared_on_another_device(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SLICE], capture_output=True, text=True, cwd=ROOT, timeout=900
    )
    assert done.returncode == 0, done.stderr[-3000:]
    shown = [read_figure(line) for line in done.stdout.splitlines() if line.startswith("{")]
    apart = [one for one in shown if "difference from" in one["figure"]]
    assert len(apart) >= 3
    assert all(one["holds"] for one in apart), apart
    # The bars of times are those of a processor; elsewhere ours need only be faster.
    assert {one["bar"] for one in shown if one["figure"].endswith("/ ours")} == {1.0}
