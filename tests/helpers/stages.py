"""What a process prints that goes through a stage: its progress, a note and a table."""

import time

from harness.reports.terminal.progress import console, progress_on
from harness.reports.terminal.tables import print_rows

if __name__ == "__main__":
    out = console()
    with progress_on(out) as progress:
        for done in range(6):
            progress("observe", done, 5)
            time.sleep(0.03)
        out.print("a note", style="red")
    print_rows(out, ["a" * 12] * 5, [["b" * 12] * 5])
