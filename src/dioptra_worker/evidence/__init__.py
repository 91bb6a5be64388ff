"""Signed evidence of what a job has made: keys, envelopes, statements, verification.

A worker signs statements about the manifest of a job and the files of its artifacts;
whoever has them, the files and the public key can tell, without any service, whether
something was changed. `keys` needs the package ``cryptography``, the rest nothing.
"""
