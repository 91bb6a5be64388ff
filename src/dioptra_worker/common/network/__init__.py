"""Calls to services: bounded, tried again, their failures in words."""
