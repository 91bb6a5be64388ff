"""Types of values: how they are defined, inferred and compared."""
