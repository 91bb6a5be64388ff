"""Trains a network of PyTorch on handwritten digits, and attacks it."""
