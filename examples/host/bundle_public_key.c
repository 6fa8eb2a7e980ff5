// SPDX-License-Identifier: Apache-2.0
/** @file
 * The key that the bundle example trusts on the simulated chip, under the name that ESP-IDF's build gives it: the one
 * of RFC 6979, appendix A.2.5, as in docs/bundle-format.md. Everybody knows its private half.
 */
extern const char public_key[] __asm__("_binary_bundle_public_key_start");

const char public_key[] = "-----BEGIN PUBLIC KEY-----\n"
                          "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYP7UuiVanTHJYet0xjVtaMBJuJI7\n"
                          "Yfps5mliLmDyn7Z5A/4QCLi8maQa6elWKLxk8vGyDC1+n1F3o8KU1EYimQ==\n"
                          "-----END PUBLIC KEY-----\n";
