"""One number per run and metric; table.py is the registry. A metric of the curve has one stated shape."""
