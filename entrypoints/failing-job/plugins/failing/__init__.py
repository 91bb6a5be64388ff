"""Fails on purpose, in several ways."""
