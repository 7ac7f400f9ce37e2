"""Episodes from environments: the only place that knows both a policy and an environment."""
