// SPDX-License-Identifier: Apache-2.0
// courier: put a bundle into an app, so that one uploaded file brings the whole new system.
#include "make/bundle_signer.h"
#include "make/cargo_writer.h"
#include "sim/nor/flash_buffer.h"
#include "tool/base/chip_options.h"
#include "tool/base/command.h"
#include "tool/base/key_file.h"
#include "tool/base/number.h"
#include "tool/base/output_file.h"
#include "tool/base/terminal.h"
#include "tool/pack/bundle_file.h"
#include "tool/pack/cargo_settings.h"
#include "tool/pack/carrier.h"
#include "tool/pack/image_signer.h"
#include "tool/pack/web_address.h"
#include "tool/report/boot_report.h"
#include "tool/report/cargo_report.h"
#include "tool/report/contents.h"
#include "tool/run/upload.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { KEY_SETTINGS = 0x300, KEY_PUBLIC_KEY, KEY_SIGN_IMAGE, KEY_SLOT_SIZE, KEY_URL };

#define AP_PASSWORD_SIZE 13u

typedef struct courier_arguments {
    boot_chip_t chip;
    const char *out_path, *app_path, *settings_path, *key_path, *flash_path;
    const char *signing_key;       /**< Of Secure Boot; NULL: the upload is not signed. */
    const char *bundle_path, *url; /**< One of them. */
    uint32_t slot_size;            /**< 0: not told. */
    uint32_t running;              /**< UINT32_MAX: the app that boots. */
    bool json;
} courier_arguments_t;

/** What goes in, what comes out. */
typedef struct courier {
    carrier_t carrier;
    bundle_file_t bundle; /**< Empty if it comes from a URL. */
    char public_pem[BUNDLE_PEM_SIZE];
    sr_signature_public_key_t key;
    char ap_password[AP_PASSWORD_SIZE]; /**< Made here; empty: the settings have one, or the app opens none. */
    cargo_settings_t settings;
    upload_slot_t slot; /**< Of the flash, if one is given. */
    uint8_t *upload;
    size_t upload_size;
} courier_t;

