// SPDX-License-Identifier: Apache-2.0
/** @file
 * The files of the courier's page, under the names that ESP-IDF's build gives them, each with a zero after it.
 */
#define FILE_AS(symbol, name)                                                                                          \
    __asm__(".section .rodata\n"                                                                                       \
            ".global _binary_" symbol "_start\n"                                                                       \
            "_binary_" symbol "_start:\n"                                                                              \
            ".incbin \"" COURIER_MAIN "/" name "\"\n"                                                                  \
            ".byte 0\n"                                                                                                \
            ".global _binary_" symbol "_end\n"                                                                         \
            "_binary_" symbol "_end:\n"                                                                                \
            ".previous\n")

FILE_AS("page_html", "page.html");
FILE_AS("page_js", "page.js");
