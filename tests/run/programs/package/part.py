WORD = "imported"
