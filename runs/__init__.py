"""What a run leaves on the disk: checkpoints, log, film, page."""
