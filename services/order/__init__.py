"""Orders: placed, driven to exactly one end, and remembered as events."""
