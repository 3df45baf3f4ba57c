"""Questions in ADQL, tables in answer: parse, plan, read, execute, write.

::

    text ── adql ──▶ Resolved ── planning ──▶ Plan ── running ──▶ Arrow batches ── formats ──▶ bytes

`adql` accepts what ADQL 2.1 is and nothing else, finds what names mean in `published` tables, and translates what is
left to DuckDB. `planning` decides, for each table that a query reads, between the row store and the Parquet archive.
`running` reads, and applies the whole query again to what was read. `formats` writes tables, `uploads` reads them.
"""
