"""The reference trainer: stock Stable-Baselines3, observed without changing it."""
