"""What a worker learns of its jobs: the imports that they wait for."""
