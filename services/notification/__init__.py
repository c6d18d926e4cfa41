"""What the shop tells people, in the shop and by mail."""
