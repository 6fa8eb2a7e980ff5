// SPDX-License-Identifier: Apache-2.0
// Writes valid inputs for the fuzz targets, a few KiB each: make_seeds FOLDER. Each target has its own folder in there.
#include "make/bundle_signer.h"
#include "make/bundle_writer.h"
#include "make/cargo_writer.h"
#include "fuzz_chunk_content.h"
#include "format/sr_bytes.h"
#include "format/sr_record.h"
#include "make/image_writer.h"
#include "make/signature_block.h"
#include "test/support/support_nvs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

static uint8_t bytes[0x4000];

/** As the ROM has it, of which no more than this is needed here. */
uint32_t esp_rom_crc32_le(uint32_t crc, uint8_t const *buf, uint32_t len)
{
    return (uint32_t)crc32(crc, buf, len);
}

/** Writes FOLDER/TARGET/NAME. */
static void save(const char *folder, const char *target, const char *name, const void *content, size_t size)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, target);
    const bool there = mkdir(path, 0777) == 0 || errno == EEXIST;
    (void)snprintf(path, sizeof(path), "%s/%s/%s", folder, target, name);
    FILE *file = there ? fopen(path, "wb") : NULL;
    if (file == NULL || fwrite(content, 1, size, file) != size || fclose(file) != 0) {
        perror(path);
        exit(EXIT_FAILURE);
    }
}

static void require(bool condition, const char *what)
{
    if (!condition) {
        (void)fprintf(stderr, "make_seeds: %s failed\n", what);
        exit(EXIT_FAILURE);
    }
}

/** The list of a record for a bundle, after the manifest: as fuzz_record takes them. */
static void save_record(const char *folder, const char *name, const uint8_t *bundle, size_t size, uint32_t entries)
{
    static uint8_t list[SR_SECTOR_SIZE];
    sr_bundle_t parsed;
    require(sr_bundle_parse(bundle, (uint32_t)size, &parsed) == SR_BUNDLE_OK, "record");
    const sr_record_entry_t rows[] = {
        {.address = 0x9000, .sectors = 5, .group = SR_RECORD_DATA, .blank = true},
        {.address = 0x14000, .sectors = 2, .group = SR_RECORD_DATA, .digest = {1}},
        {.address = 0x1000, .sectors = 1, .group = SR_RECORD_BOOTLOADER, .data_index = entries > 2 ? 2 : 0},
    };
    sr_record_header_t header = {.count = entries, .manifest_size = parsed.manifest_size + SR_BUNDLE_SIGNATURE_SIZE};
    memset(list, 0xFF, sizeof(list));
    sr_record_write_entry(list, 0, &rows[0]);
    sr_record_write_entry(list, 1, entries > 2 ? &rows[1] : &rows[2]);
    sr_record_write_entry(list, 2, &rows[2]);
    header.sectors = sr_record_manifest_sectors(header.manifest_size) + (entries > 2 ? 3 : 1);
    require(sr_record_write_header(list, &header), "record");
    bytes[0] = 1;
    bytes[1] = (uint8_t)parsed.manifest_size;
    bytes[2] = (uint8_t)(parsed.manifest_size >> 8);
    memcpy(bytes + 3, bundle, parsed.manifest_size);
    memcpy(bytes + 3 + parsed.manifest_size, list, SR_PAGE_SIZE + 4 * 32);
    save(folder, "fuzz_record", name, bytes, 3 + parsed.manifest_size + SR_PAGE_SIZE + 4 * 32);
}

