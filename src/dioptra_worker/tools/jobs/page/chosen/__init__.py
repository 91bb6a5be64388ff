"""What is done with several jobs at once, chosen in the list."""
