"""The journal: an append-only, hash-chained, signed record of every decision, one chain per writer (docs/journal.md)."""
