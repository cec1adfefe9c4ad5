"""Steps for routers in service: what they did, what another rule would have done, and the next
version.
"""
