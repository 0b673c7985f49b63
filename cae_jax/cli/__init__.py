"""The command-line programs: arguments in, exit codes out. What they do is in the packages they call."""
