"""The stress job (`stress`) and its submission through Ray's jobs API (`job`)."""
