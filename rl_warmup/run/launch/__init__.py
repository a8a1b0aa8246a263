"""Where runs are trained: packed into stacks, in processes of this machine or as jobs of a cluster."""
