"""Names: what is one, which path it becomes, and what a shell reads of a command with it."""

import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.names import LONGEST, LONGEST_ID, child, command, is_name

NONE = ["", ".", "..", "../up", "a/b", "/etc", "a b", "-rf", ".hidden", "a\n", "a\0", "ä", "$(id)", "`id`",
        "a;b", "~", "a" * (LONGEST + 1)]  # fmt: skip


@pytest.mark.parametrize("text", NONE)
def test_no_name(text: str) -> None:
    assert not is_name(text)


@given(st.text("aZ0_.-/~$ \n", max_size=6))
def test_a_name_is_one_part_of_a_path_and_one_plain_word(text: str) -> None:
    if is_name(text):
        assert Path("folder", text).parent == Path("folder")
        assert shlex.quote(text) == text
        assert not text.startswith("-")


@given(st.text(max_size=300))
def test_a_child_lies_directly_in_its_folder_whatever_its_name(name: str) -> None:
    path = child(Path("folder"), name, ".html")
    assert (path.parent, path.suffix) == (Path("folder"), ".html")
    assert is_name(path.stem, LONGEST_ID)
    assert path.stem == name or not is_name(name, LONGEST_ID)


def test_two_names_have_two_children(tmp_path: Path) -> None:
    assert len({child(tmp_path, name) for name in [*NONE, "a_b", "etc", "up"]}) == len(NONE) + 3


@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8")), max_size=4))
def test_a_shell_reads_the_words_of_a_command(words: list[str]) -> None:
    assert shlex.split(command(*words)) == ["harness", *words]


def test_a_real_shell_runs_nothing_of_a_word(tmp_path: Path) -> None:
    word = f"$(touch {tmp_path}/ran)`touch {tmp_path}/ran`;touch {tmp_path}/ran"
    line = command("report", word).removeprefix("harness ")
    said = subprocess.run(
        ["sh", "-c", f"printf %s\\\\n {line}"], capture_output=True, text=True, check=True
    )
    assert said.stdout == f"report\n{word}\n"
    assert not (tmp_path / "ran").exists()
