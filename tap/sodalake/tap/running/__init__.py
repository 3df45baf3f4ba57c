"""Run a plan: read rows where it says, bring them together in DuckDB, hand out record batches."""
