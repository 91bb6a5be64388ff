"""What a runner says and asks: read, checked, answered."""
