"""`sodalake bench NAME`: speed, measured as ratios in one run against the seeds' way."""
