"""Evaluates a classifier of handwritten digits, one image after the other."""
