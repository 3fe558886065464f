"""The HTTP side of Tuma: where providers deliver their receipts."""
