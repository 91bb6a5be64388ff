"""The border to the Dioptra REST API: an HTTP client and frozen records."""

USER_AGENT = "dioptra-worker"
"""What every client of a session says it is.

The API binds a session to its User-Agent (flask-login's session protection), so a
runner that uses the daemon's session must call itself the same.
"""
