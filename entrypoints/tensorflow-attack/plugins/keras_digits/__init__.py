"""Trains a network of TensorFlow on handwritten digits, and attacks it."""
