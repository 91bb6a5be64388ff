"""Tasks that load one part of a worker each."""
