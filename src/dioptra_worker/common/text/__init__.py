"""Text for people, and text that nobody may be able to misuse."""
