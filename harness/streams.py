"""Streams on which text is shown and nothing of it obeyed, whoever writes it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO, cast

from harness.characters import disarm, make_visible

TAIL = 80  # characters of a line: a command is at its beginning, or a word


class Shown:
    """A text stream that is written as `harness.characters` shows text.

    `name` is what its errors call it: those of a file have the file's name. `styles` lets the escape
    sequences of the writer itself through, who makes the text visible before.
    """

    def __init__(self, stream: TextIO, name: str = "", *, styles: bool = False) -> None:
        self.plain: TextIO = stream.plain if isinstance(stream, Shown) else stream
        self._name: str = name or (stream._name if isinstance(stream, Shown) else "")
        self._styles = styles
        self._line = ""  # what was written of a line that has not ended

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plain, name)

    def write(self, text: str) -> int:
        """As the stream's own. Raises `OSError`."""
        shown = text if self._styles else make_visible(text)
        whole = disarm(self._line + shown)
        begun = whole.startswith(self._line)
        # Where it is not, what was written before and this would be a command together.
        shown = whole[len(self._line) :] if begun else "\\" + disarm(f".{shown}")[1:]
        self._line = (self._line + shown).rpartition("\n")[2]
        if len(self._line) > TAIL:
            self._line = f".{self._line[-TAIL:]}"
        self.write_data(shown)
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Each as `write`."""
        for line in lines:
            self.write(line)

    def write_data(self, text: str) -> None:
        """What is stored, for a program that reads it as data. Raises `OSError`."""
        with self._named():
            self.plain.write(text)

    def flush(self) -> None:
        """As the stream's own. Raises `OSError`."""
        with self._named():
            self.plain.flush()

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            error.filename = self._name or error.filename
            raise


def shown(stream: TextIO, name: str = "", *, styles: bool = False) -> TextIO:
    """The stream, as it is shown."""
    return cast("TextIO", Shown(stream, name, styles=styles))


@contextmanager
def shown_streams() -> Iterator[None]:
    """Whatever is printed in the block is shown: by libraries, warnings and logs too."""
    out, err = (
        stream and shown(stream, name)
        for stream, name in ((sys.stdout, "standard output"), (sys.stderr, ""))
    )
    with redirect_stdout(out), redirect_stderr(err):
        yield
