"""What plugins see: the logic behind the names in `dioptra_worker.sdk.compat`.

A plugin writes ``from dioptra import pyplugs``; that name is a re-export of
`dioptra_worker.sdk.pyplugs`, and so on for the artifact interface, the client of the
REST API and the errors. In a runner, the runner process installs a
`sdk.worker.bridge.Bridge` through which the client speaks with the rights of the
worker; on a laptop there is none and a plugin logs in by itself.
"""
