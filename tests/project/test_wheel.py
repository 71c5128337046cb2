"""The built wheel works from any directory: specs, prompts, SQL and the organism travel in it."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile


def run(*call, **options):
    return subprocess.run(
        [sys.executable, *map(str, call)], capture_output=True, text=True, **options
    )


def test_the_wheel_runs_an_eval_from_an_empty_directory(root, tmp_path):
    built = run("-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "dist", cwd=root)
    assert built.returncode == 0, built.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    assert not (site / "fixtures").exists()
    assert (site / "harness" / "py.typed").exists()
    here = tmp_path / "empty"
    here.mkdir()
    environment = os.environ | {"PYTHONPATH": str(site)}
    call = ("-c", "from harness.cli import main; import harness; print(harness.__file__); main()")
    found = run(*call, "run", "pilot", "--target", "organism", cwd=here, env=environment)
    assert found.stdout.startswith(str(site)), found.stdout + found.stderr
    assert found.returncode == 0, found.stdout + found.stderr
    assert "answers-right" in found.stdout
    assert (here / "db" / "results.duckdb").exists()
    specs = [spec.stem for spec in (root / "evals").glob("*.yaml")]
    right = run(*call, "check", *specs, cwd=here, env=environment)
    assert right.stdout.count(": right; ") == len(specs), right.stdout + right.stderr
    asked = run(*call, "sql", "SELECT count(*) AS n FROM latest_verdicts", "--format", "csv",
                cwd=here, env=environment)  # fmt: skip
    assert asked.stdout.splitlines()[-1] == "1", asked.stderr


def test_the_source_distribution_holds_what_is_listed_and_no_key(root, tmp_path):
    copy = tmp_path / "copy"
    ignored = shutil.ignore_patterns(".git", ".nox", ".venv", "__pycache__", ".*_cache", "*.duckdb")
    shutil.copytree(root, copy, ignore=ignored)
    planted = (".env", "harness/.env", "token", "notes.txt", "db/results.duckdb", "db/results.schema-6.duckdb",
               "docs/.secret", "runs/a.json", "reports/a.html")  # fmt: skip
    for name in planted:
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).write_text("canary")
    built = run("-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path / "dist", cwd=copy)
    assert built.returncode == 0, built.stderr
    (archive,) = (tmp_path / "dist").glob("*.tar.gz")
    with tarfile.open(archive) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    assert not names & set(planted)
    assert {"harness/cli/run.py", "evals/voices.yaml", "db/schema.sql", "SECURITY.md"} <= names
