"""Code that every real Ray cluster shares: trial runs, node provider, modelled cloud, ownership."""
