"""Jobs as people see them: every job, its log, its fate, and what to do about it.

What ``dioptra-worker jobs`` and its page are made of. Start reading at `listing`,
`details` and `job_log`; `control` changes jobs, `artifacts` saves what they made,
`ancestors` follows it back, and `page` shows all of it. Nothing of it is needed to run
one.
"""
