"""Keeps a network of TensorFlow and images as files."""
