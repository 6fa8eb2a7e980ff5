# SPDX-License-Identifier: Apache-2.0
# For what is linked only to be run once: in half the time where this linker is installed.
include(CheckLinkerFlag)
check_linker_flag(C -fuse-ld=gold has_gold)
if(has_gold)
    add_link_options(-fuse-ld=gold)
endif()
