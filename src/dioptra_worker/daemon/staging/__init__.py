"""Stage in what a job needs before its first step."""
