"""ZIP archives of one form only (form), a writer that makes them and a reader that takes nothing else."""
