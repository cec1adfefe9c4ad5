"""What training data and a model say of each other: suspicious labels, broken tasks, whether there
is a signal, what more labels would bring, how the score fares on tasks it has not seen.
"""
