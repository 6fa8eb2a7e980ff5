// SPDX-License-Identifier: Apache-2.0
// The same tests with the other crypto API: src/format/sr_signature.c is built again for this program, and what it
// makes of the library's objects is counted.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "mbedtls/ecdsa.h"
#include "mbedtls/ecp.h"
#include "test/support/support_failing_crypto.h"

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

#define FAILING(name, parameters, ...)                                                                                 \
    int __real_mbedtls_##name parameters;                                                                              \
    int __wrap_mbedtls_##name parameters;                                                                              \
    int __wrap_mbedtls_##name parameters                                                                               \
    {                                                                                                                  \
        return crypto_call_fails() ? MBEDTLS_ERR_MPI_ALLOC_FAILED : __real_mbedtls_##name(__VA_ARGS__);                \
    }

FAILING(ecp_group_load, (mbedtls_ecp_group * group, mbedtls_ecp_group_id id), group, id)
FAILING(ecp_point_read_binary,
        (const mbedtls_ecp_group *group, mbedtls_ecp_point *point, const unsigned char *bytes, size_t size), group,
        point, bytes, size)
FAILING(ecp_check_pubkey, (const mbedtls_ecp_group *group, const mbedtls_ecp_point *point), group, point)
FAILING(mpi_read_binary, (mbedtls_mpi * number, const unsigned char *bytes, size_t size), number, bytes, size)
FAILING(ecdsa_verify,
        (mbedtls_ecp_group * group, const unsigned char *digest, size_t size, const mbedtls_ecp_point *point,
         const mbedtls_mpi *r, const mbedtls_mpi *s),
        group, digest, size, point, r, s)

#include "test_signature.c"
