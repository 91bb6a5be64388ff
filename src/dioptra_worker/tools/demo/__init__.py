"""``make demo``: a local stack, the real worker, real jobs, and what came of them.

`story` says what happens in which order, `scenes` which jobs there are, `worker` runs
the daemon, and `show` prints.
"""
