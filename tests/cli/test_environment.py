"""Commands about what there is: schemas, targets, this machine."""

import json

import pytest

from harness.cli import environment as here
from harness.store.export import formats
from tests.helpers.cli import invoke


def test_the_schema_beside_the_package_is_the_models(root):
    written = json.loads((root / "harness" / "eval.schema.json").read_text())
    assert json.loads(invoke("schema").output) == written, (
        "harness schema > harness/eval.schema.json"
    )


def test_every_format_of_a_file_has_its_schema():
    """The command line names them without importing what defines them."""
    assert set(here.FORMAT_NAMES) == set(formats.FORMATS)
    for name in here.FORMAT_NAMES:
        assert json.loads(invoke("schema", name).output)["properties"]


@pytest.mark.parametrize("width", [80, 100])
def test_what_is_here_and_what_is_missing_fits_the_terminal(monkeypatch, width):
    """All but words that are longer than the line, as paths can be."""
    monkeypatch.setattr("harness.reports.terminal.width.terminal_columns", lambda _: width)
    for call in (["targets"], ["doctor"], ["doctor", "voices"]):
        for line in invoke(*call).output.splitlines():
            words = line.split()
            assert len(line) <= width or len(words[-1]) > width - 30, line
