"""Find what lost workers left, and go on with it."""