static void make_bundles(const char *folder)
{
    uint8_t content[3 * SR_SECTOR_SIZE];
    memset(content, 0xFF, sizeof(content));
    memset(content, 'a', 100);
    memset(content + 2 * SR_SECTOR_SIZE, 'b', 5);
    const bundle_region_t regions[] = {
        {.place = {0x1000, 0x1000}, .data = content, .length = 100},
        {.place = {0x9000, 0x5000}, .initial = true},
        {.place = {0xF000, 0x4000}, .data = content, .length = sizeof(content)},
    };
    bundle_spec_t spec = {.chip_id = 9,
                          .min_flash_size = 0x400000,
                          .partition_table_offset = SR_BUNDLE_NO_TABLE,
                          .regions = regions,
                          .region_count = 3,
                          .sequence = 1};
    uint8_t *bundle = NULL;
    size_t size = 0;
    char private_pem[BUNDLE_PEM_SIZE];
    char public_pem[BUNDLE_PEM_SIZE];
    require(bundle_keygen(private_pem, public_pem) == SR_BUNDLE_OK, "keygen");
    require(bundle_write(&spec, &bundle, &size) == BUNDLE_WRITE_OK, "bundle");
    save(folder, "fuzz_bundle", "unsigned", bundle, size);
    save_record(folder, "record", bundle, size, 2);
    require(bundle_sign(bundle, size, private_pem) == SR_BUNDLE_OK, "sign");
    save(folder, "fuzz_bundle", "signed", bundle, size);
    save(folder, "fuzz_bundle", "public.pem", public_pem, strlen(public_pem));
    free(bundle);
    const sr_bundle_move_t moves[] = {
        {.source = {0x2000, 0x1000}, .destination = {0x3000, 0x2000}},
        {.label = "nvs", .destination = {0x14000, 0x5000}},
    };
    spec.moves = moves;
    spec.move_count = 2;
    require(bundle_write(&spec, &bundle, &size) == BUNDLE_WRITE_OK, "bundle");
    save(folder, "fuzz_bundle", "moves", bundle, size);
    save_record(folder, "moves", bundle, size, 3);
    free(bundle);
    spec.move_count = 0;
    spec.region_count = 2;
    spec.regions = regions + 1;
    require(bundle_write(&spec, &bundle, &size) == BUNDLE_WRITE_OK, "bundle");
    save(folder, "fuzz_bundle", "erased", bundle, size);
    free(bundle);
}

/** The bundle's chunks alone, and the whole bundle, each after the byte that says which it is. */
static void make_chunks(const char *folder)
{
    static uint8_t content[FUZZ_CHUNK_SECTORS * SR_SECTOR_SIZE];
    uint8_t *bundle = NULL;
    size_t size = 0;
    sr_bundle_t parsed;
    fuzz_chunk_content(content);
    require(fuzz_chunk_bundle(content, &bundle, &size) == BUNDLE_WRITE_OK, "bundle");
    require(size < sizeof(bytes) && sr_bundle_parse(bundle, (uint32_t)size, &parsed) == SR_BUNDLE_OK, "bundle");
    bytes[0] = FUZZ_CHUNK_BUNDLE;
    memcpy(bytes + 1, bundle, size);
    save(folder, "fuzz_chunk", "bundle", bytes, size + 1);
    const size_t start = parsed.manifest_size + SR_BUNDLE_SIGNATURE_SIZE;
    bytes[0] = FUZZ_CHUNK_DATA;
    memcpy(bytes + 1, bundle + start, size - start);
    save(folder, "fuzz_chunk", "data", bytes, size - start + 1);
    save(folder, "fuzz_chunk", "data-cut-off", bytes, size - start);
    free(bundle);
}

static void make_tables(const char *folder)
{
    const sr_partition_table_entry_t entries[] = {
        {.type = 1, .subtype = 2, .address = 0x9000, .size = 0x5000, .label = "nvs"},
        {.type = 1, .subtype = 0, .address = 0xE000, .size = 0x2000, .label = "otadata"},
        {.type = 0, .subtype = 0x10, .address = 0x10000, .size = 0x100000, .label = "app0"},
        {.type = 0, .subtype = 0x11, .address = 0x110000, .size = 0x100000, .label = "app1"},
    };
    require(image_write_partition_table(entries, 4, bytes) == IMAGE_WRITE_OK, "partition table");
    save(folder, "fuzz_partition_table", "table", bytes, SR_PARTITION_TABLE_SIZE);
    save(folder, "fuzz_content_kind", "table", bytes, SR_PARTITION_TABLE_SIZE);
    memset(bytes + 4 * SR_PARTITION_ENTRY_SIZE, 0xFF, SR_PARTITION_ENTRY_SIZE);
    save(folder, "fuzz_partition_table", "table-without-md5", bytes, SR_PARTITION_TABLE_SIZE);
    image_write_otadata(3, SR_OTA_VALID, bytes);
    save(folder, "fuzz_partition_table", "otadata", bytes, IMAGE_WRITE_OTADATA_SIZE);
    save(folder, "fuzz_content_kind", "otadata", bytes, IMAGE_WRITE_OTADATA_SIZE);
}

