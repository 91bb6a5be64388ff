"""The file ``dioptra.toml``: what may stand in it, where, and what is wrong with it."""
