// SPDX-License-Identifier: Apache-2.0
/** @file
 * The file that the embedded example carries, under the names that ESP-IDF's build gives it.
 */
__asm__(".section .rodata\n"
        ".balign 4\n"
        ".global _binary_app_upd_merged_bin_start\n"
        "_binary_app_upd_merged_bin_start:\n"
        ".incbin \"" EMBEDDED_IMAGE "\"\n"
        ".global _binary_app_upd_merged_bin_end\n"
        "_binary_app_upd_merged_bin_end:\n"
        ".previous\n");
