"""Run it, show it, and keep what came of it."""
