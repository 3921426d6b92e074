"""Parts for other libraries, each of which is an extra."""
