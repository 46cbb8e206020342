"""What can be wrong with labels: each module finds one kind of problem, `check` puts them together."""
