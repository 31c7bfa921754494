"""The trace file: its reader, its writer, and a tail that follows growing files."""
