"""seccomp: which system calls a container's programs may make, decided by a small program of ours
that the kernel runs before each of them.

From the profile (spec/seccomp.py) to the kernel, in reading order: `architectures` and `numbers`
say what a call is called where, `assembler` writes instructions, `compiler` turns rules into a
program, `cache` keeps it, `install` gives it to the kernel, `listener` answers who wants to decide
by himself. `evaluate` is the kernel's side, for tests and explanations.
"""
