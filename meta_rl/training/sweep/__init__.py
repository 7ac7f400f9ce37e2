"""Many runs that differ in some settings: planned, started, watched and summed up together."""
