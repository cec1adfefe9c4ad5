"""What trackers such as MLflow are told of the steps."""
