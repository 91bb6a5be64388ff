"""The daemon: queue, supervision of one runner, delivery to the REST API."""
