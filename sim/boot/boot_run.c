// SPDX-License-Identifier: Apache-2.0
#include "sim/boot/boot_internal.h"

#include "format/sr_bytes.h"
#include "format/sr_image.h"
#include "format/sr_mcuboot.h"
#include "format/sr_partition_table.h"
#include "format/sr_reader.h"
#include "format/sr_region.h"
#include "sim/boot/boot_plain.h"
#include "sim/boot/digest_memo.h"
#include "sim/crypt/plain_memo.h"
#include "sim/nor/flash_buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ESP32_REVISION 300u // the one that the oracle was measured on
#define CHIP_ID        12u  // offsets in the image header
#define MIN_REVISION   15u
#define DESC_MAGIC     0x50u
#define LOADER_ROOM    0x100000u // more than any chip has RAM for
#define DESC_VERSION   8u        // offset of the ESP-IDF version in a bootloader's descriptor

bool boot_rom_knows_recovery(const boot_chip_t *chip)
{
    return chip->chip != NULL && chip->chip->recovery_revision != 0 &&
           ((chip->revision == 0 && !chip->revision_told) || chip->revision >= chip->chip->recovery_revision);
}

bool boot_rom_knows_version(const boot_chip_t *chip)
{
    return chip->chip != NULL && chip->chip->rom_checks_version;
}

uint32_t boot_rom_stack(const boot_t *boot)
{
    const unsigned asked = sr_bytes_get_le16(boot->loader.header + MIN_REVISION);
    const unsigned revision = boot->any_revision ? asked : boot->revision;
    return boot->memory->rom_stack_v3 != 0 && revision >= 300 ? boot->memory->rom_stack_v3 : boot->memory->rom_stack;
}

const uint8_t *boot_view(const boot_t *boot, uint32_t address, uint32_t *length)
{
    uint32_t start = address % boot->size;
    if (*length > boot->size - start) {
        *length = boot->size - start;
    }
    return boot->cipher != NULL ? plain_memo(boot->cipher, boot->flash, boot->size, start, *length)
                                : boot->flash + start;
}

void boot_traced(const boot_t *boot, uint32_t address, uint32_t length)
{
    while (boot->trace != NULL && length != 0) {
        uint32_t part = length;
        (void)boot_view(boot, address, &part);
        boot->trace(boot->context, address % boot->size, part);
        address += part;
        length -= part;
    }
}

void boot_read(const boot_t *boot, uint32_t address, void *out, uint32_t length)
{
    boot_traced(boot, address, length);
    for (uint8_t *to = out; length != 0;) {
        uint32_t part = length;
        const uint8_t *from = boot_view(boot, address, &part);
        memcpy(to, from, part);
        to += part;
        address += part;
        length -= part;
    }
}

bool boot_digest(const boot_t *boot, uint32_t address, uint32_t length, uint8_t sha256[SR_SHA256_SIZE])
{
    boot_traced(boot, address, length);
    uint32_t contiguous = length;
    const uint8_t *bytes = boot_view(boot, address, &contiguous);
    if (contiguous == length) {
        return digest_memo(bytes, length, sha256);
    }
    sr_sha256_t sha;
    sr_sha256_start(&sha);
    while (length != 0) {
        uint32_t part = length;
        const uint8_t *from = boot_view(boot, address, &part);
        sr_sha256_update(&sha, from, part);
        address += part;
        length -= part;
    }
    return sr_sha256_finish(&sha, sha256) == 0;
}

const char *boot_magic_fault(const boot_t *boot, uint32_t address, uint8_t magic)
{
    const uint8_t cell = boot->flash[address % boot->size];
    if (boot->cipher == NULL) {
        return "invalid magic byte";
    }
    return cell == magic  ? "is not encrypted, and the chip decrypts it to nonsense"
           : cell == 0xFF ? "is erased, and the chip decrypts that to nonsense"
                          : "decrypts to nonsense";
}