static void set_url(courier_arguments_t *arguments, const char *argument, struct argp_state *state)
{
    if (!web_address_is(argument)) {
        argp_error(state, "--url takes http:// or https://: a file is given as --bundle");
    }
    const char *problem = web_address_problem(argument);
    if (problem != NULL) {
        argp_error(state, "--url: %s", problem);
    }
    if (strlen(argument) > CARGO_SETTINGS_MAX_URL) {
        argp_error(state, "--url: more than %u bytes", CARGO_SETTINGS_MAX_URL);
    }
    arguments->url = argument;
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    courier_arguments_t *arguments = state->input;
    switch (key) {
    case 'o':
        arguments->out_path = argument;
        return 0;
    case 'a':
        arguments->app_path = argument;
        return 0;
    case 'b':
        arguments->bundle_path = argument;
        return 0;
    case 'f':
        arguments->flash_path = argument;
        return 0;
    case 'j':
        arguments->json = true;
        return 0;
    case 'r':
        if (!number_parse(argument, &arguments->running)) {
            argp_error(state, "bad place of the running app '%s': a number such as 0x190000 expected", argument);
        }
        return 0;
    case KEY_SETTINGS:
        arguments->settings_path = argument;
        return 0;
    case KEY_URL:
        set_url(arguments, argument, state);
        return 0;
    case KEY_PUBLIC_KEY:
        arguments->key_path = argument;
        return 0;
    case KEY_SIGN_IMAGE:
        arguments->signing_key = argument;
        return 0;
    case KEY_SLOT_SIZE:
        if (!number_parse(argument, &arguments->slot_size) || arguments->slot_size == 0) {
            argp_error(state, "bad size of a slot '%s': a number such as 0x140000 or 1280K expected", argument);
        }
        return 0;
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &arguments->chip;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "'%s': files are given with options", argument);
        return EINVAL;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_and_check(int key, char *argument, struct argp_state *state)
{
    const courier_arguments_t *arguments = state->input;
    if (key != ARGP_KEY_END) {
        return parse_option(key, argument, state);
    }
    if (arguments->out_path == NULL || arguments->app_path == NULL ||
        (arguments->bundle_path == NULL) == (arguments->url == NULL)) {
        argp_error(state, "--app FILE, --out FILE, and either --bundle FILE or --url URL are needed");
    }
    if (arguments->url != NULL && arguments->key_path == NULL) {
        argp_error(state, "--url: the device needs the key that the bundle there is signed with: --public-key FILE");
    }
    if (arguments->slot_size != 0 && arguments->flash_path != NULL) {
        argp_error(state, "--slot-size or --flash, which tells it: not both");
    }
    if (arguments->running != UINT32_MAX && arguments->flash_path == NULL) {
        argp_error(state, "--running names an app in a flash: --flash FILE is needed");
    }
    return 0;
}

/** Every chunk decodes to what the signed digests say. */
static int check_chunks(const bundle_file_t *bundle)
{
    uint8_t *flash = flash_memory_new(bundle->bundle.min_flash_size);
    if (flash == NULL) {
        return complain(STATUS_BAD_INPUT, "%s: out of memory", bundle->file.path);
    }
    const int status = bundle_file_apply(bundle, flash);
    free(flash);
    return status;
}

/** The key that the bundle is signed with, by what the user has. */
static int load_key(const char *path, courier_t *courier)
{
    bool is_private = false;
    const int status = key_file_load_public(path, &courier->key);
    return status == STATUS_OK ? key_file_load_half(path, &courier->key, &is_private, courier->public_pem) : status;
}

static int take_key(const char *path, courier_t *courier)
{
    const int status = load_key(path, courier);
    if (status != STATUS_OK) {
        return status;
    }
    const image_file_t *file = &courier->bundle.file;
    const sr_bundle_status_t verified = bundle_verify(file->bytes, file->size, &courier->key);
    return verified == SR_BUNDLE_OK ? STATUS_OK
                                    : complain(STATUS_NO, "%s: %s (by %s); sign it: sign --key", file->path,
                                               sr_bundle_status_text(verified), path);
}

/** Signs the copy that goes in with a key that nobody has afterwards: its public half goes in, too. */
static int make_key(courier_t *courier)
{
    char private_pem[BUNDLE_PEM_SIZE];
    const image_file_t *file = &courier->bundle.file;
    sr_bundle_status_t made = bundle_keygen(private_pem, courier->public_pem);
    if (made == SR_BUNDLE_OK) {
        made = bundle_sign(file->bytes, file->size, private_pem);
    }
    explicit_bzero(private_pem, sizeof(private_pem));
    if (made == SR_BUNDLE_OK) {
        made = sr_signature_public_key_read(courier->public_pem, &courier->key);
    }
    return made == SR_BUNDLE_OK ? STATUS_OK
                                : complain(STATUS_BAD_INPUT, "%s: %s", file->path, sr_bundle_status_text(made));
}

static int check_chips(const courier_t *courier)
{
    const sr_chip_t *chip = sr_chip_by_id(courier->bundle.bundle.chip_id);
    return chip == courier->carrier.chip
               ? STATUS_OK
               : complain(STATUS_NO, "%s is for %s, and %s for %s: take the app for the bundle's chip",
                          courier->bundle.file.path, chip != NULL ? chip->family : "an unknown chip",
                          courier->carrier.file.path, courier->carrier.chip->family);
}

/** What the app does not ask for would be a promise that nobody keeps. */
static int check_settings(const courier_t *courier)
{
    for (unsigned i = 0; i < courier->settings.count; i++) {
        const char *name = courier->settings.list[i].name;
        if (!carrier_knows_setting(&courier->carrier, name)) {
            return complain(STATUS_NO,
                            "%s: does not know the setting %s: esp_self_reflasher_cargo_setting() asks for it",
                            courier->carrier.file.path, name);
        }
    }
    return STATUS_OK;
}

/** 60 bits that are easy to type. An access point without a password would take apps from anyone who is near. */
static int make_ap_password(courier_t *courier)
{
    static const char letters[] = "abcdefghijkmnpqrstuvwxyz23456789";
    uint8_t random[AP_PASSWORD_SIZE - 1];
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
        return complain(STATUS_BAD_INPUT, "no random numbers for a password: %s", strerror(errno));
    }
    for (size_t i = 0; i < sizeof(random); i++) {
        courier->ap_password[i] = letters[random[i] % 32u];
    }
    return STATUS_OK;
}

static int read_settings(const courier_arguments_t *arguments, courier_t *courier)
{
    const bool opens = carrier_knows_setting(&courier->carrier, "ap_password");
    int status = opens ? make_ap_password(courier) : STATUS_OK;
    if (status == STATUS_OK) {
        const cargo_given_t given = {.public_key = courier->public_pem,
                                     .url = arguments->url,
                                     .ap_password = opens ? courier->ap_password : NULL};
        status = cargo_settings_read(arguments->settings_path, &given, &courier->settings);
    }
    if (status == STATUS_OK && opens && cargo_settings_get(&courier->settings, "ap_password") != courier->ap_password) {
        courier->ap_password[0] = '\0';
    }
    return status == STATUS_OK ? check_settings(courier) : status;
}

