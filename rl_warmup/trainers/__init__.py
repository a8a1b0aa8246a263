"""Trainers: each turns resolved configs into the rows of the runs' record files; see protocol.py."""