/** The cargo of an app, which is there already, and the settings alone. */
static void make_cargo(const char *folder, size_t app_size)
{
    const sr_cargo_setting_t settings[] = {{"allow_in_place", "1"}, {"public_key", "PEM"}};
    const cargo_spec_t spec = {.app = bytes,
                               .app_size = (uint32_t)app_size,
                               .settings = settings,
                               .setting_count = 2,
                               .bundle = (const uint8_t *)"bundle",
                               .bundle_size = 6};
    uint8_t *image = NULL;
    size_t size = 0;
    sr_image_t parsed;
    require(cargo_write(&spec, &image, &size) == IMAGE_WRITE_OK, "cargo");
    const sr_reader_t reader = sr_reader_memory(image, (uint32_t)size);
    require(sr_image_parse(&reader, &parsed) == SR_IMAGE_OK, "cargo");
    const sr_image_segment_t *last = &parsed.segments[parsed.segment_count - 1];
    save(folder, "fuzz_esp_image", "app-with-cargo", image, size);
    save(folder, "fuzz_cargo", "cargo", image + last->data_offset, last->length);
    save(folder, "fuzz_cargo", "settings", image + last->data_offset + SR_CARGO_HEADER_SIZE, 32);
    free(image);
}

/** An image with three blocks, after the byte that says what is burnt. */
static void make_signed(const char *folder, const image_write_esp_t *spec)
{
    const signature_block_t blocks[] = {
        {.key = 1}, {.scheme = SR_SECURE_BOOT_ECDSA_P256, .key = 2}, {.scheme = SR_SECURE_BOOT_ECDSA_P384, .key = 3}};
    size_t length = 0;
    require(image_write_esp(spec, bytes + 1, sizeof(bytes) - 1, &length) == IMAGE_WRITE_OK &&
                signature_block_append(bytes + 1, &length, sizeof(bytes) - 1, blocks, 3) == IMAGE_WRITE_OK,
            "signed app");
    bytes[0] = 1u << 2;
    save(folder, "fuzz_secure_boot", "signed", bytes, 1 + length);
    bytes[0] |= 1u << 5;
    save(folder, "fuzz_secure_boot", "revoked", bytes, 1 + length);
}

static void make_images(const char *folder)
{
    uint8_t desc[IMAGE_WRITE_APP_DESC_SIZE];
    require(image_write_app_desc("seed", "1.0", "v5.5", desc) == IMAGE_WRITE_OK, "app descriptor");
    const image_write_segment_t segments[] = {
        {.load_address = 0x3F400020, .data = desc, .length = sizeof(desc)},
        {.load_address = 0x40080000, .data = desc, .length = 32},
    };
    image_write_esp_t spec = {.spi_mode = 2,
                              .spi_size = 2,
                              .entry = 0x40080000,
                              .max_chip_rev_full = 399,
                              .append_hash = true,
                              .segments = segments,
                              .segment_count = 2};
    size_t length = 0;
    make_signed(folder, &spec);
    require(image_write_esp(&spec, bytes, sizeof(bytes), &length) == IMAGE_WRITE_OK, "app");
    save(folder, "fuzz_esp_image", "app", bytes, length);
    save(folder, "fuzz_content_kind", "app", bytes, length);
    spec.append_hash = false;
    require(image_write_esp(&spec, bytes, sizeof(bytes), &length) == IMAGE_WRITE_OK, "app without digest");
    save(folder, "fuzz_esp_image", "app-without-digest", bytes, length);
    make_cargo(folder, length);
}

