"""What tests of every floor start and ask for: real servers, and the things to wait with."""
