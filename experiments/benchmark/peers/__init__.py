"""Workers that do the same jobs in different libraries, each in its own process."""
