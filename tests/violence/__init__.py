"""Everything that may happen to processes, brokers, disks, clocks and networks, and the number."""
