"""The processor time that `xmltodict.parse` takes for pages: `parse.py URL KEY PATH ROWS`.

It fetches the pages that a sync of so many rows consists of, and prints the seconds.
"""

import sys
import time
from urllib.request import Request, urlopen

import xmltodict

LIMIT = 1000

if __name__ == "__main__":
    url, key, path, rows = sys.argv[1:]
    seconds = 0.0
    for start in range(0, int(rows), LIMIT):
        query = f"since=2026-01-01&to=2026-01-08&start={start}&limit={LIMIT}&source=parse"
        asked = Request(f"{url}{path}?{query}", headers={"apikey": key})  # noqa: S310 - loopback
        with urlopen(asked) as answer:  # noqa: S310
            page = answer.read()
        before = time.process_time()
        xmltodict.parse(page)
        seconds += time.process_time() - before
    print(seconds)
