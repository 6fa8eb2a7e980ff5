// SPDX-License-Identifier: Apache-2.0
#include "test/support/api_support.h"
#include "test/support/support_cipher.h"

#include "make/dummy_image.h"
#include "sim/nor/flash_buffer.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define IMAGE_ROOM    0x180000u
#define KEPT_CONTENTS 4u

static api_image_t new_image(size_t capacity)
{
    const api_image_t image = {.bytes = malloc(capacity), .length = 0};
    assert_non_null(image.bytes);
    return image;
}

api_image_t api_bootloader(const char *chip)
{
    api_image_t image = new_image(IMAGE_ROOM);
    assert_int_equal(dummy_image_bootloader(sr_chip_by_name(chip), 2, image.bytes, IMAGE_ROOM, &image.length),
                     IMAGE_WRITE_OK);
    return image;
}

api_image_t api_mcuboot(void)
{
    api_image_t image = new_image(IMAGE_ROOM);
    assert_int_equal(dummy_image_mcuboot(image.bytes, IMAGE_ROOM, &image.length), IMAGE_WRITE_OK);
    return image;
}

api_image_t api_app(uint32_t code_size)
{
    api_image_t image = new_image(IMAGE_ROOM);
    const dummy_image_app_t app = {.chip = sr_chip_by_name("esp32"),
                                   .spi_size = 2,
                                   .project_name = "test",
                                   .version = "1.0",
                                   .code_size = code_size};
    assert_int_equal(dummy_image_app(&app, image.bytes, IMAGE_ROOM, &image.length), IMAGE_WRITE_OK);
    return image;
}

api_image_t api_noise(size_t length, uint32_t seed)
{
    api_image_t image = new_image(length);
    dummy_image_fill(image.bytes, length, seed);
    /* Otherwise it might by chance start as an image does, or end in bytes that look erased. */
    image.bytes[0] = 0x42;
    image.bytes[length - 1] = 0x24;
    image.length = length;
    return image;
}

api_image_t api_copy(api_image_t image)
{
    api_image_t copy = new_image(image.length);
    memcpy(copy.bytes, image.bytes, image.length);
    copy.length = image.length;
    return copy;
}

api_image_t api_fixture(const char *name)
{
    const char *folder = getenv("SELF_REFLASHER_FIXTURES");
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s", folder != NULL ? folder : TEST_FIXTURES_DEFAULT, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        print_message("skipped: no %s\n", path);
        skip();
    }
    api_image_t image = new_image(API_FLASH_SIZE);
    image.length = fread(image.bytes, 1, API_FLASH_SIZE, file);
    fclose(file);
    assert_true(image.length > 0);
    return image;
}

void api_image_free(api_image_t *image)
{
    free(image->bytes);
    *image = (api_image_t){0};
}

/* The chip. */

static bool is_other_slot(const sr_partition_table_entry_t *entry, uint32_t running_app)
{
    return entry->type == SR_PARTITION_TYPE_APP && entry->address != running_app;
}

static void put_table(uint8_t *flash, uint32_t running_app, const api_options_t *options)
{
    const bool lone_slot = options->lone_slot;
    sr_partition_table_entry_t entries[] = {
        {.type = 1, .subtype = SR_PARTITION_DATA_NVS, .address = API_NVS, .size = 0x4000, .label = "nvs"},
        {.type = 1, .subtype = SR_PARTITION_DATA_OTA, .address = API_OTADATA, .size = 0x2000, .label = "otadata"},
        {.type = 0, .subtype = 0x10, .address = API_OTA_0, .size = API_SLOT_SIZE, .label = "ota_0"},
        {.type = 0, .subtype = 0x11, .address = API_OTA_1, .size = API_SLOT_SIZE, .label = "ota_1"},
        {.type = 0, .subtype = 0x12, .address = API_OTA_2, .size = API_SLOT_SIZE, .label = "ota_2"},
        {.type = 0, .subtype = 0x13, .address = API_OTA_3, .size = 0x10000, .label = "ota_3"},
        {.type = 1, .subtype = 0x82, .address = API_DATA, .size = API_FLASH_SIZE - API_DATA, .label = "data"},
    };
    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
        entries[i].flags |= (options->readonly >> i & 1u) != 0 ? SR_PARTITION_FLAG_READ_ONLY : 0;
    }
    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]) && lone_slot; i++) {
        const bool other = is_other_slot(&entries[i], running_app);
        entries[i].type = other ? SR_PARTITION_TYPE_DATA : entries[i].type;
        entries[i].subtype = other                                      ? 0x40 /* ESP-IDF ignores it. */
                             : entries[i].type == SR_PARTITION_TYPE_APP ? SR_PARTITION_APP_OTA_0
                                                                        : entries[i].subtype;
    }
    memset(flash + API_TABLE, 0xFF, SR_SECTOR_SIZE);
    assert_int_equal(image_write_partition_table(entries, sizeof(entries) / sizeof(entries[0]), flash + API_TABLE),
                     IMAGE_WRITE_OK);
}

