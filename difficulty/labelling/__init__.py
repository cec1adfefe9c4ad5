"""Labels for traffic with few or none: which requests, who answers and judges, what it costs."""
