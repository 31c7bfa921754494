"""What is ready on this machine, what isn't, and how to mend it: `orchestrate doctor`."""
