"""Greets somebody, once or several times."""
