"""Many agents in one tensor program: Stable-Baselines3's PPO and DQN with a leading members axis."""
