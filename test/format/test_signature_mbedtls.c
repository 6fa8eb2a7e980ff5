// SPDX-License-Identifier: Apache-2.0
// The same tests with the other crypto API: src/format/sr_signature.c is built again for this program, and what it
// makes of the library's objects is counted.
#include "mbedtls/ecp.h"

/** Objects that are in use; of each kind as many as were made and not freed. */
static int groups, points, numbers;

#define OBJECTS_IN_USE() (groups != 0 || points != 0 || numbers != 0)

#define COUNTED(kind, name, counter)                                                                                   \
    void __real_mbedtls_##name##_init(kind *argument);                                                                 \
    void __wrap_mbedtls_##name##_init(kind *argument);                                                                 \
    void __wrap_mbedtls_##name##_init(kind *argument)                                                                  \
    {                                                                                                                  \
        counter++;                                                                                                     \
        __real_mbedtls_##name##_init(argument);                                                                        \
    }                                                                                                                  \
    void __real_mbedtls_##name##_free(kind *argument);                                                                 \
    void __wrap_mbedtls_##name##_free(kind *argument);                                                                 \
    void __wrap_mbedtls_##name##_free(kind *argument)                                                                  \
    {                                                                                                                  \
        counter--;                                                                                                     \
        __real_mbedtls_##name##_free(argument);                                                                        \
    }

COUNTED(mbedtls_ecp_group, ecp_group, groups)
COUNTED(mbedtls_ecp_point, ecp_point, points)
COUNTED(mbedtls_mpi, mpi, numbers)

#include "test_signature.c"
