"""The `aws` backend: Ray clusters on EC2, started by Ray's own launcher and ended by their tags."""
