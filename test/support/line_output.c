// SPDX-License-Identifier: Apache-2.0
// Linked to each test program: what it prints comes out line by line. summary.py reads these lines, and one that was
// cut in two by what an app on the simulated chip says on standard error would be no result.
#include <stdio.h>

__attribute__((constructor)) static void print_line_by_line(void)
{
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
}
