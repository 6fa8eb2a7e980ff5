// SPDX-License-Identifier: Apache-2.0
// The same tests with the other crypto API: src/format/sr_signature.c is built again for this program.
#include "test_signature.c"
