"""How results and progress look in a terminal and in a log."""

from harness.show.console import PlainProgress as PlainProgress
from harness.show.console import console as console
from harness.show.console import progress_on as progress_on
from harness.show.failure import failure as failure
from harness.show.rows import print_rows as print_rows
from harness.show.rows import rows_table as rows_table
from harness.show.stored import TOLD_APART as TOLD_APART
from harness.show.stored import print_agreement as print_agreement
from harness.show.stored import print_comparison as print_comparison
from harness.show.stored import run_table as run_table
from harness.show.stored import told_value as told_value
from harness.show.stored import told_verdict as told_verdict
from harness.show.summary import append_summary as append_summary
from harness.show.verdicts import db_option as db_option
from harness.show.verdicts import numbers as numbers
from harness.show.verdicts import p_text as p_text
from harness.show.verdicts import print_verdicts as print_verdicts
