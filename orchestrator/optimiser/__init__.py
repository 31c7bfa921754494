"""The search for the best settings in the simulator."""
