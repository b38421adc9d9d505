/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the service manager holds of our sessions while no daemon runs (sd_notify's FDSTORE): of each
 * its connection, its process's pidfd, its ring and a memfd with what else is known, under one name,
 * `agent-SERIAL`. The next daemon starts with them, so that a program that ended meanwhile is read to
 * its end, and one that goes on need not even notice.
 *
 * Which descriptor is which is told by what it is, for the manager does not keep their order.
 * Without a service manager, or with one that has no store, all this does nothing.
 */
#ifndef DAEMON_STORE_H
#define DAEMON_STORE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "pyaudit/wire.h"

#define STORE_FDS_MAX 4 /* of one session */
#define STORE_HELLO_MAX (sizeof(struct pyaudit_hello) + PYAUDIT_HELLO_STRINGS_MAX + 256)

/* What is written to the memfd; another version may have more behind the head, before the hello. */
struct store_state {
	uint32_t magic;
	uint32_t size;   /* of this head: what is beyond ours is skipped */
	uint32_t length; /* of the hello's payload, which follows the head */
	uint32_t flags;  /* of the hello's frame */
	uint32_t pid, uid, gid;
	uint32_t reserved;
	uint64_t since_ns;
};

struct session;
struct server;
struct notify_fd;

/* Hands a session over; what was handed over of it before goes. @ring_fd may be -1. */
void store_put(struct session *session, int ring_fd);
/* Its process has ended, or it will not be needed again. */
void store_drop(struct session *session);
/* At start: makes sessions of what was handed over (notify_stored), in the order of their serials; closes what is
 * none. Returns their number. */
unsigned store_take(struct server *server, const struct notify_fd *fds, size_t n_fds);

/* Reads a state: 0 with the hello in @hello (STORE_HELLO_MAX bytes), or -EBADMSG. */
int store_read(int fd, struct store_state *ret, uint8_t *hello);

#endif
