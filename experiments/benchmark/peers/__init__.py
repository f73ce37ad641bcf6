"""Workers that do the same measured job in different libraries, each in its own process."""
