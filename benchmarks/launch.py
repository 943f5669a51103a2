"""Runs a command and tells what it took: `launch.py REPORT COMMAND…`.

It is a small process between the benchmarks and what they measure, as the peak memory of a
process counts from that of the one which started it.
"""

import json
import os
import sys
import time

if __name__ == "__main__":
    report, program, *arguments = sys.argv[1:]
    began = time.monotonic()
    child = os.posix_spawn(program, [program, *arguments], os.environ)
    _, status, usage = os.wait4(child, 0)
    ended = time.monotonic()
    with open(report, "w") as file:  # noqa: PTH123 - nothing is imported that is not needed
        json.dump(
            {
                "began": began,
                "seconds": ended - began,
                "processor_seconds": usage.ru_utime + usage.ru_stime,
                "peak_megabytes": usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 1e3),
                "status": os.waitstatus_to_exitcode(status),
            },
            file,
        )