/* Eight at a time: this is done to whole apps, at each boot. */
static uint8_t xor_bytes(const uint8_t *bytes, uint32_t length)
{
    uint64_t wide = 0;
    uint32_t i = 0;
    for (; i + sizeof(wide) <= length; i += sizeof(wide)) {
        uint64_t next;
        memcpy(&next, bytes + i, sizeof(next));
        wide ^= next;
    }
    uint8_t sum = 0;
    for (; i < length; i++) {
        sum ^= bytes[i];
    }
    for (unsigned shift = 0; shift < 64; shift += 8) {
        sum ^= (uint8_t)(wide >> shift);
    }
    return sum;
}

uint8_t boot_xor(const boot_t *boot, uint32_t address, uint32_t length)
{
    uint8_t sum = 0;
    while (length != 0) {
        uint32_t part = length;
        const uint8_t *from = boot_view(boot, address, &part);
        sum ^= xor_bytes(from, part);
        address += part;
        length -= part;
    }
    return sum;
}

static uint8_t *writable(boot_t *boot)
{
    if (boot->flash != boot->writable) {
        flash_buffer_copy(boot->writable, boot->flash, boot->size);
        boot->flash = boot->writable;
    }
    return boot->writable;
}

void boot_erase(boot_t *boot, uint32_t address, uint32_t length)
{
    uint8_t *flash = writable(boot);
    uint32_t first = address / SR_SECTOR_SIZE * SR_SECTOR_SIZE;
    uint32_t sectors = (uint32_t)(((uint64_t)address + length - first + SR_SECTOR_SIZE - 1) / SR_SECTOR_SIZE);
    for (uint32_t i = 0; i < sectors; i++) {
        uint8_t *sector = flash + (first + i * SR_SECTOR_SIZE) % boot->size;
        for (uint32_t k = 0; k < SR_SECTOR_SIZE; k++) {
            boot->result->flash_changed |= sector[k] != 0xFF;
            sector[k] = 0xFF;
        }
    }
}

static void program_cells(boot_t *boot, uint32_t address, const uint8_t *bytes, uint32_t length)
{
    uint8_t *flash = writable(boot);
    for (uint32_t i = 0; i < length; i++) {
        uint8_t *cell = &flash[(address + i) % boot->size];
        boot->result->flash_changed |= (uint8_t)(*cell & bytes[i]) != *cell;
        *cell &= bytes[i];
    }
}

void boot_program(boot_t *boot, uint32_t address, const void *data, uint32_t length)
{
    if (boot->cipher == NULL) {
        program_cells(boot, address, data, length);
        return;
    }
    for (uint32_t at = 0; at < length; at += BOOT_ENCRYPTION_UNIT) {
        uint8_t unit[BOOT_ENCRYPTION_UNIT];
        memcpy(unit, (const uint8_t *)data + at, sizeof(unit));
        flash_cipher_encrypt(boot->cipher, (address + at) % boot->size, unit, sizeof(unit));
        program_cells(boot, address + at, unit, sizeof(unit));
    }
}

void boot_end(boot_t *boot, boot_outcome_t outcome, const char *format, ...)
{
    boot->result->outcome = outcome;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(boot->result->reason, sizeof(boot->result->reason), format, arguments);
    va_end(arguments);
}

void boot_enter_app(boot_t *boot, uint32_t address, uint32_t length)
{
    boot->result->app_offset = address;
    boot->result->app.address = address;
    boot->result->app.length = length;
    (void)boot_digest(boot, address, length, boot->result->app.sha256);
}

bool boot_revision_fits(const boot_t *boot, const uint8_t header[24], bool check_maximum)
{
    if (boot->any_revision) {
        return true;
    }
    if (!boot->loader.full_revision) {
        unsigned revision = boot->chip->old_revision_is_minor ? boot->revision % 100u : boot->revision / 100u;
        return revision >= header[14];
    }
    unsigned minimum = header[15] | (unsigned)header[16] << 8;
    unsigned maximum = header[17] | (unsigned)header[18] << 8;
    const bool counts = check_maximum && !boot->efuses.ignores_max_revision && maximum != 0 && maximum != 0xFFFF;
    if (counts && boot->revision > maximum) {
        return false;
    }
    return boot->revision >= minimum;
}

static bool loader_contains(const boot_t *boot, const void *needle, size_t length)
{
    uint32_t room = boot->loader.length;
    const uint8_t *image = boot_view(boot, boot->loader.offset, &room);
    return memmem(image, room, needle, length) != NULL;
}

