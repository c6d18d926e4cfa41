"""Everything that goes wrong around the shop, one function a fault, under the name that `ONLY` picks it by."""
