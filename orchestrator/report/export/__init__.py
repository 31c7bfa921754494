"""Tables for Parquet and CSV files and for polars, with their data dictionary."""
