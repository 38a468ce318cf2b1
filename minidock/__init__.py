"""minidock: a container runtime in pure Python. Start reading at `runtime/plan.py`."""

__version__ = "0.1.0"
