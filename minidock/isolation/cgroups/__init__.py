"""The container's cgroup: the kernel's name for "all processes of this container".

common.py explains cgroups and plans; v1.py and v2.py know the two interfaces; device_policy.py says
which devices a container may use, and device_filter.py says it as a program for v2.
"""
