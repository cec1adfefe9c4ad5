"""Text view 2: what a request asks, apart from what was put around it."""
