"""Ray's own autoscalers in virtual time: the world they see, and the names in Ray that are replaced."""
