"""Users that jobs run as, where the worker may choose one."""
