#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Programs without a server load no HTTP: each library is copied by each fork(), which is each start of a simulated app.

usage: test_libraries.py PROGRAM...
"""
import subprocess
import sys


def main():
    wrong = []
    for program in sys.argv[1:]:
        libraries = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
        if "libcurl" in libraries or "libmicrohttpd" in libraries:
            wrong.append(program)
    print(f"{len(sys.argv) - 1} programs; with HTTP: {', '.join(wrong) or 'none'}")
    return 1 if wrong or len(sys.argv) == 1 else 0


if __name__ == "__main__":
    sys.exit(main())
