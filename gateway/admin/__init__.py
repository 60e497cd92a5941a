"""The operator's port: metrics and health. Never for clients."""
