"""The HTTP side of Tuma: where providers deliver their receipts, and the API for services and operators."""
