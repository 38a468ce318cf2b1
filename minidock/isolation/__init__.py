"""What keeps a container apart from the host: one kernel concept per file.

Each file explains its concept, defines the Steps that use it, and ends with a pure `plan_…`
function that turns the container's `Spec` into those Steps. runtime/plan.py puts them in order.
"""
