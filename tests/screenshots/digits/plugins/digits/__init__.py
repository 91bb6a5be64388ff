"""Stands for a training."""
