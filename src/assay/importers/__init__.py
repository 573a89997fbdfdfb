"""Other tools' results, read as what they are: one format a file, found by name through `registry`.

An importer reads; it decides nothing. What it finds is a `base.Source`, whose rows are surveyed (`survey`), planned
(`draft`) and written (`copy`) the same way for every format.
"""
