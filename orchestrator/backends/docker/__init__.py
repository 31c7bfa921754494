"""Real Ray clusters in containers: each node has its own address, CPU limit and architecture."""
