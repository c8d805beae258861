"""An MCP server of known behaviour, for tests: the names that the official conformance suite asks for, and what it expects of them."""
