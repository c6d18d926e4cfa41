"""The public edge: Envoy's configuration out of the contract, and the portal behind it."""