static void make_slots(const char *folder)
{
    const uint8_t payload[IMAGE_WRITE_LOAD_HEADER_SIZE + 32] = {1, 2, 3};
    const image_write_mcuboot_t spec = {.version_major = 1,
                                        .payload = payload,
                                        .payload_size = sizeof(payload),
                                        .slot_size = 0x1000,
                                        .trailer = IMAGE_WRITE_TRAILER_TEST};
    require(image_write_mcuboot(&spec, bytes, sizeof(bytes)) == IMAGE_WRITE_OK, "MCUboot slot");
    save(folder, "fuzz_mcuboot", "slot", bytes, spec.slot_size);
    save(folder, "fuzz_mcuboot", "slot-without-trailer", bytes, 0x400);
}

/** How many pages there is room for, and the beginnings of some. */
static void make_pages(const char *folder)
{
    static uint8_t page[SR_SECTOR_SIZE];
    bytes[0] = 4;
    for (unsigned i = 0; i < 5; i++) {
        memset(page, 0xFF, sizeof(page));
        if (i != 1) {
            nvs_page_in_use(page, 5 - i);
        }
        memcpy(bytes + 1 + i * SR_PAGE_SIZE, page, SR_PAGE_SIZE);
    }
    save(folder, "fuzz_nvs", "one-too-many", bytes, 1 + 5 * SR_PAGE_SIZE);
    save(folder, "fuzz_nvs", "fits", bytes, 1 + 4 * SR_PAGE_SIZE);
}

static void make_manifest(const char *folder, const char *name, const char *format, const char *offset)
{
    char text[1024];
    const int length = snprintf(text, sizeof(text), format, offset);
    require(length > 0 && (size_t)length < sizeof(text), "manifest");
    save(folder, "fuzz_web_manifest", name, text, (size_t)length);
}

static void make_manifests(const char *folder)
{
    static const char one_part[] =
        "{\"builds\": [{\"chipFamily\": \"ESP32-C3\", \"parts\": [{\"path\": \"a.bin\", \"offset\": %s}]}]}\n";
    static const char two_builds[] =
        "{\"name\": \"x\", \"version\": \"1\", \"builds\": [\n"
        "{\"chipFamily\": \"ESP32-C3\", \"parts\": [{\"path\": \"c3.bin\", \"offset\": 0}]},\n"
        "{\"chipFamily\": \"ESP32\", \"parts\": [{\"path\": \"/b.bin\", \"offset\": \"0x1000\"}, "
        "{\"path\": \"app.bin\", \"offset\": %s}]}]}\n";
    static const char *const offsets[][2] = {
        {"number", "65536"},      {"text", "\"0x10000\""}, {"kilo", "\"64K\""},         {"negative", "-4096"},
        {"fraction", "4096.5"},   {"huge", "1e999"},       {"4-gib", "4294967296"},     {"nan", "NaN"},
        {"null", "null"},         {"truth", "true"},       {"text-nan", "\"nan\""},     {"text-huge", "\"4096M\""},
        {"object", "{\"a\": 1}"}, {"list", "[4096]"},      {"text-negative", "\"-1\""}, {"text-empty", "\"\""},
    };
    for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
        make_manifest(folder, offsets[i][0], one_part, offsets[i][1]);
    }
    make_manifest(folder, "two-builds", two_builds, "\"0x210000\"");
    make_manifest(folder, "no-builds", "{\"builds\": %s}", "[]");
    make_manifest(folder, "no-parts", "{\"builds\": [{\"chipFamily\": \"ESP32\", \"parts\": %s}]}", "[]");
    make_manifest(folder, "no-family", "{\"builds\": [{\"parts\": [{\"path\": \"a\", \"offset\": %s}]}]}", "1");
    static const char *const addresses[][2] = {
        {"on-a-server", "https://example.org/a.bin"}, {"on-another", "//example.org:80/a b.bin?c=/../#d"},
        {"above", "../../x/./%2e%2e%2fa.bin"},        {"with-password", "http://a:b@example.org/"},
        {"no-http", "ftp://example.org/a.bin"},
    };
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        make_manifest(folder, addresses[i][0],
                      "{\"builds\": [{\"chipFamily\": \"ESP32\", \"parts\": [{\"path\": \"%s\", \"offset\": 1}]}]}",
                      addresses[i][1]);
    }
    memset(bytes, '[', sizeof(bytes));
    save(folder, "fuzz_web_manifest", "deep", bytes, 999);
    save(folder, "fuzz_web_manifest", "too-deep", bytes, sizeof(bytes));
}

