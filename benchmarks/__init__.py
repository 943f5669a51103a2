"""What the tap takes in time, processor time and memory, measured on this machine.

`python -m benchmarks` prints the figures as a table; `--help` says what there is to choose.
"""
