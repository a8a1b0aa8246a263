"""Environments by id: made in one place, stepped side by side, seeded, evaluated and replayed."""
