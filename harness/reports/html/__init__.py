"""A stored run, or two of them side by side, as one HTML file that loads nothing."""

from harness.report.compared import comparison_page as comparison_page
from harness.report.page import run_page as run_page
