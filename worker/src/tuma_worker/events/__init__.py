"""What becomes of the outcome stream: signed HTTP push to subscribers, and upkeep."""
