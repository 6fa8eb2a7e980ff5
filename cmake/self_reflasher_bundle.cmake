# SPDX-License-Identifier: Apache-2.0
# Functions for ESP-IDF projects that use this component: make a bundle of what the project builds, embed one in an app.

# self_reflasher_create_bundle([OUTPUT <file>] [SIGN_KEY <key.pem>] [OPTIONS <option>...])
#
# Makes a bundle of all that `idf.py flash` would write, with each build. Call it in the project's CMakeLists.txt, after
# project().
#
# OUTPUT    default: <project>.srb. Relative paths start at the build folder.
# SIGN_KEY  private key, as `self-reflasher keygen` or OpenSSL makes it. Relative paths start at the folder of the calling
#           CMakeLists.txt. Default: the bundle is not signed.
# OPTIONS   further options of `self-reflasher pack`, for example OPTIONS --keep nvs
#
# The CMake variable SELF_REFLASHER_TOOL, or else the environment variable, names the program; default: the
# self-reflasher in PATH.
function(self_reflasher_create_bundle)
    cmake_parse_arguments(PARSE_ARGV 0 arg "" "OUTPUT;SIGN_KEY" "OPTIONS")
    if(arg_UNPARSED_ARGUMENTS OR arg_KEYWORDS_MISSING_VALUES)
        message(FATAL_ERROR "self_reflasher_create_bundle: "
            "bad arguments: ${arg_UNPARSED_ARGUMENTS} ${arg_KEYWORDS_MISSING_VALUES}")
    endif()
    if(NOT SELF_REFLASHER_TOOL AND NOT "$ENV{SELF_REFLASHER_TOOL}" STREQUAL "")
        set(SELF_REFLASHER_TOOL $ENV{SELF_REFLASHER_TOOL})
    endif()
    find_program(SELF_REFLASHER_TOOL self-reflasher DOC "The program of esp-self-reflasher, which makes bundles")
    if(NOT SELF_REFLASHER_TOOL)
        fail_at_build_time(self_reflasher_tool_missing
            "The program self-reflasher, which makes bundles, is not in PATH."
            "Build it on this machine: cmake -S <esp-self-reflasher> -B <folder> && cmake --build <folder>"
            "Then set the environment variable SELF_REFLASHER_TOOL to <folder>/self-reflasher")
        return()
    endif()

    if(NOT arg_OUTPUT)
        set(arg_OUTPUT ${CMAKE_PROJECT_NAME}.srb)
    endif()
    set(sign)
    if(arg_SIGN_KEY)
        get_filename_component(key ${arg_SIGN_KEY} ABSOLUTE)
        set(sign --sign ${key})
    endif()
    idf_build_get_property(build_dir BUILD_DIR)
    add_custom_target(self_reflasher_bundle ALL
        COMMAND ${SELF_REFLASHER_TOOL} pack -o ${arg_OUTPUT} --build-dir . ${sign} ${arg_OPTIONS}
        WORKING_DIRECTORY ${build_dir}
        COMMENT "Making the bundle ${arg_OUTPUT}"
        VERBATIM)
    # Everything that `flash` depends on has to be built first.
    get_target_property(images flash MANUALLY_ADDED_DEPENDENCIES)
    add_dependencies(self_reflasher_bundle ${images})
endfunction()

# self_reflasher_embed_bundle(<file>)
#
# Puts a bundle into the app. Call it in a component's CMakeLists.txt, after idf_component_register(). The component
# finds the bundle at the symbols _binary_self_reflasher_bundle_start and _binary_self_reflasher_bundle_end;
# spi_flash_cache2phys() tells where that is in flash, for the `embedded` region of esp_self_reflasher_bundle_config_t.
function(self_reflasher_embed_bundle file)
    get_filename_component(bundle ${file} ABSOLUTE)
    if(EXISTS ${bundle} AND NOT IS_DIRECTORY ${bundle})
        target_add_binary_data(${COMPONENT_LIB} ${bundle} BINARY RENAME_TO self_reflasher_bundle)
    else()
        fail_at_build_time(self_reflasher_bundle_missing
            "The bundle that this app carries is missing: ${bundle}"
            "Make it with: self-reflasher pack")
    endif()
endfunction()
