"""`zoco events`: what was told and went wrong: dead letters, events told again, read models made anew."""
