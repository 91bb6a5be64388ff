"""Keeps tables as a file or as a folder."""
