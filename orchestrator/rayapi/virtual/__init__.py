"""Ray's own autoscalers in virtual time: the simulated world that they read, and the replaced names in Ray."""
