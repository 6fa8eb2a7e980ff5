# SPDX-License-Identifier: Apache-2.0
# The host build: the component, the simulated chip, the program, the tests.
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE RelWithDebInfo)
endif()
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
option(SR_SANITIZE "Build with AddressSanitizer and UndefinedBehaviorSanitizer" OFF)
option(SR_TESTS "Build the tests" ON)
option(SR_FUZZ "Build the fuzz targets, with sanitizers; clang only" OFF)

find_package(PkgConfig REQUIRED)
pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl)
pkg_check_modules(CJSON REQUIRED IMPORTED_TARGET libcjson)
pkg_check_modules(MICROHTTPD REQUIRED IMPORTED_TARGET libmicrohttpd)
pkg_check_modules(ZLIB REQUIRED IMPORTED_TARGET zlib)
find_library(MBEDCRYPTO mbedcrypto REQUIRED)

add_library(sr_options INTERFACE)
target_compile_options(sr_options INTERFACE -Wall -Wextra -Werror -Wconversion -Wshadow -Wvla)
# Programs do not load libraries that they do not use: each boot of the simulated chip is a fork(), which copies what is
# loaded. And they look for the functions of those that they use as they start, not once more in each such process.
target_link_options(sr_options INTERFACE LINKER:--as-needed LINKER:-z,now)
target_compile_definitions(sr_options INTERFACE _GNU_SOURCE)
if(SR_SANITIZE OR SR_FUZZ)
    # -O1, as the sanitizers' own manual has it, and no more than lines of source: what they report is the same, and compiling
    # takes half the time.
    add_compile_options(-O1 -g1)
endif()
if(SR_SANITIZE)
    # Of tests only whether they and what they call keep to their memory: the rest takes a third of the time to compile them.
    set(is_no_test $<NOT:$<BOOL:$<TARGET_PROPERTY:SR_IS_TEST>>>)
    target_compile_options(sr_options INTERFACE
        -fsanitize=address $<${is_no_test}:-fsanitize=undefined> -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(sr_options INTERFACE -fsanitize=address,undefined)
endif()
if(SR_FUZZ)
    if(NOT CMAKE_C_COMPILER_ID MATCHES Clang)
        message(FATAL_ERROR "SR_FUZZ needs libFuzzer: configure with -DCMAKE_C_COMPILER=clang")
    endif()
    target_compile_options(sr_options INTERFACE
        -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(sr_options INTERFACE -fsanitize=address,undefined)
endif()

# Headers are named with their folder: "format/sr_image.h" in src, "sim/boot/boot_model.h" elsewhere.
target_include_directories(sr_options INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/src)

add_subdirectory(sim)

add_library(sr_format STATIC ${SR_FORMAT_SOURCES})
target_include_directories(sr_format PUBLIC include)
target_link_libraries(sr_format PUBLIC sr_options sr_esp_idf_api ${MBEDCRYPTO})

add_library(self_reflasher STATIC ${SR_ENGINE_SOURCES})
# The component calls ESP-IDF's functions, which the simulated chip has.
target_link_libraries(self_reflasher PUBLIC sr_format sr_sim)

add_subdirectory(make)
add_subdirectory(tool)
add_subdirectory(examples/host)
add_subdirectory(bench)
if(SR_FUZZ)
    add_subdirectory(test/fuzz)
endif()
if(SR_TESTS)
    enable_testing()
    add_subdirectory(test)
endif()
