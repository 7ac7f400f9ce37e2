"""Many runs: on this machine, or as a job array of Slurm."""
