"""What the producer and the worker must agree on: key names, the wire form, and the scripts both need. Private to users."""
