"""Start runner processes, watch them, and say how they ended."""
