"""The processes of a stack: started, probed, stopped."""
