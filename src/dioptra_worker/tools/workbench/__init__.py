"""The workbench: an entrypoint run on one's own machine, without any server.

The job runs in the same runner, under the same supervisor, as in the daemon; only what
surrounds it differs: folders instead of the REST API, and a folder or the MLflow of
one's choice. Start reading at `planning.entrypoint` (what is run) and
`planning.run_plan` (with what), then `running.supervised` and `running.inprocess`
(how), and `running.results`.
"""
