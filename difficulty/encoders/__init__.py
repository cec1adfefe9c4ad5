"""Encoders: token ids to unit vectors, by a token table or a transformer, and how each is made."""
