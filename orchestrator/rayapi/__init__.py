"""The only package that imports private names of Ray; `tests/integration/test_rayapi.py` checks each of them.

The modules here serve real clusters. `virtual` puts Ray's autoscalers into a simulation.

Ray is imported inside functions: the import costs a second, and the cluster's token and address must be in the
environment before it (`environment.authenticate`).
"""
