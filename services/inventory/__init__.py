"""Stock: what can be bought, what is held, what was sold."""
