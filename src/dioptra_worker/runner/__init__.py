"""The runner: one fresh process per job, and the fork server that hands it out."""
