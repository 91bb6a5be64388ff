"""The commands: they translate options into calls and outcomes into exit codes."""
