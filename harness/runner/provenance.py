"""Which software a run was made with."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version

import torch

from harness.hub import digest_of
from harness.places import PACKAGE


def provenance() -> dict[str, object]:
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
