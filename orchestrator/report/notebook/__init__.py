"""Results and progress in a Jupyter notebook."""
