"""The Envoy beside each service process: who may call it, whom it may call, all out of the contract."""
