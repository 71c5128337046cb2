"""Claims about what a model's features do to its answers, written down, tested and stored.

    import harness

    outcome = harness.run("voices", target="organism")
    with harness.open_store() as results:
        print(results.sql("FROM latest_verdicts"))

Importing this loads nothing else; the first use of a name does.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.api import ResultsFile as ResultsFile
    from harness.api import compare as compare
    from harness.api import load_spec as load_spec
    from harness.api import open_store as open_store
    from harness.api import plan as plan
    from harness.api import report as report
    from harness.api import run as run
    from harness.compare import Comparison as Comparison
    from harness.conclude import Outcome as Outcome
    from harness.faults import CannotRun as CannotRun
    from harness.faults import Fault as Fault
    from harness.faults import HarnessError as HarnessError
    from harness.faults import InputError as InputError
    from harness.plan import Plan as Plan
    from harness.spec import Spec as Spec
    from harness.verdicts import Verdict as Verdict

    __version__: str

# Each public name, and the module that has it.
_HOMES = {
    "CannotRun": "faults",
    "Comparison": "compare",
    "Fault": "faults",
    "HarnessError": "faults",
    "InputError": "faults",
    "Outcome": "conclude",
    "Plan": "plan",
    "ResultsFile": "api",
    "Spec": "spec",
    "Verdict": "verdicts",
    "compare": "api",
    "load_spec": "api",
    "open_store": "api",
    "plan": "api",
    "report": "api",
    "run": "api",
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
    "Spec",
    "Verdict",
    "__version__",
    "compare",
    "load_spec",
    "open_store",
    "plan",
    "report",
    "run",
)


class _Package(ModuleType):
    def __setattr__(self, name: str, value: Any) -> None:
        # An import of the module harness.run does not take the place of the function harness.run.
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


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
