"""A package that adds a backend to orchestrate. Nothing in `orchestrator/` knows it; see `test_foreign_backend.py`."""
