"""AWS, as far as a command is told to ask it."""
