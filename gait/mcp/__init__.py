"""The Model Context Protocol between any client and any server: each tools/call is decided, the rest passes unchanged."""
