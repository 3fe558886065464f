"""The road of a batch: begin, call, settle; and what to do about calls that nobody answered."""
