/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way to journald, by its native protocol (entry.h), without ever waiting for it long: what
 * libsystemd's sd_journal_sendv does, but that waits for as long as journald is stopped.
 */
#ifndef LIB_JOURNAL_SOCKET_H
#define LIB_JOURNAL_SOCKET_H

#include <stddef.h>
#include <sys/uio.h>

#include "buf.h"

#define JOURNAL_SOCKET_PATH "/run/systemd/journal/socket"
#define JOURNAL_WAIT_MS 250 /* for room in its socket: it takes entries in bursts */

struct journal_socket {
	const char *path;
	int fd; /* connected, or -1 */
};

/* Connects where it is not, and sends one entry, in a sealed memfd where it is too long for a packet.
 * 0, or a negative errno; -EAGAIN: nobody has read for JOURNAL_WAIT_MS. */
int journal_socket_send(struct journal_socket *socket, const void *entry, size_t size);
void journal_socket_close(struct journal_socket *socket);

/* Appends a field, `NAME=value` in @field, as the protocol has it. */
void journal_socket_field(struct buf *entry, const char *field, size_t size);

#endif
