"""`zoco audit`: the facts of all services held against each other, once or on a schedule."""
