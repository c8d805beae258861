"""`gait mcp serve`: the decision API that runs for months, around the one engine and a journal."""
