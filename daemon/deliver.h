/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of a decoded record: rules with memory take what is theirs, what is left is told if
 * somebody asked for it, and what the memory makes of it is told as an alert.
 */
#ifndef DAEMON_DELIVER_H
#define DAEMON_DELIVER_H

#include "memory.h"
#include "server.h"

#define DELIVER_STATE_FILE "first-seen"
#define DELIVER_SAVE_MS 60000 /* between two writes of what first-seen rules remember */

/* 0 or -ENOMEM; a damaged file is said so and begun anew. */
int deliver_init(struct server *server);
void deliver_fini(struct server *server);

/* The directory for what is to outlive the daemon; NULL: there is none. */
const char *deliver_state_dir(const struct server *server);

/* @report's record was decoded into it, and is not sorted. */
void deliver_record(struct server *server, struct report *report, const struct memory_subject *subject,
		    const uint8_t *record, size_t size);
/* Where what is to outlive the daemon is kept, for free(); NULL: nowhere. */
char *deliver_path(const struct server *server, const char *name);
/* Once a second. */
void deliver_sweep(struct server *server, uint64_t now_ns);
/* Has the settings ask for a record whose rules are gone into memories? */
bool deliver_asked(const struct server *server, const struct pyaudit_decoded *decoded);

#endif
