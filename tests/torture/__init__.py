"""The command killed, starved and misled at hundreds of points: `make torture` runs this and prints figures."""
