"""Signed trace records as lines for a SIEM and for OpenTelemetry.  Pure: record in, text out."""
