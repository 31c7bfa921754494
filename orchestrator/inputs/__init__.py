"""Files and values that users write, read into models, with errors that name file and key."""
