"""ADQL in, tables out: parse, plan, scan, execute, serialise."""
