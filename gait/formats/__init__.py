"""Values without Gait: canonical JSON, strict JSON, a YAML subset, RFC 3339 times, paths, hosts, globs."""
