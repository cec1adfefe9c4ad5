"""How the rows of a table become rows of the traffic contract: what its file is written in, which
column is which, and several rows a request.
"""
