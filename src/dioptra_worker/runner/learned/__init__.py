"""Modules that a fork server imported of its own accord, until a job asks for them."""
