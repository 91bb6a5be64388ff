"""One module for each thing that is tried out."""
