"""What was sold, to whom it is of interest: reports made from events alone."""
