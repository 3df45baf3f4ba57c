"""Jobs: the state machine, the store, the Dask executor. Knows nothing of astronomy."""