static bool loader_says(const boot_t *boot, const char *text)
{
    return loader_contains(boot, text, strlen(text));
}

/** ESP-IDF bootloaders since v5.2 start their data with a descriptor. */
static bool has_descriptor(const boot_t *boot, bool *since_v5_3)
{
    uint8_t desc[DESC_VERSION + sizeof("v5.2") - 1];
    boot_read(boot, boot->loader.offset + boot->loader.segments[0].data_offset, desc, sizeof(desc));
    const uint8_t *version = desc + DESC_VERSION;
    const bool found = boot->loader.segments[0].length > sizeof(desc) && desc[0] == DESC_MAGIC && version[0] == 'v' &&
                       version[1] >= '5' && version[1] <= '9';
    *since_v5_3 = found && (version[1] > '5' || version[3] >= '3');
    return found;
}

/**
 * Which generation of ESP-IDF's bootloader code this is: from what it carries, as its version decides, and not every
 * build prints or even contains its version.
 */
static void identify_generation(boot_t *boot)
{
    boot_loader_t *loader = &boot->loader;
    // Assertions name their condition. Builds before v4.1 assert on the start-up stack, but know no range check yet.
    bool range_assertion = loader_says(boot, "load_end > load_addr");
    loader->checks_ranges = range_assertion || !loader_says(boot, "sp < &_bss_start");
    // Chips that came with ESP-IDF v5, and bootloaders since v4.4.3, know the full revision only.
    loader->described = has_descriptor(boot, &loader->since_v5_3);
    bool full = boot->memory->chip_id > 0x09 || loader->described || loader_says(boot, "chip rev >= v%") ||
                loader_says(boot, "chip revision check failed. Required");
    bool old = loader_says(boot, "on lower chip revision") || loader_says(boot, "configured for minimum revision") ||
               !loader->checks_ranges;
    // A build without messages that is not as old as that: most of them are v4.4.3 or later.
    loader->full_revision = full || !old;
    loader->checks_block = boot->memory->chip_id != 0 && loader_says(boot, "efuse blk rev");
    loader->wants_encryption = loader_says(boot, SR_CHIP_SAYS_ONLY_ENCRYPTED);
}

static bool loader_names(const boot_t *boot, const char *size)
{
    return loader_contains(boot, size, strlen(size) + 1);
}

sr_chip_size_message_t boot_loader_size_message(const boot_t *boot, uint8_t code)
{
    const char *name = sr_chip_size_name(code);
    if (name != NULL && loader_names(boot, name)) {
        return SR_CHIP_SIZE_NAMED;
    }
    return loader_names(boot, sr_chip_size_name(SR_CHIP_SIZE_CODE_ALL_KNOW)) ? SR_CHIP_SIZE_NOT_NAMED
                                                                             : SR_CHIP_SIZE_NO_WORD;
}

static uint32_t table_offset_of(const boot_chip_t *chip, const uint8_t loader[SR_SHA256_SIZE])
{
    const uint32_t old = chip->partition_table != 0 ? chip->partition_table : SR_PARTITION_TABLE_OFFSET;
    const bool is_old = chip->new_partition_table == 0 || memcmp(loader, chip->old_loader, SR_SHA256_SIZE) == 0;
    return is_old ? old : chip->new_partition_table;
}

uint32_t boot_table_offset(const boot_chip_t *chip, const uint8_t *flash, uint32_t size)
{
    uint8_t loader[SR_SHA256_SIZE];
    const uint32_t start = chip->chip->bootloader_offset;
    memcpy(loader, chip->old_loader, sizeof(loader));
    if (chip->new_partition_table != 0 && start < size) {
        sr_image_t image;
        const uint32_t room = size - start < LOADER_ROOM ? size - start : LOADER_ROOM;
        const uint8_t *bytes = boot_plain(chip, flash, size, start, room);
        const sr_reader_t reader = sr_reader_memory(bytes, room);
        if (sr_image_parse(&reader, &image) == SR_IMAGE_OK) {
            (void)digest_memo(bytes, image.length, loader);
        }
    }
    return table_offset_of(chip, loader);
}

