"""Trials in virtual time: Ray's own autoscaler code on a simulated cloud and a simulated Ray."""