/* All but the efuses and what the chip does with its heap and log. */
static bool same_flash(const api_options_t *a, const api_options_t *b)
{
    return a->running_app == b->running_app && a->flash_encryption == b->flash_encryption &&
           a->readonly == b->readonly && a->lone_slot == b->lone_slot;
}

static void fill_flash(uint8_t *bytes, const api_options_t *options)
{
    size_t length;
    const uint32_t running_app = options->running_app;
    dummy_image_fill(bytes, API_FLASH_SIZE, 99);
    assert_int_equal(dummy_image_bootloader(sr_chip_by_name("esp32"), 2, bytes + API_BOOTLOADER,
                                            API_TABLE - API_BOOTLOADER, &length),
                     IMAGE_WRITE_OK);
    put_table(bytes, running_app, options);
    image_write_otadata(options->lone_slot ? 1 : 1 + (running_app - API_OTA_0) / API_SLOT_SIZE, UINT32_MAX,
                        bytes + API_OTADATA);
    api_image_t app = api_app(0x30000);
    memcpy(bytes + running_app, app.bytes, app.length);
    api_image_free(&app);
    if (options->flash_encryption) {
        support_encrypt(bytes, 0, API_FLASH_SIZE);
    }
}

/* What a chip holds at first, kept for the next one that is the same: most tests of a program open one of their own. */
static const uint8_t *first_content(const api_options_t *options)
{
    static struct content {
        api_options_t options;
        uint8_t *bytes;
    } kept[KEPT_CONTENTS];
    static unsigned next;
    for (unsigned i = 0; i < KEPT_CONTENTS; i++) {
        if (kept[i].bytes != NULL && same_flash(&kept[i].options, options)) {
            return kept[i].bytes;
        }
    }
    struct content *content = &kept[next++ % KEPT_CONTENTS];
    content->options = *options;
    content->bytes = content->bytes != NULL ? content->bytes : flash_buffer_new(API_FLASH_SIZE);
    assert_non_null(content->bytes);
    fill_flash(content->bytes, options);
    return content->bytes;
}

void api_chip_attach(api_chip_t *chip, nor_flash_t *flash, uint32_t running_app)
{
    assert_non_null(flash);
    *chip = (api_chip_t){
        .flash = flash,
        .before = malloc(nor_flash_size(flash)),
        .config = {
            .chip = {.chip = sr_chip_by_name("esp32")}, .flash = flash, .running_app = running_app, .quiet = true}};
    assert_non_null(chip->before);
    assert_true(sim_chip_attach(&chip->config));
    api_chip_snapshot(chip);
}

void api_chip_open(api_chip_t *chip, const api_options_t *options)
{
    api_options_t wanted = options != NULL ? *options : (api_options_t){0};
    wanted.running_app = wanted.running_app != 0 ? wanted.running_app : API_OTA_2;
    options = &wanted;
    const uint32_t size = options->flash_size != 0 ? options->flash_size : API_FLASH_SIZE;
    nor_flash_t *flash = nor_flash_new(size, nor_timing_find(NULL));
    assert_non_null(flash);
    memcpy(nor_flash_bytes(flash), first_content(options), API_FLASH_SIZE);
    if (options->flash_encryption) {
        support_encrypt(nor_flash_bytes(flash), API_FLASH_SIZE, size - API_FLASH_SIZE);
    }
    *chip = (api_chip_t){.flash = flash,
                         .before = malloc(size),
                         .config = {.chip = {.chip = sr_chip_by_name("esp32"),
                                             .efuses = options->efuses,
                                             .cipher = options->flash_encryption ? support_cipher() : NULL,
                                             .burnt = {.secure_boot_v1 = options->secure_boot_v1,
                                                       .secure_boot_v2 = options->secure_boot}},
                                    .flash = flash,
                                    .running_app = options->running_app,
                                    .before_v5_2 = options->before_v5_2,
                                    .heap_limit = options->heap_limit,
                                    .quiet = !options->logs}};
    assert_non_null(chip->before);
    assert_true(sim_chip_attach(&chip->config));
    api_chip_snapshot(chip);
}

void api_chip_close(api_chip_t *chip)
{
    api_assert_no_leak(0);
    assert_int_equal(nor_flash_stats(chip->flash).bad_programs, 0);
    sim_chip_detach();
    nor_flash_delete(chip->flash);
    free(chip->before);
    *chip = (api_chip_t){0};
}

void api_chip_snapshot(api_chip_t *chip)
{
    assert_int_equal(nor_flash_stats(chip->flash).bad_programs, 0);
    memcpy(chip->before, nor_flash_view(chip->flash), nor_flash_size(chip->flash));
    nor_flash_reset_stats(chip->flash);
}

