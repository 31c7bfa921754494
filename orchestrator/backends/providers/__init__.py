"""Ray NodeProviders. They are loaded inside Ray's monitor process, so they import little."""
