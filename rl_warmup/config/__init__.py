"""From conf/ to a checked `RunConfig`: schema, checks, derived values, identity, declared study."""
