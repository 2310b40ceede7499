"""Training around the step: loop, replicas, random keys, EMA, optimiser, memory estimate."""
