"""What is around a train step: the loop, replicas, randomness, averages."""
