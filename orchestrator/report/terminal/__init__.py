"""Tables and live views for a terminal."""
