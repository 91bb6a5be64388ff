"""How plugin code speaks to the worker that runs it, in its process and in others."""
