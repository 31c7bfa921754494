"""Numbers of one trial, computed from its trace alone."""
