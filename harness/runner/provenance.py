"""What a run was made with: everything that could change a number of it."""

import hashlib
import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from harness.errors import CannotRun
from harness.models import hub_download as hub
from harness.models.arithmetic import accelerator, arithmetic
from harness.models.checksums import digest_of
from harness.models.hub_settings import COMMIT
from harness.models.model_files import ModelFiles, is_on_hub, model_files
from harness.models.waiting import waiting_for
from harness.paths import PACKAGE
from harness.runner.preparation import Prepared, RunRequest
from harness.specs.local_paths import local_path
from harness.specs.plan import Plan
from harness.specs.targets import Target

# Columns of `runs`, and what it means for the numbers where two runs differ in one.
REASONS = {
    "code_hash": "the harness's own code is another",
    "model_hash": "the model's weights are others",
    "model_revision": "the model's revision is another",
    "sae_hash": "the SAEs' weights are others",
    "dtype": "it computes in another dtype",
    "device": "another device sums in another order",
    "accelerator": "another driver or version of CUDA or cuDNN may choose other kernels",
    "arithmetic": "sums and products are made in another way",
    "torch_version": "another version of torch may choose other kernels",
    "transformers_version": "another version of transformers may compute otherwise",
    "attention": "attention is computed in another way",
    "threads": "sums are divided between another number of threads",
    "batch_size": "batches have another size, as where memory ran out in one of the runs",
    "padding_side": "rows are padded on the other side",
}
FOR_RUN = ("threads", "batch_size")  # of those: all that compute a run take what it has in its line


def run_facts(wanted: RunRequest, plan: Plan, machine: Mapping[str, Any]) -> dict[str, Any]:
    """What `runs` records of a run before it begins: all that could change a number, and more.

    `machine` is what `machine_facts` told where it is computed.
    """
    return {
        **machine,
        "spec_name": plan.spec.name,
        "spec_hash": plan.spec.hash,
        "spec": plan.spec.canonical(),
        "spec_path": str(wanted.spec_path.resolve()),
        "question": plan.spec.question,
        "target": plan.target.name,
        "origin": plan.target.origin,
        "prompts_path": str(wanted.prompts_path.resolve()),
        "prompts_hash": plan.prompts_hash,
        "sae": plan.target.sae if plan.layers else "none",
        "neuronpedia": [plan.target.neuronpedia(layer) for layer in plan.layers],
        "layers": list(plan.layers),
        "hook": plan.target.hook,
        "readout": plan.readout,
        "metric": plan.spec.metric,
        "variant_correct": plan.spec.variants.correct,
        "variant_misconception": plan.spec.variants.misconception,
        "alpha": plan.spec.contrast.alpha,
        "seed": plan.spec.split.seed,
    }


def machine_facts(prepared: Prepared, layers: Sequence[int]) -> dict[str, Any]:
    """What a process finds out of itself: software, device, and the weights, of SAEs those of `layers`."""
    source, files = prepared.resources.model_files, prepared.resources.sae_files
    target, model = prepared.target, prepared.resources.model
    revision, digest = _identity(source)
    with waiting_for("hashing the SAEs"):
        hashes = [digest_of(files[layer]) for layer in layers if layer in files]
    own = {name: one.facts for name, one in prepared.own.items()}
    return {
        **_software(),
        **model.facts,
        "arithmetic": arithmetic(model.device),
        "accelerator": accelerator(model.device),
        "model": source.name,
        "model_revision": revision,
        "model_hash": digest,
        "sae_revision": sae_commit(target, files),
        "sae_hash": _hash(target, hashes),
        "sae_files": [_named(target, path) for path in files.values()],
        "sae_hashes": hashes,
        "metrics": json.dumps(own) if own else None,
    }


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """Why numbers of a run would differ between two processes with these facts, in words; or nothing."""
    return "; ".join(
        f"{why} ({theirs[name]}, here {ours[name]})"
        for name, why in REASONS.items()
        if name not in FOR_RUN and ours.get(name) != theirs.get(name)
    )


def model_here(target: Target) -> tuple[str | None, str | None]:
    """The model's revision and hash as a run would record them, of what is on this machine.

    Both None where nothing here tells which files a run would take. Asks no network.
    """
    if is_on_hub(target):
        config = hub.cached(target.model, "config.json", target.revision)
        pinned = target.revision if re.fullmatch(COMMIT, target.revision) else None
        return (config and hub.commit_of(config)) or pinned, None
    try:
        return _identity(model_files(target))
    except (CannotRun, OSError):
        return None, None  # what is wrong with it, a run says


def _identity(source: ModelFiles) -> tuple[str | None, str | None]:
    """What tells a model's files: their commit in a repository, else a hash of the weights."""
    if hub.commit_of(source.folder):
        return source.revision, None
    stamps = tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in source.weights)
    return source.revision, _digest(stamps)


@lru_cache
def _digest(stamps: tuple[tuple[Path, int, int], ...]) -> str:
    """The hash of files that are as they were: of gigabytes it takes seconds, and each spec asks."""
    with waiting_for("hashing the model"):
        return digest_of(*(path for path, _, _ in stamps))


def sae_commit(target: Target, files: Mapping[int, Path]) -> str | None:
    """The commit that the SAEs were taken from; null for a folder."""
    commits = {hub.commit_of(path) for path in files.values()} - {None}
    if local_path(target.sae) or not files:
        return None
    return commits.pop() if len(commits) == 1 else target.sae_revision


def _hash(target: Target, hashes: list[str]) -> str:
    """One hash of all SAEs; of random ones, of what makes them."""
    made = [f"{target.sae} {target.width} {target.features}"] if target.mock else hashes
    return hashlib.sha256("".join(made).encode()).hexdigest()


def _named(target: Target, path: Path) -> str:
    """An SAE's path within its folder or repository."""
    folder = local_path(target.sae)
    if folder is not None:
        return path.relative_to(folder).as_posix()
    parts = path.parts
    return "/".join(parts[parts.index("snapshots") + 2 :]) if "snapshots" in parts else str(path)


def _software() -> dict[str, object]:
    """What `runs` records of the software: versions, the commit, a hash of the package's own code."""
    commit, dirty = _git()
    return {
        "code_hash": digest_of(*sorted(PACKAGE.rglob("*.py"))),
        "git_commit": commit,
        "git_dirty": dirty,
        "harness_version": _version("misconception-harness"),
        "python_version": platform.python_version(),
        "torch_version": torch.__version__,
        "numpy_version": _version("numpy"),
        "scipy_version": _version("scipy"),
        "duckdb_version": _version("duckdb"),
        "platform": platform.platform(),
    }


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"


def _git() -> tuple[str | None, bool | None]:
    """The commit of the checkout that the package runs from, and whether it was changed since."""
    if not (PACKAGE.parent / ".git").exists():
        return None, None

    def git(*arguments: str) -> str:
        environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
        return subprocess.run(
            ["git", "-C", str(PACKAGE.parent), *arguments],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain"))
    except (OSError, subprocess.CalledProcessError):
        return None, None
