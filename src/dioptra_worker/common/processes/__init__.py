"""Processes of the system: who they are, whose they are, what is left of them."""
