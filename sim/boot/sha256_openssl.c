// SPDX-License-Identifier: Apache-2.0
/** @file
 * SHA-256 for the simulated chip by OpenSSL, which uses the processor's instructions for it, several times as fast as
 * mbedTLS in C. Explorations start thousands of apps, each of which hashes what it is to install, and a quarter of
 * their time was this. The program's own definition of mbedTLS' inner function comes first for the shared library's
 * calls, too.
 */
#define MBEDTLS_ALLOW_PRIVATE_ACCESS
#define OPENSSL_SUPPRESS_DEPRECATED /* There is no other access to one block with a state of one's own. */
#include <mbedtls/sha256.h>
#include <openssl/sha.h>

#include <string.h>

int mbedtls_internal_sha256_process(mbedtls_sha256_context *ctx, const unsigned char data[64])
{
    SHA256_CTX block = {.md_len = SHA256_DIGEST_LENGTH};
    memcpy(block.h, ctx->state, sizeof(block.h));
    SHA256_Transform(&block, data);
    memcpy(ctx->state, block.h, sizeof(block.h));
    return 0;
}
