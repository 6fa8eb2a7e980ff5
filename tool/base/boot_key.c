// SPDX-License-Identifier: Apache-2.0
#include "tool/base/boot_key.h"

#include "tool/base/command.h"
#include "tool/base/image_file.h"

#include <inttypes.h>
#include <string.h>

static efuse_key_t *find_block(efuse_set_t *burnt)
{
    const efuse_key_t *key = efuse_set_key(burnt, EFUSE_PURPOSE_SECURE_BOOT_V1);
    return burnt->secure_boot_v1 && key != NULL ? &burnt->keys[key - burnt->keys] : NULL;
}

static int take(const char *path, const image_file_t *file, efuse_key_t *block)
{
    uint8_t bytes[EFUSE_KEY_SIZE] = {0};
    if (file->size != block->length) {
        return complain(STATUS_BAD_INPUT, "%s: %" PRIu32 " bytes, where a key of Secure Boot V1 has %u on this chip",
                        path, file->size, block->length);
    }
    efuse_key_reverse(file->bytes, block->length, bytes);
    if (block->readable && memcmp(bytes, block->bytes, sizeof(bytes)) != 0) {
        return complain(STATUS_BAD_INPUT, "%s: not the key that is burnt, which the eFuses show", path);
    }
    memcpy(block->bytes, bytes, sizeof(bytes));
    block->readable = true;
    explicit_bzero(bytes, sizeof(bytes));
    return STATUS_OK;
}

int boot_key_load(const char *path, const char *efuses_path, boot_chip_t *chip)
{
    efuse_key_t *block = find_block(&chip->burnt);
    image_file_t file;
    if (efuses_path == NULL) {
        return complain(STATUS_USAGE, "--secure-boot-key goes with --efuses, which tells whether Secure Boot V1 is on");
    }
    if (block == NULL) {
        return complain(STATUS_USAGE, "%s says that Secure Boot V1 is off: leave out --secure-boot-key", efuses_path);
    }
    int status = image_file_load(path, &file);
    if (status == STATUS_OK) {
        status = take(path, &file, block);
        explicit_bzero(file.bytes, file.size);
        image_file_free(&file);
    }
    return status;
}
