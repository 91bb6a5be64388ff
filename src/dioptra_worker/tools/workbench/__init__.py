"""The workbench: an entrypoint run on one's own machine, without any server.

The job runs in the same runner, under the same supervisor, as in the daemon; only what
surrounds it differs: folders instead of the REST API, and a folder or the MLflow of
one's choice. Start reading at `entrypoint` (what is run), `run_plan` (with what), then
`supervised` and `inprocess` (how), and `results`.
"""
