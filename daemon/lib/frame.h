/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets of the agent socket (include/pyaudit/wire.h), checked. What is given out borrows from
 * the packet.
 */
#ifndef LIB_FRAME_H
#define LIB_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "pyaudit/record.h"
#include "pyaudit/wire.h"

#define FRAME_PACKET_MAX (sizeof(struct pyaudit_frame) + PYAUDIT_PAYLOAD_MAX)

struct frame {
	uint16_t type;
	uint16_t flags;
	const uint8_t *payload;
	size_t length;
};

/* 0; -EBADMSG: not a frame; -EPROTO: another major version. */
int frame_parse(struct frame *ret, const uint8_t *packet, size_t size);
/* Fills in the head of a packet of ours. */
void frame_head(struct pyaudit_frame *ret, uint16_t type, size_t length);

struct hello {
	uint32_t pid, ppid, uid, gid;
	uint64_t start_ns, generation;
	uint8_t route, reason;
	const char *python, *exe, *cwd, *cgroup, *venv; /* NUL terminated, "" where unknown */
	unsigned n_argv;
	const char *argv[PYAUDIT_LIST_MAX];
	char agent[PYAUDIT_VERSION_MAX]; /* its version, "" where it is older than 1.1 */
};

/* 0, or -EBADMSG. */
int hello_parse(struct hello *ret, const uint8_t *payload, size_t length);

const char *route_name(unsigned route);
const char *reason_name(unsigned reason);

#endif
