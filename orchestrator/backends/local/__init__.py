"""The local backend: head and workers are real Ray processes on this machine's loopback."""
