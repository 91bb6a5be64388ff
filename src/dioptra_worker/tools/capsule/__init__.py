"""Capsules: one file that holds a job, to be verified, run again and compared.

A capsule is a Workflow Run RO-Crate in a ZIP archive. Start reading at `layout`, which
says what lies where; `archive` writes and reads the file, `opening` compares it with
the job's manifest in it. Rooms: `replay` runs it, `repetition` again and again,
`comparison` tells two of them apart.
"""
