"""Where the runs of a study are, what a command will do with them, how long it may take, and the live table."""
