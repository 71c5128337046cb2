"""What people see: the page (`html`), the terminal (`terminal`), Markdown, plain data.

Not here: computing anything that the store does not hold already.
"""
