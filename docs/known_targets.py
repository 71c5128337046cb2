"""The table of known targets in docs/targets.md: `python docs/known_targets.py` writes it."""

from pathlib import Path

from harness.specs.targets import NO_SAE, Target, load_targets

PAGE = Path(__file__).parent / "targets.md"
HEAD = "| target | model | SAEs | bytes of the model | |\n|---|---|---|---|---|\n"
COMMIT = 40  # digits


def with_table(text: str) -> str:
    """The page with the table as it is today."""
    before, _, rest = text.partition(HEAD)
    _, _, after = rest.partition("\n\n")
    rows = "\n".join(map(_row, load_targets().values()))
    return f"{before}{HEAD}{rows}\n\n{after}"


def _row(target: Target) -> str:
    hook = "" if target.hook == "resid_post" else f", `{target.hook}`"
    size = f"{target.bytes:,}" if target.bytes else ""
    return f"| `{target.name}` | {target.model} | {target.sae}{hook} | {size} | {_pinned(target)} |"


def _pinned(target: Target) -> str:
    """Which of its commits are."""
    if target.model.startswith("fixtures/"):
        return "comes with the package"
    revisions = {"model": target.revision, "SAEs": target.sae_revision}
    if target.sae == NO_SAE:
        del revisions["SAEs"]
    pinned = [name for name, revision in revisions.items() if len(revision) == COMMIT]
    return "pinned" if len(pinned) == len(revisions) else f"{pinned[0]} pinned" if pinned else ""


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
