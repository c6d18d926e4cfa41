"""One machine: database, broker, identities, services and edge, supervised from a single process."""
