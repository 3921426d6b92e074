"""The bytes of a file: fields, tensors, and ω in fewer bits."""
