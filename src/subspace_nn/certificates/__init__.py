"""Certificates: what the shortness of a net proves about its error on data nobody has seen."""
