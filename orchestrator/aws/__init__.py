"""Questions to AWS, which a command asks only if the user says so."""
