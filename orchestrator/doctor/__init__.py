"""Checks of this machine for `orchestrate doctor`: what is ready, what isn't, and how to fix it."""
