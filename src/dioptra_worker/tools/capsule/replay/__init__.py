"""A capsule's job run again, without any server, in the environment that it had."""
