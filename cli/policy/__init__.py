"""`zoco policy`: who may call what, why, and what a change of it widens."""
