"""The processes that a fork server makes, and what each does to become a runner."""
