"""Keeps matrices."""
