"""What SECURITY.md promises has tests that are there."""

import re

from tests.helpers import ROOT

PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (.+?) \| (`.+`) \|$", PAGE, re.MULTILINE)


def test_each_promise_names_tests_that_are_there():
    assert len(ROWS) > 10
    for promise, tests in ROWS:
        named = re.findall(r"`(tests/[\w/]+\.py)`", tests)
        assert named, promise
        for path in named:
            assert "def test_" in (ROOT / path).read_text(encoding="utf-8"), path


def test_each_limit_is_what_it_says():
    from harness.specs import json_file, parquet_rows, prompt_file, yaml_source
    from harness.store.export import parquet

    for limit in (
        f"{prompt_file.LARGEST // 10**6} MB",
        f"{prompt_file.LONGEST // 10**6} MB",
        f"{parquet_rows.MOST // 10**6} million rows",
        f"{yaml_source.LARGEST:,} characters",
        f"{json_file.LARGEST // 10**6} MB",
        f"{parquet.MOST_ROWS // 10**6} million rows",
        f"{parquet.MOST_BYTES >> 30} GiB",
    ):
        assert limit in PAGE
