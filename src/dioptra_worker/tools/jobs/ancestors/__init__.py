"""The lineage of a result: the jobs and artifacts that it came from.

`reading` asks for it, `graph` is what it has found, and `tree` and `export` write it.
"""
