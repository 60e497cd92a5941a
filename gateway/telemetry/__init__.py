"""What the operator sees: metrics and the access log, each defined in one place."""
