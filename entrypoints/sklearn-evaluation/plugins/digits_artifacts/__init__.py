"""Keeps a model, a table and a figure as files."""
