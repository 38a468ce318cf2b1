"""The kernel boundary: every system call minidock makes on a container's behalf passes here."""
