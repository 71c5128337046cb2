"""Rows of a run itself: what it was made with, its units and its prompts."""

from dataclasses import dataclass
from typing import ClassVar

from harness.store.tables.columns import Column, Columns


@dataclass(frozen=True)
class Registrations(Columns):
    """A row is a spec on a target since it was put here; it belongs to no run.

    `seen` says which results on its confirming prompts were here before; null where none were.
    """

    table: ClassVar[str] = "registrations"
    spec_hash: Column
    target: Column
    origin: Column
    prompts_hash: Column
    spec_name: Column
    claims: Column
    registered_at: Column
    seen: Column
    model_revision: Column
    model_hash: Column
    confirming: Column


@dataclass(frozen=True)
class Runs(Columns):
    """A row is a run: what was run, where, with which versions, and how it ended."""

    table: ClassVar[str] = "runs"
    run_id: Column
    content: Column
    created_at: Column
    finished_at: Column
    status: Column
    spec_name: Column
    spec_hash: Column
    spec: Column
    spec_path: Column
    question: Column
    target: Column
    origin: Column
    exploratory: Column
    prompts_path: Column
    prompts_hash: Column
    model: Column
    model_revision: Column
    model_hash: Column
    sae: Column
    sae_revision: Column
    sae_hash: Column
    sae_files: Column
    sae_hashes: Column
    layers: Column
    readout: Column
    metric: Column
    alpha: Column
    seed: Column
    device: Column
    dtype: Column
    attention: Column
    padding_side: Column
    batch_size: Column
    code_hash: Column
    git_commit: Column
    git_dirty: Column
    harness_version: Column
    python_version: Column
    torch_version: Column
    transformers_version: Column
    numpy_version: Column
    scipy_version: Column
    duckdb_version: Column
    platform: Column
    wall_seconds: Column
    peak_memory: Column
    peak_device_memory: Column
    neuronpedia: Column
    threads: Column
    analysed_spec: Column
    noise_floor: Column
    arithmetic: Column
    accelerator: Column
    feature_sources: Column
    variant_correct: Column
    variant_misconception: Column
    metrics: Column
    hook: Column


@dataclass(frozen=True)
class Units(Columns):
    """A row is a unit of work that is done, in the ledger that a resumed run reads."""

    table: ClassVar[str] = "units"
    run_id: Column
    unit_id: Column
    stage: Column
    family: Column
    ablation: Column
    finished_at: Column
    seconds: Column


@dataclass(frozen=True)
class Prompts(Columns):
    """A row is a prompt of a run, and the side of the split that its family is on."""

    table: ClassVar[str] = "prompts"
    run_id: Column
    prompt_id: Column
    pair_id: Column
    family: Column
    label: Column
    split: Column
    prompt: Column
    answer: Column
    correct: Column
    misconception: Column
    line: Column
    baseline: Column
    variant: Column
    messages: Column
    further: Column


@dataclass(frozen=True)
class OtherPrompts(Columns):
    """A row is a prompt of another file than the run's own, on which side effects are looked for."""

    table: ClassVar[str] = "other_prompts"
    run_id: Column
    file: Column
    prompt_id: Column
    pair_id: Column
    family: Column
    label: Column
    prompt: Column
    answer: Column
    correct: Column
    misconception: Column
    line: Column
    tags: Column
    variant: Column
    messages: Column
    further: Column


@dataclass(frozen=True)
class PromptTags(Columns):
    """A row is one tag of a prompt."""

    table: ClassVar[str] = "prompt_tags"
    run_id: Column
    prompt_id: Column
    tag: Column
    value: Column
