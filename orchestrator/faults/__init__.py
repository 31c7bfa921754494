"""Failures injected on purpose: the schedule that decides which node fails and when, and the injector."""
