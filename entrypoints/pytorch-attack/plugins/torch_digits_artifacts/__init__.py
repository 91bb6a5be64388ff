"""Keeps a network of PyTorch and images as files."""
