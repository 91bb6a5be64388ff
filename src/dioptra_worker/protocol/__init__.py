"""What daemon and runner say to each other: messages, and how they are written."""
