"""Collect every claim of a spec as a pytest item: `evals/voices.yaml::features-exist`.

A YAML file is taken for a spec where the ini option `harness_evals` names its folder, where its
first lines point an editor at `eval.schema.json`, or where it is given on the command line and has
`claims:`. Every other file is left alone, and nothing heavy is imported before an item runs. Not here:
how an eval is run, which `runner` does, and what its failure looks like, which `reports` does.
"""

from collections.abc import Generator, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from harness.characters import disarm, one_line
from harness.pytest_plugin.items import OUTCOMES, ClaimItem, EvalFile
from harness.pytest_plugin.shared_runs import Desk, Outcomes
from harness.runner.stop_signals import (
    Stopped,
    leave_stop_signals,
    raise_stop_signals,
    stop_message,
    stop_status,
)
from harness.specs.numbers import decimal_number, whole_number
from harness.store.interface import WAIT_SECONDS

DESK = pytest.StashKey[Desk]()
FOLDER = "harness_folder"  # of a worker's input: where it meets the others
MOST = 500_000  # characters that are looked at: a spec has no more


def pytest_addoption(parser: pytest.Parser) -> None:
    """What a run can be told; the folders of evals in the ini file."""
    group = parser.getgroup("harness", "claims about a model's features")
    group.addoption(
        "--harness-target",
        metavar="NAME",
        default="auto",
        help="The target that claims are tested on (default: the best one present).",
    )
    group.addoption(
        "--harness-db",
        metavar="FILE",
        help="The results file (default: db/results.duckdb below the root directory).",
    )
    group.addoption(
        "--harness-limit",
        metavar="N",
        type=whole_number,
        help="A trial on the first N families of each side, 2 or more: it is evidence of nothing, "
        "so its claims are skipped.",
    )
    group.addoption(
        "--harness-mock",
        action="store_true",
        help="Random SAEs: a trial of the pipeline, evidence of nothing, so its claims are skipped.",
    )
    group.addoption(
        "--harness-device",
        metavar="NAME",
        default="auto",
        help="cuda, cuda:1, cpu or mps; `split` spreads the model over all of them (default: the "
        "best one). With pytest-xdist, cuda:0,cuda:1 gives each worker one.",
    )
    group.addoption(
        "--harness-wait",
        metavar="SECONDS",
        type=decimal_number,
        default=WAIT_SECONDS,
        help="How long to wait where another process writes to the results file "
        f"(default: {WAIT_SECONDS:g}).",
    )
    parser.addini("harness_evals", "Folders whose YAML files are evals.", type="paths", default=[])


def pytest_configure(config: pytest.Config) -> None:
    """Begin without any outcome; a worker shares those of the others."""
    folder = getattr(config, "workerinput", {}).get(FOLDER)
    config.stash[OUTCOMES] = Outcomes(folder and Path(folder))
    limit = config.getoption("--harness-limit")
    if limit is not None and limit < 2:
        raise pytest.UsageError(f"--harness-limit: {limit} is too few; take 2 families or more")


def pytest_unconfigure(config: pytest.Config) -> None:
    """What workers shared is gone, and nothing that was loaded is held until the end."""
    if DESK in config.stash:
        config.stash[DESK].close()
    config.stash[OUTCOMES].forget()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist where it meets the others."""
    config: pytest.Config = node.config
    if DESK not in config.stash:
        config.stash[DESK] = Desk()
        config.stash[OUTCOMES] = Outcomes(config.stash[DESK].folder)
    node.workerinput[FOLDER] = str(config.stash[DESK].folder)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: Iterable[str]) -> None:
    """Note where there is a claim among the tests of the workers."""
    if any(name.split("::")[0].endswith((".yaml", ".yml")) for name in ids):
        raise_stop_signals()
        node.config.stash[DESK].has_claims = True


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Whole specs to a worker, where nothing but evals is asked for: the claims of one are one run."""
    if config.getoption("dist") != "load" or not all(
        map(partial(_asks_for_evals, config), config.args)
    ):
        return None
    from xdist.scheduler import LoadFileScheduling

    return LoadFileScheduling(config, log)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> EvalFile | None:
    """A spec for a YAML file that is one."""
    if file_path.suffix in (".yaml", ".yml") and _is_spec(file_path, parent.config):
        return EvalFile.of(file_path, parent)
    return None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, Any]:
    """A claim is skipped where it stands, and not where this file says so."""
    report = yield
    if isinstance(item, ClaimItem) and isinstance(report.longrepr, tuple):
        report.longrepr = item.location[0], item.line, report.longrepr[2]
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """A scheduler's signal stops claims as Ctrl-C does, and both say what is kept."""
    if hasattr(session.config, "workerinput"):
        return (yield)  # the process that hands out the tests says it for all
    if _has_claims(session):
        raise_stop_signals()
    try:
        return (yield)
    except KeyboardInterrupt as error:
        if not _has_claims(session):
            raise
        status = (
            stop_status(error) if isinstance(error, Stopped) else None
        )  # pytest's own of Ctrl-C
        pytest.exit(stop_message(error, goes_on=True), returncode=status)
    finally:
        leave_stop_signals()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The verdicts, after everything else."""
    outcomes = config.stash[OUTCOMES].all()
    if not outcomes or hasattr(config, "workerinput"):
        return  # of several workers, the process that has their outcomes tells them
    from harness.reports.markdown import append_summary
    from harness.reports.terminal.progress import console
    from harness.reports.terminal.verdicts import print_verdicts

    terminalreporter.section("verdicts")
    print_verdicts(console(terminalreporter._tw._file), outcomes)
    append_summary(outcomes, partial(_say, terminalreporter))


def _say(reporter: Any, line: str) -> None:
    """A note for people, in pytest's own output."""
    reporter.write_line(disarm(one_line(line)), yellow=True)


def _has_claims(session: pytest.Session) -> bool:
    """Whether any are run, here or by workers."""
    desk = session.config.stash.get(DESK, None)
    spread = desk is not None and desk.has_claims
    return spread or any(isinstance(item, ClaimItem) for item in session.items)


def _asks_for_evals(config: pytest.Config, argument: str) -> bool:
    path = (config.invocation_params.dir / str(argument).split("::")[0]).resolve()
    folders: list[Path] = config.getini("harness_evals")
    known = any(folder == path or folder in path.parents for folder in folders)
    return known or path.suffix in (".yaml", ".yml")


def _is_spec(path: Path, config: pytest.Config) -> bool:
    folders: list[Path] = config.getini("harness_evals")
    if any(folder in path.parents for folder in folders):
        return True
    with path.open(encoding="utf-8", errors="replace") as file:
        text = file.read(MOST)
    head = text.split("\n", 5)[:5]
    if any("$schema=" in line and "eval.schema.json" in line for line in head):
        return True
    given = {
        (config.invocation_params.dir / str(arg).split("::")[0]).resolve() for arg in config.args
    }
    return path.resolve() in given and "\nclaims:" in text
