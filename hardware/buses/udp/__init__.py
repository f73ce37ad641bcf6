"""Host link of a leg over UDP."""
