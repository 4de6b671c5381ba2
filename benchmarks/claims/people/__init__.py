"""People who rate: their judgements in, out and put to work. A module a row; the order is the table's."""

ROWS = ("interop", "recovery", "load", "faults", "security", "pages", "active")