/** A page of NVS, and two blocks of each file system: what signatures are looked for in. */
static void make_kinds(const char *folder)
{
    static const char *const superblock = "\1\0\0\0\377\17\0\360littlefs\0\0\0\0\1\0\2\0\0\20\0\0\2\0\0";
    memset(bytes, 0xFF, sizeof(bytes));
    memcpy(bytes, superblock, 31);
    bytes[31] = 0;
    save(folder, "fuzz_content_kind", "littlefs", bytes, 2 * SR_SECTOR_SIZE);
    memset(bytes, 0xFF, sizeof(bytes));
    memcpy(bytes + 252, "\x2b\x04", 2);
    memcpy(bytes + SR_SECTOR_SIZE + 252, "\x28\x04", 2);
    save(folder, "fuzz_content_kind", "spiffs", bytes, 2 * SR_SECTOR_SIZE);
    memset(bytes, 0, SR_SECTOR_SIZE);
    memcpy(bytes, "\xeb\xfe\x90", 3);
    memcpy(bytes + 11, "\0\x10\1\1\0\2\0\2\x80\0", 10);
    memcpy(bytes + 54, "FAT", 3);
    memcpy(bytes + 510, "\x55\xaa", 2);
    save(folder, "fuzz_content_kind", "fat", bytes, SR_SECTOR_SIZE);
    nvs_page(bytes, NVS_ACTIVE, 0);
    memcpy(nvs_entry(bytes, 0), "\0\1\1\xff\0\0\0\0wifi\0\0\0\0", 16);
    nvs_mark(bytes, 0, 2);
    save(folder, "fuzz_content_kind", "nvs", bytes, SR_SECTOR_SIZE);
    memset(bytes, 0, 512);
    memcpy(bytes, "UF2\n\x57\x51\x5d\x9e\0\x20", 10);
    memcpy(bytes + 508, "\x30\x6f\xb1\x0a", 4);
    sr_bytes_put_le32(bytes + 16, 256);
    sr_bytes_put_le32(bytes + 24, 3);
    sr_bytes_put_le32(bytes + 28, 0x1C5F21B0);
    save(folder, "fuzz_content_kind", "uf2", bytes, 512);
    for (uint32_t i = 1; i < 3; i++) { // a gap follows the second block
        memcpy(bytes + 512 * (size_t)i, bytes, 512);
        sr_bytes_put_le32(bytes + 512 * (size_t)i + 12, i == 1 ? 256 : 1024);
        sr_bytes_put_le32(bytes + 512 * (size_t)i + 20, i);
    }
    save(folder, "fuzz_uf2", "three", bytes, 3 * (size_t)512);
    save(folder, "fuzz_content_kind", "elf",
         "\177ELF\1\1\1\0\0\0\0\0\0\0\0\0\2\0\x5e\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 52);
    save(folder, "fuzz_content_kind", "gzip", "\x1f\x8b\10\10\0\0\0\0\0\3name\0\1\2\3\4\5\6\7\10", 23);
    // without the first two bytes, which the target puts in front: an app's first byte, stored
    save(folder, "fuzz_gzip", "stored", "\10\0\0\0\0\0\0\3\1\1\0\xfe\xff\xe9\x51\xb5\xd4\x0b\1\0\0\0", 22);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "usage: make_seeds FOLDER\n");
        return EXIT_FAILURE;
    }
    make_bundles(argv[1]);
    make_chunks(argv[1]);
    make_tables(argv[1]);
    make_images(argv[1]);
    make_slots(argv[1]);
    make_pages(argv[1]);
    make_manifests(argv[1]);
    make_kinds(argv[1]);
    return EXIT_SUCCESS;
}
