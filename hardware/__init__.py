"""The devices of this machine: whether there is a GPU, and what changes on it."""
