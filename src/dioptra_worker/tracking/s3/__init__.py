"""The artifact store behind ``s3://``."""
