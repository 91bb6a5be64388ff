"""Begin a folder of plugins and task graphs, and keep what it declares in step."""
