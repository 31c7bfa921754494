"""The stress job: what is submitted to Ray (`stress`), and how (`job`)."""
