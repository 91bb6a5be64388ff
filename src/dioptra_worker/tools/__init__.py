"""What people use around the worker."""
