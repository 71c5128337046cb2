"""What people see: the page (`html`), the terminal (`terminal`), Markdown, plain data.

Not here: estimates, tests and verdicts, which are stored before they are shown.
"""
