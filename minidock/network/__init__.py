"""What a container's network is made of, one concept per file.

bridge.py (the switch), veth.py (the cable), ipam.py (who has which address), nat.py (what goes out,
and what comes in through a published port), names.py (the files that say who is who). Two files
speak to the kernel: netlink.py through a library, message.py by itself, for the few messages that a
start waits for.
"""
