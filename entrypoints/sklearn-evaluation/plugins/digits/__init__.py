"""Trains a classifier of handwritten digits, and attacks it."""
