"""EC2 in containers: moto answers the API, and an instance is a container with its private address, SSH and user data.

Ray's own launcher, AWS node provider, updaters and monitor run against it unchanged.
"""
