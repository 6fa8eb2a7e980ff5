# SPDX-License-Identifier: Apache-2.0
# ESP-IDF includes this file of every component before it reads any component's or project's own CMakeLists.txt further.
include(${CMAKE_CURRENT_LIST_DIR}/cmake/self_reflasher_bundle.cmake)