static int load_bundle(const courier_arguments_t *arguments, courier_t *courier)
{
    int status = bundle_file_load(arguments->bundle_path, &courier->bundle);
    if (status == STATUS_OK) {
        status = check_chips(courier);
    }
    if (status == STATUS_OK) {
        status = check_chunks(&courier->bundle);
    }
    if (status == STATUS_OK) {
        status = arguments->key_path != NULL ? take_key(arguments->key_path, courier) : make_key(courier);
    }
    return status;
}

static int load(const courier_arguments_t *arguments, courier_t *courier)
{
    int status = carrier_load(arguments->app_path, &courier->carrier);
    if (status == STATUS_OK) {
        status = arguments->url != NULL ? load_key(arguments->key_path, courier) : load_bundle(arguments, courier);
    }
    return status == STATUS_OK ? read_settings(arguments, courier) : status;
}

static int write_cargo(courier_t *courier)
{
    const cargo_spec_t spec = {.app = courier->carrier.file.bytes,
                               .app_size = courier->carrier.image.length,
                               .settings = courier->settings.list,
                               .setting_count = courier->settings.count,
                               .bundle = courier->bundle.file.bytes,
                               .bundle_size = courier->bundle.bundle.bundle_size};
    const image_write_status_t status = cargo_write(&spec, &courier->upload, &courier->upload_size);
    char size[NUMBER_TEXT_SIZE];
    char most[NUMBER_TEXT_SIZE];
    if (status == IMAGE_WRITE_BAD_ARGUMENT) { // all but the size was checked before
        return complain(STATUS_NO, "%s: %s bytes, and an app can carry no more than %s: pack less",
                        courier->bundle.file.path, number_grouped(spec.bundle_size, size),
                        number_grouped(SR_CARGO_MAX_SIZE, most));
    }
    return status == IMAGE_WRITE_OK ? STATUS_OK : complain(STATUS_BAD_INPUT, "%s", image_write_status_text(status));
}

static int find_slot(const courier_arguments_t *arguments, const image_file_t *flash, courier_t *courier)
{
    boot_chip_t chip = arguments->chip;
    const int status = chip_settle(&chip, flash->bytes, flash->size);
    if (status != STATUS_OK) {
        return status;
    }
    if (chip.chip != courier->carrier.chip) {
        return complain(STATUS_NO, "%s is of %s, and %s for %s", flash->path, chip.chip->family,
                        courier->carrier.file.path, courier->carrier.chip->family);
    }
    contents_t *contents = contents_of_flash(flash->bytes, flash->size, &chip);
    if (contents == NULL) {
        return complain(STATUS_BAD_INPUT, "%s: out of memory", flash->path);
    }
    const boot_result_t boot = contents->boot;
    contents_free(contents);
    if (arguments->running == UINT32_MAX && !boot_succeeds(&boot)) {
        return complain(STATUS_BAD_INPUT, "%s: boots no app that could take an upload (%s); name one with --running",
                        flash->path, boot.reason);
    }
    return upload_find_slot(flash, chip.partition_table,
                            arguments->running != UINT32_MAX ? arguments->running : boot.app_offset, &courier->slot);
}

static uint32_t slot_size(const courier_arguments_t *arguments, const courier_t *courier)
{
    return arguments->flash_path != NULL ? courier->slot.entry.size : arguments->slot_size;
}

