"""While a job runs: what its runner says is passed on, what it asks is answered."""
