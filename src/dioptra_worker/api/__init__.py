"""The border to the Dioptra REST API: an HTTP client and frozen records."""
