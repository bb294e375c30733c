"""The codemods: one file per pattern, found by scanning this folder (see `gradfix.registry`)."""
