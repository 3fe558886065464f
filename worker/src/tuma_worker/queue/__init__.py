"""The queue: a Dramatiq broker that asks the limiter when a job is taken, not after."""
