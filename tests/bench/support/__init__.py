"""What the measurements share: processes, the strict provider, its audit, figures and output."""
