"""What providers tell us after the call: checked, read, matched with its attempt, and applied once."""
