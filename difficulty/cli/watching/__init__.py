"""Commands for routers in service."""
