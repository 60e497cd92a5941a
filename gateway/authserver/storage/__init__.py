"""Where everything rests: the databases, the schema, the way there, the cleaning up."""
