"""Where Hydra looks for the plugins of rl_warmup."""
