// SPDX-License-Identifier: Apache-2.0
/** @file
 * Good behaviour of a process: a stream that fails is reported, and a signal leaves nothing half done.
 */
#pragma once

/**
 * Call first in main(). From then on:
 * - standard streams that are closed are not taken for files that are opened later;
 * - output that cannot be written to standard output ends the program with STATUS_BAD_INPUT and a message;
 * - a file that grows past its limit is an error of the write, and does not kill the program;
 * - SIGINT, SIGTERM and SIGHUP reset the terminal's colours and remove a temporary file before they end the program.
 */
void process_setup(void);
