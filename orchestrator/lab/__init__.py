"""The application: each operation of the laboratory, without a terminal."""
