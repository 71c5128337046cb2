"""Claims about what a model's features do to its answers, written down, tested and stored.

    import harness

    outcome = harness.run("voices", target="organism")
    with harness.open_store() as results:
        print(results.sql("FROM latest_verdicts"))

Importing this loads nothing else; the first use of a name does.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.analysis.comparison import Comparison
    from harness.analysis.shortcuts import ShortcutScore
    from harness.analysis.verdict import Verdict
    from harness.api import (
        ResultsFile,
        compare,
        load_spec,
        open_store,
        plan,
        report,
        run,
        shortcuts,
    )
    from harness.errors import CannotRun, Fault, HarnessError, InputError
    from harness.runner.outcome import Outcome
    from harness.specs.plan import Plan
    from harness.specs.spec import Spec
    from harness.specs.target_files import targets
    from harness.specs.targets import Target

    __version__: str

# Each public name, and the module that has it.
_HOMES = {
    "CannotRun": "errors",
    "Comparison": "analysis.comparison",
    "Fault": "errors",
    "HarnessError": "errors",
    "InputError": "errors",
    "Outcome": "runner.outcome",
    "Plan": "specs.plan",
    "ResultsFile": "api",
    "ShortcutScore": "analysis.shortcuts",
    "Spec": "specs.spec",
    "Target": "specs.targets",
    "Verdict": "analysis.verdicts",
    "compare": "api",
    "load_spec": "api",
    "open_store": "api",
    "plan": "api",
    "report": "api",
    "run": "api",
    "shortcuts": "api",
    "targets": "specs.target_files",
}
__all__ = (
    "CannotRun",
    "Comparison",
    "Fault",
    "HarnessError",
    "InputError",
    "Outcome",
    "Plan",
    "ResultsFile",
    "ShortcutScore",
    "Spec",
    "Target",
    "Verdict",
    "__version__",
    "compare",
    "load_spec",
    "open_store",
    "plan",
    "report",
    "run",
    "shortcuts",
    "targets",
)


if not TYPE_CHECKING:  # a type checker is to know what is not there

    def __getattr__(name: str) -> Any:
        from importlib import import_module, metadata

        if name == "__version__":
            return metadata.version("misconception-harness")
        if name not in _HOMES:
            raise AttributeError(f"module 'harness' has no attribute '{name}'")
        found = getattr(import_module(f"harness.{_HOMES[name]}"), name)
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
