"""The real REST API, in an environment of its own."""
