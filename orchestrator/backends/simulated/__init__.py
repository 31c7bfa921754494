"""The backend that runs trials in virtual time, in one process or in many."""
