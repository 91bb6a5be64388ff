"""Makes the pictures of the jobs' page in the documentation, of real jobs."""