void api_chip_put(api_chip_t *chip, uint32_t address, const uint8_t *bytes, size_t length)
{
    assert_true(length <= nor_flash_size(chip->flash) - address);
    uint8_t *flash = nor_flash_bytes(chip->flash);
    const uint32_t start = address / FLASH_CIPHER_BLOCK * FLASH_CIPHER_BLOCK;
    const size_t whole = sr_region_align_up(address - start + (uint32_t)length, FLASH_CIPHER_BLOCK);
    const flash_cipher_t *cipher = chip->config.chip.cipher;
    if (cipher != NULL && whole > 0) {
        /* What stays of the first and the last block. */
        const uint32_t last = start + (uint32_t)whole - FLASH_CIPHER_BLOCK;
        flash_cipher_decrypt(cipher, start, flash + start, FLASH_CIPHER_BLOCK);
        if (last != start) {
            flash_cipher_decrypt(cipher, last, flash + last, FLASH_CIPHER_BLOCK);
        }
    }
    memcpy(flash + address, bytes, length);
    if (cipher != NULL) {
        flash_cipher_encrypt(cipher, start, flash + start, whole);
    }
    api_chip_snapshot(chip);
}

uint8_t *api_chip_plain(const api_chip_t *chip)
{
    const uint32_t size = nor_flash_size(chip->flash);
    uint8_t *plain = malloc(size);
    assert_non_null(plain);
    memcpy(plain, nor_flash_view(chip->flash), size);
    if (chip->config.chip.cipher != NULL) {
        flash_cipher_decrypt(chip->config.chip.cipher, 0, plain, size);
    }
    return plain;
}

const esp_partition_t *api_partition(const char *label)
{
    const esp_partition_t *partition =
        esp_partition_find_first(ESP_PARTITION_TYPE_ANY, ESP_PARTITION_SUBTYPE_ANY, label);
    assert_non_null(partition);
    return partition;
}

void *api_shared(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    return memory;
}

void api_shared_free(void *memory, size_t size)
{
    munmap(memory, size);
}

/* Assertions. */

/* Fails with the address of the first byte that differs, which assert_memory_equal() of megabytes does not. */
static void assert_same_bytes(const uint8_t *is, const uint8_t *should, uint32_t address, size_t length)
{
    if (length == 0 || memcmp(is, should, length) == 0) {
        return;
    }
    size_t i = 0;
    while (is[i] == should[i]) {
        i++;
    }
    fail_msg("flash at 0x%zx is 0x%02x, should be 0x%02x", address + i, is[i], should[i]);
}

void api_assert_no_leak(uint32_t heap_expected)
{
    assert_int_equal(sim_counters()->heap_now, heap_expected);
    assert_int_equal(sim_counters()->open_clients, 0);
}

void api_assert_untouched(const api_chip_t *chip)
{
    assert_int_equal(nor_flash_stats(chip->flash).operations, 0);
    assert_int_equal(nor_flash_stats(chip->flash).bad_programs, 0);
    assert_same_bytes(nor_flash_view(chip->flash), chip->before, 0, nor_flash_size(chip->flash));
    assert_int_equal(sim_counters()->open_clients, 0);
}

void api_assert_same_outside(const api_chip_t *chip, const sr_region_t *regions, unsigned count)
{
    const uint8_t *now = nor_flash_view(chip->flash);
    for (uint32_t sector = 0; sector < nor_flash_size(chip->flash); sector += SR_SECTOR_SIZE) {
        bool inside = false;
        for (unsigned i = 0; i < count; i++) {
            inside = inside || sr_region_overlaps(regions[i], (sr_region_t){sector, SR_SECTOR_SIZE});
        }
        if (!inside) {
            assert_int_equal(nor_flash_wear(chip->flash, sector / SR_SECTOR_SIZE), 0);
            assert_same_bytes(now + sector, chip->before + sector, sector, SR_SECTOR_SIZE);
        }
    }
}

void api_assert_holds(const api_chip_t *chip, sr_region_t region, api_image_t image)
{
    assert_true(image.length <= region.size);
    const uint8_t *now = nor_flash_view(chip->flash) + region.address;
    assert_same_bytes(now, image.bytes, region.address, image.length);
    for (size_t i = image.length; i < region.size; i++) {
        if (now[i] != 0xFF) {
            fail_msg("flash at 0x%zx past the image is 0x%02x, should be blank", region.address + i, now[i]);
        }
    }
}

