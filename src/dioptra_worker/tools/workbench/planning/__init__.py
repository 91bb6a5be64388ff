"""What is to be run, with what."""
