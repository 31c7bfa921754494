"""Shows what was found: JSON documents, tables, the live view."""
