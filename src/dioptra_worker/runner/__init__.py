"""The runner: one fresh process per job, and the template that hands it out."""
