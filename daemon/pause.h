/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pause: every agent lets everything pass, unrecorded, until it is resumed or its time is over. The
 * word stands in each ring (ring.h), so that it is in force at once and ends by itself also while no
 * daemon is there; what the daemon knows of it is kept beside its sockets, for the next daemon.
 */
#ifndef DAEMON_PAUSE_H
#define DAEMON_PAUSE_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "json.h"

#define PAUSE_FILE "paused"

struct server;
struct session;

struct pause {
	uint64_t since_ns, until_ns; /* CLOCK_REALTIME; since 0: none; until 0: until resumed */
	uint32_t word;               /* what stands in the rings */
	uid_t uid;                   /* who asked for it */
	struct event *timer;
};

/* Goes on with what an earlier daemon left. 0 or a negative errno. */
int pause_init(struct server *server);
void pause_fini(struct server *server);

/* @for_s 0: until resumed. Told in every sink. */
void pause_begin(struct server *server, unsigned for_s, uid_t uid, pid_t pid);
/* False: there was none. */
bool pause_resume(struct server *server, uid_t uid, pid_t pid);

/* A ring that was attached now. */
void pause_apply(const struct server *server, struct session *session);

/* null, or an object. */
void pause_json(const struct server *server, struct json *json);

#endif
