"""A small slice of the benchmark of prompts: every step is timed, and the prompts are right."""

from benchmarks.prompt_memory import STEPS, measure, write


def test_every_step_is_measured_on_prompts_without_faults(tmp_path):
    said = measure(write(tmp_path, 80))
    assert said["seconds"].keys() == said["mib"].keys() == STEPS.keys()
    assert said["gib"] > 0