static int check_fit(const courier_arguments_t *arguments, courier_t *courier)
{
    char total[NUMBER_TEXT_SIZE];
    char app[NUMBER_TEXT_SIZE];
    char bundle[NUMBER_TEXT_SIZE];
    char room[NUMBER_TEXT_SIZE];
    char over[NUMBER_TEXT_SIZE];
    if (arguments->flash_path != NULL) {
        image_file_t flash;
        int status = image_file_load_flash(arguments->flash_path, &flash);
        if (status == STATUS_OK) {
            status = find_slot(arguments, &flash, courier);
            image_file_free(&flash);
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    const uint32_t slot = slot_size(arguments, courier);
    if (slot == 0 || courier->upload_size <= slot) {
        return STATUS_OK;
    }
    return complain(STATUS_NO,
                    "%s bytes (app %s, bundle %s) do not fit into a slot of %s: %s too many; pack less (pack --keep), "
                    "take a smaller app, or one that fetches the bundle: --url URL instead of --bundle",
                    number_grouped(courier->upload_size, total), number_grouped(courier->carrier.image.length, app),
                    number_grouped(courier->bundle.bundle.bundle_size, bundle), number_grouped(slot, room),
                    number_grouped(courier->upload_size - slot, over));
}

static void print_json(const courier_arguments_t *arguments, const courier_t *courier)
{
    char id[KEY_ID_TEXT_SIZE];
    const uint32_t slot = slot_size(arguments, courier);
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "file", arguments->out_path);
    cJSON_AddStringToObject(json, "chip", courier->carrier.chip->name);
    cJSON_AddNumberToObject(json, "size", (double)courier->upload_size);
    cJSON_AddNumberToObject(json, "app_size", courier->carrier.image.length);
    cJSON_AddItemToObject(json, "bundle_size",
                          arguments->url == NULL ? cJSON_CreateNumber(courier->bundle.bundle.bundle_size)
                                                 : cJSON_CreateNull());
    cJSON_AddStringToObject(json, "key_id", key_id_text(courier->key.id, id));
    cJSON_AddBoolToObject(json, "key_made", arguments->key_path == NULL);
    cJSON_AddBoolToObject(json, "was_signed", courier->carrier.was_signed);
    cJSON_AddBoolToObject(json, "is_signed", arguments->signing_key != NULL);
    cJSON_AddItemToObject(json, "slot_size", slot != 0 ? cJSON_CreateNumber(slot) : cJSON_CreateNull());
    cJSON_AddItemToObject(json, "slot_offset",
                          arguments->flash_path != NULL ? cJSON_CreateNumber(courier->slot.entry.address)
                                                        : cJSON_CreateNull());
    cJSON_AddItemToObject(json, "ap_password",
                          courier->ap_password[0] != '\0' ? cJSON_CreateString(courier->ap_password)
                                                          : cJSON_CreateNull());
    json_print(json);
}

static void print_slot(const courier_arguments_t *arguments, const courier_t *courier)
{
    char room[NUMBER_TEXT_SIZE];
    char left[NUMBER_TEXT_SIZE];
    const uint32_t slot = slot_size(arguments, courier);
    terminal_key("slot");
    if (slot == 0) {
        puts("not told: it must fit the one that the update goes to (--slot-size, --flash)");
        return;
    }
    if (arguments->flash_path != NULL) {
        terminal_tame(courier->slot.entry.label);
        printf(" at 0x%06" PRIx32 ", ", courier->slot.entry.address);
    }
    printf("%s: %s bytes left\n", number_size(slot, room), number_grouped(slot - courier->upload_size, left));
}

/** Those of the file. */
static void print_settings(const cargo_settings_t *settings, const char *ap_password)
{
    char text[CARGO_VALUE_SIZE];
    for (unsigned i = 0; i < settings->count; i++) {
        const sr_cargo_setting_t *setting = &settings->list[i];
        if (strcmp(setting->name, "public_key") != 0 && strcmp(setting->name, "url") != 0 &&
            setting->value != ap_password) {
            terminal_key("setting");
            printf("%s: ", setting->name);
            terminal_tame(cargo_value_text(setting, text));
            putchar('\n');
        }
    }
}

static void print_app(const carrier_t *carrier)
{
    char size[NUMBER_TEXT_SIZE];
    terminal_key("app");
    terminal_tame(carrier->desc.project_name);
    putchar(' ');
    terminal_tame(carrier->desc.version);
    printf(", %s bytes\n", number_grouped(carrier->image.length, size));
}

static void print_bundle(const courier_arguments_t *arguments, const courier_t *courier)
{
    char size[NUMBER_TEXT_SIZE];
    char url[CARGO_VALUE_SIZE];
    terminal_key("bundle");
    if (arguments->url == NULL) {
        printf("%s bytes\n", number_grouped(courier->bundle.bundle.bundle_size, size));
        return;
    }
    fputs("fetched from ", stdout);
    terminal_tame(cargo_value_text(&(sr_cargo_setting_t){.name = "url", .value = arguments->url}, url));
    putchar('\n');
}

static void print_text(const courier_arguments_t *arguments, const courier_t *courier)
{
    char text[NUMBER_TEXT_SIZE];
    char id[KEY_ID_TEXT_SIZE];
    terminal_setup();
    printf("%s%s%s: upload for %s, %s bytes\n", terminal_style(STYLE_HEADING), arguments->out_path, terminal_reset(),
           courier->carrier.chip->family, number_grouped(courier->upload_size, text));
    print_app(&courier->carrier);
    print_bundle(arguments, courier);
    terminal_key("key");
    printf("%s%s\n", key_id_text(courier->key.id, id),
           arguments->key_path == NULL ? ", made for this upload, which vouches for it" : "");
    if (arguments->signing_key != NULL) {
        terminal_key("signature");
        puts("of Secure Boot V2, by espsecure");
    }
    print_settings(&courier->settings, courier->ap_password);
    if (courier->ap_password[0] != '\0') {
        terminal_key("way back");
        printf("access point courier-..., password %s, where no network takes the device: keep it\n",
               courier->ap_password);
    }
    print_slot(arguments, courier);
}

static int write_upload(const courier_arguments_t *arguments, courier_t *courier)
{
    int status = write_cargo(courier);
    if (status == STATUS_OK && arguments->signing_key != NULL) {
        status = image_signer_sign(arguments->signing_key, &courier->upload, &courier->upload_size);
    }
    if (status == STATUS_OK) {
        status = check_fit(arguments, courier);
    }
    if (status == STATUS_OK) {
        status = output_file_write(arguments->out_path, courier->upload, courier->upload_size);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (courier->carrier.was_signed && arguments->signing_key == NULL) {
        complain(STATUS_OK,
                 "note: the signature of %s is over other bytes, and is left out: for a chip with Secure Boot sign %s "
                 "again (--sign-image, or espsecure sign-data)",
                 courier->carrier.file.path, arguments->out_path);
    }
    if (arguments->json) {
        print_json(arguments, courier);
    } else {
        print_text(arguments, courier);
    }
    return STATUS_OK;
}

static int run(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"out", 'o', "FILE", 0, "Where to write the upload (needed)", 0},
        {"app", 'a', "FILE", 0, "App that is to carry the bundle (needed): examples/courier, or one of your own", 0},
        {"bundle", 'b', "FILE", 0, "The new system, as made by pack", 0},
        {"url", KEY_URL, "URL", 0, "Where the app fetches the bundle, instead of carrying it; needs --public-key", 0},
        {"public-key", KEY_PUBLIC_KEY, "FILE", 0,
         "Key (PEM) that the bundle is signed with; default: the bundle inside is signed anew, with a key that is made "
         "for this upload",
         0},
        {"settings", KEY_SETTINGS, "FILE", 0,
         "JSON: allow_temporary_table and allow_in_place, true or false, default: both false; when, \"now\" (default) "
         "or "
         "\"button\"; min_sequence, a number; wifi_ssid and wifi_password; ap_password, default: one is made",
         0},
        {"sign-image", KEY_SIGN_IMAGE, "FILE", 0,
         "Private key (PEM) of Secure Boot V2: have espsecure, which has to be in PATH, sign the upload", 0},
        {"json", 'j', NULL, 0, "Print JSON: size, key_id, slot_size and more", 0},
        {"slot-size", KEY_SLOT_SIZE, "SIZE", 0, "Size of the slot that the update goes to: refuse what does not fit",
         1},
        {"flash", 'f', "FILE", 0, "Dump of the device, which tells that slot; not changed", 1},
        {"running", 'r', "OFFSET", 0, "App in the dump that takes the update; default: the one that boots", 1},
        {0}};
    static const struct argp_child children[] = {{&chip_options_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse_and_check,
        .doc = "Puts a bundle into an app. The result is uploaded as any update of the old system is; started there, "
               "it replaces the whole system."
               "\vExample: " PROGRAM_NAME " courier -o upload.bin --app courier.bin --bundle system.srb -f dump.bin\n"
               "Then rehearse it: " PROGRAM_NAME " simulate -f dump.bin --upload upload.bin",
        .children = children,
    };
    courier_arguments_t arguments = {.running = UINT32_MAX};
    if (!command_parse(&argp, argc, argv, 0, &arguments)) {
        return STATUS_USAGE;
    }
    courier_t courier = {0};
    int status = load(&arguments, &courier);
    if (status == STATUS_OK) {
        status = output_file_check(arguments.out_path);
    }
    if (status == STATUS_OK) {
        status = write_upload(&arguments, &courier);
    }
    free(courier.upload);
    cargo_settings_free(&courier.settings);
    bundle_file_free(&courier.bundle);
    carrier_free(&courier.carrier);
    return status;
}

const command_t command_courier = {"courier", "put a bundle into an app: one upload brings the new system", run};