uint32_t api_handle_size(void)
{
    api_download_t download;
    esp_self_reflasher_handle_t handle = NULL;
    const uint32_t before = sim_counters()->heap_now;
    api_download_to(&download, "http://127.0.0.1/", API_OTA_1, SR_SECTOR_SIZE);
    assert_int_equal(esp_self_reflasher_init(&download.config, &handle), ESP_OK);
    const uint32_t size = sim_counters()->heap_now - before;
    assert_int_equal(esp_self_reflasher_deinit(handle), ESP_OK);
    assert_int_equal(sim_counters()->heap_now, before);
    return size;
}

/* Calls of the API. */

void api_download_to(api_download_t *download, const char *url, uint32_t address, size_t size)
{
    *download = (api_download_t){.http = {.url = url, .timeout_ms = 10000},
                                 .config = {.dest_region = {.region_address = address, .region_size = size}}};
    download->config.http_config = &download->http;
}

esp_err_t api_run_download(const esp_self_reflasher_config_t *config)
{
    esp_self_reflasher_handle_t handle = NULL;
    esp_err_t err = esp_self_reflasher_init(config, &handle);
    if (err != ESP_OK) {
        return err;
    }
    err = esp_self_reflasher_download_bin(handle);
    if (err == ESP_OK) {
        err = esp_self_reflasher_copy_to_region(handle);
    }
    const esp_err_t end = esp_self_reflasher_deinit(handle);
    return err != ESP_OK ? err : end;
}

esp_self_reflasher_config_t api_embedded(uint32_t source, size_t length, uint32_t address, size_t size)
{
    return (esp_self_reflasher_config_t){.src_region = {.region_address = source, .region_size = length},
                                         .src_bin_size = length,
                                         .dest_region = {.region_address = address, .region_size = size}};
}

/* The server. */

/* One for all of a program: to start it takes longer than most tests do. */
static api_server_t kept_server;

static int remove_file(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    (void)kind;
    return place->level > 0 ? remove(path) : 0;
}

static void empty_folder(void)
{
    (void)nftw(kept_server.folder, remove_file, 8, FTW_DEPTH | FTW_PHYS);
}

static void end_server(void)
{
    http_server_stop(&kept_server.http);
    empty_folder();
    (void)rmdir(kept_server.folder);
}

void api_server_start(api_server_t *server)
{
    if (kept_server.http.pid == 0) {
        strcpy(kept_server.folder, "/tmp/self_reflasher.XXXXXX");
        assert_non_null(mkdtemp(kept_server.folder));
        assert_true(http_server_start(&kept_server.http, kept_server.folder, NULL, NULL));
        assert_int_equal(atexit(end_server), 0);
    }
    assert_true(http_server_forget(&kept_server.http));
    *server = kept_server;
}

void api_server_stop(api_server_t *server)
{
    empty_folder();
    *server = (api_server_t){0};
}

void api_server_put(const api_server_t *server, const char *name, api_image_t image)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", server->folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    if (image.length > 0) {
        assert_int_equal(fwrite(image.bytes, 1, image.length, file), image.length);
    }
    assert_int_equal(fclose(file), 0);
}

const char *api_server_url(const api_server_t *server, const char *path)
{
    return http_server_url(&server->http, path);
}

/* The log. */

static FILE *log_file;
static int log_stderr = -1;

void api_log_start(void)
{
    fflush(stderr);
    log_file = tmpfile();
    log_stderr = dup(STDERR_FILENO);
    assert_non_null(log_file);
    assert_true(log_stderr >= 0);
    assert_true(dup2(fileno(log_file), STDERR_FILENO) >= 0);
}

char *api_log_stop(void)
{
    fflush(stderr);
    dup2(log_stderr, STDERR_FILENO);
    close(log_stderr);
    const long length = lseek(fileno(log_file), 0, SEEK_END);
    char *text = calloc(1, (size_t)length + 1);
    rewind(log_file);
    const size_t got = text != NULL ? fread(text, 1, (size_t)length, log_file) : 0;
    fclose(log_file);
    assert_non_null(text);
    assert_int_equal(got, length);
    return text;
}

static bool in_error_line(const char *log, const char *piece)
{
    const size_t length = strlen(piece);
    while (*log != '\0') {
        const size_t line = strcspn(log, "\n");
        for (size_t i = 0; log[0] == 'E' && i + length <= line; i++) {
            if (memcmp(log + i, piece, length) == 0) {
                return true;
            }
        }
        log += line + (log[line] == '\n');
    }
    return false;
}

void api_assert_error_line(const char *log, ...)
{
    va_list pieces;
    va_start(pieces, log);
    if (!in_error_line(log, "E (")) {
        fail_msg("no error was logged, but:\n%s", log);
    }
    for (const char *piece = va_arg(pieces, const char *); piece != NULL; piece = va_arg(pieces, const char *)) {
        if (!in_error_line(log, piece)) {
            fail_msg("no error line with \"%s\" in:\n%s", piece, log);
        }
    }
    va_end(pieces);
}

uint64_t api_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}
