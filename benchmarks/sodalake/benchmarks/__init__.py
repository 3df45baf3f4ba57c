"""`sodalake bench NAME`: speed and memory, measured as ratios in one run against the peer or the seeds' way."""
