# SPDX-License-Identifier: Apache-2.0
# What runs on the chip, as one list for both builds: ESP-IDF's and the host's. The folders are in docs/architecture.md.

# Parsers and writers of formats, plain C11: a library of its own on the host, which the simulated chip uses, too.
set(SR_FORMAT_SOURCES
    src/format/sr_boot_choice.c
    src/format/sr_boot_path.c
    src/format/sr_bundle.c
    src/format/sr_chip.c
    src/format/sr_image.c
    src/format/sr_mcuboot.c
    src/format/sr_md5.c
    src/format/sr_moves.c
    src/format/sr_otadata.c
    src/format/sr_partition_table.c
    src/format/sr_reader.c
    src/format/sr_record.c
    src/format/sr_sha256.c
    src/format/sr_signature.c)

set(SR_ENGINE_SOURCES
    src/port/self_reflasher_err.c
    src/port/sr_efuse.c
    src/port/sr_in_place.c
    src/port/sr_watchdog.c
    src/port/sr_yield.c
    src/flash/sr_boot_path_buffer.c
    src/flash/sr_copy.c
    src/flash/sr_flash.c
    src/flash/sr_flash_reader.c
    src/flash/sr_writer.c
    src/net/sr_download.c
    src/net/sr_http.c
    src/net/sr_manifest.c
    src/net/sr_source.c
    src/system/sr_partition.c
    src/system/sr_slots.c
    src/system/sr_system.c
    src/preflight/sr_admit.c
    src/preflight/sr_image_check.c
    src/preflight/sr_preflight.c
    src/preflight/sr_preflight_chip.c
    src/preflight/sr_preflight_demands.c
    src/preflight/sr_preflight_flash.c
    src/preflight/sr_preflight_table.c
    src/recovery/sr_recovery.c
    src/relocate/sr_relocate.c
    src/relocate/sr_temporary_table.c
    src/journal/sr_abandon.c
    src/journal/sr_commit.c
    src/journal/sr_install_mark.c
    src/journal/sr_journal.c
    src/journal/sr_resume.c
    src/journal/sr_verification.c
    src/bundle/self_reflasher_bundle.c
    src/bundle/sr_decoder.c
    src/bundle/sr_map.c
    src/bundle/sr_migration.c
    src/bundle/sr_migration_apply.c
    src/bundle/sr_migration_encryption.c
    src/bundle/sr_migration_entries.c
    src/bundle/sr_migration_in_place.c
    src/bundle/sr_migration_installed.c
    src/bundle/sr_migration_moves.c
    src/bundle/sr_migration_old_records.c
    src/bundle/sr_migration_plan.c
    src/bundle/sr_migration_read_only.c
    src/bundle/sr_migration_record.c
    src/bundle/sr_migration_recovery.c
    src/bundle/sr_migration_relocation.c
    src/bundle/sr_migration_scan.c
    src/bundle/sr_migration_target.c
    src/image/self_reflasher.c
    src/image/sr_handle.c
    src/image/sr_staging.c
    src/image/sr_transfer.c)

set(SR_SOURCES ${SR_FORMAT_SOURCES} ${SR_ENGINE_SOURCES})
