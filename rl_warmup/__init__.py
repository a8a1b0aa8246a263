"""A benchmark of what learning-rate warmup does to reinforcement learning."""
