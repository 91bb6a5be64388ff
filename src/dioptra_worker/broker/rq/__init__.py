"""RQ's queues and books: taken from, kept, listened to; another queue replaces this."""
