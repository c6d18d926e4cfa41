"""The catalog: what the shop sells, for how much, and how it is found."""
