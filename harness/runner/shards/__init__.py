"""One run divided among processes that never meet: what each has done lies in a folder as parts.

Nobody waits. Each shard does its own groups, and of what everybody needs those besides that are not there
yet; whoever joins them goes through the same stages and takes each result from the folder.
"""
