"""The only package that imports private names of Ray; `tests/integration/test_rayapi.py` checks each of them.

The modules here serve real clusters. `virtual` runs Ray's autoscalers in a simulation.

Ray is imported inside functions, because the import takes a second and because the environment must contain the
cluster's token and address before it (`environment.authenticate`).
"""
