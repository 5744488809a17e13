"""What may happen, decided from documents alone: no clock, no network, no files, no database.

`documents` reads and writes what people author, `checks` says what does not fit together, `snapshot` compiles a
generation, `decide` grants or refuses a call on it, and `explain` answers why.
"""
