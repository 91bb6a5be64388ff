"""Folders and archives that somebody else may have had a hand in."""