static void enter_loader(boot_t *boot)
{
    bool mcuboot = loader_contains(boot, sr_mcuboot_trailer_magic, SR_MCUBOOT_TRAILER_MAGIC_SIZE);
    boot->result->loader = mcuboot ? BOOT_LOADER_MCUBOOT : BOOT_LOADER_IDF;
    if (sr_bytes_get_le16(boot->loader.header + CHIP_ID) != boot->chip->image_chip_id) {
        boot_end(boot, BOOT_BOOTLOADER_REJECTS, "the bootloader's header names another chip"); // the ROM did not look
    } else if (!boot_revision_fits(boot, boot->loader.header, false)) {
        boot_end(boot, BOOT_BOOTLOADER_REJECTS, "the bootloader's header asks for a newer chip than revision v%u.%u",
                 boot->revision / 100u, boot->revision % 100u);
    } else if (mcuboot && boot->cipher != NULL) {
        boot_end(boot, BOOT_NOT_KNOWN,
                 "MCUboot on a chip that encrypts its flash: its slots are laid out in another way, "
                 "which is not modelled");
    } else if (mcuboot) {
        boot_mcuboot(boot);
    } else {
        boot_idf(boot);
    }
}

bool boot_start(const boot_chip_t *chip, const uint8_t *flash, uint8_t *aside, uint32_t size, boot_trace_t trace,
                void *context, boot_result_t *result, boot_t *boot)
{
    *result = (boot_result_t){.outcome = BOOT_ROM_REJECTS};
    *boot = (boot_t){
        .chip = chip->chip,
        .memory = chip->chip != NULL ? boot_memory_of(chip->chip->image_chip_id) : NULL,
        .cipher = chip->cipher,
        .may_encrypt = chip->may_encrypt,
        .rollback = chip->rollback,
        .recovery = boot_rom_knows_recovery(chip) ? chip->recovery : 0,
        .efuses = chip->efuses,
        .burnt = &chip->burnt,
        .taken = chip->taken,
        .flash = flash,
        .writable = aside,
        .size = size,
        .trace = trace,
        .context = context,
        .result = result,
    };
    if (boot->memory == NULL || size < SR_SECTOR_SIZE || !sr_region_is_aligned(size, SR_SECTOR_SIZE)) {
        boot_end(boot, BOOT_ROM_REJECTS, "no such chip, or a flash of %u bytes", (unsigned)size);
        return false;
    }
    const bool told = chip->revision != 0 || chip->revision_told;
    boot->revision = !told && boot->memory->chip_id == 0 ? ESP32_REVISION : chip->revision;
    boot->any_revision = !told && boot->memory->chip_id != 0;
    if (!boot_rom(boot)) {
        return false;
    }
    boot->table_offset = table_offset_of(chip, result->bootloader.sha256);
    identify_generation(boot);
    return true;
}

const uint8_t *boot_run_aside(const boot_chip_t *chip, const uint8_t *flash, uint8_t *aside, uint32_t size,
                              boot_trace_t trace, void *context, boot_result_t *result)
{
    boot_t boot;
    if (boot_start(chip, flash, aside, size, trace, context, result, &boot)) {
        enter_loader(&boot);
        result->encrypts = chip->first_encryption != NULL && result->loader == BOOT_LOADER_IDF &&
                           boot_succeeds(result) &&
                           memcmp(result->bootloader.sha256, chip->old_loader, SR_SHA256_SIZE) != 0;
    }
    if (boot.doubtful && boot_succeeds(result)) {
        boot_end(&boot, BOOT_NOT_KNOWN,
                 "Secure Boot V1: without its key nobody can tell whether the ROM takes the bootloader with the digest "
                 "at 0x0 (--secure-boot-key)");
    }
    return boot.flash;
}

void boot_run(const boot_chip_t *chip, uint8_t *flash, uint32_t size, boot_trace_t trace, void *context,
              boot_result_t *result)
{
    (void)boot_run_aside(chip, flash, flash, size, trace, context, result);
}

const char *boot_outcome_name(boot_outcome_t outcome)
{
    static const char *const names[] = {"boots", "swaps_then_boots", "rom_rejects", "bootloader_rejects", "not_known"};
    return (unsigned)outcome < sizeof(names) / sizeof(names[0]) ? names[outcome] : "?";
}
