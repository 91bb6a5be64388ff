"""Jobs as people see them: every job, its log, its fate, and what to do about it.

What ``dioptra-worker jobs`` and its page are made of. Start reading at `listing`,
`details` and `log`; `actions` changes jobs. Nothing of it is needed to run one.
"""
