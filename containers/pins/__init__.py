"""The pins of the images; see `__main__`."""
