"""Looking at containers from outside: what is done, what would be done, and why."""
