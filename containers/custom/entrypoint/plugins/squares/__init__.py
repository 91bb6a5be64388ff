"""Prints a table, with a package that only this image has."""
