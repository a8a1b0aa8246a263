"""The mathematics of training as pure tensor functions with a members axis; it knows no config and no files."""
