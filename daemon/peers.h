/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is connected, by process number. Numbers are handed out one after the other, so their low bits
 * are all the hash there is to be had; a bucket holds at most 2^22 / PEERS_BUCKETS processes
 * (proc_sys_kernel(5)), however somebody chooses them.
 */
#ifndef DAEMON_PEERS_H
#define DAEMON_PEERS_H

#include <stdbool.h>
#include <sys/queue.h>
#include <sys/types.h>

#define PEERS_BUCKETS 16384u /* a power of two */

struct session;
LIST_HEAD(peer_list, session);

struct peers {
	struct peer_list *buckets;
};

/* 0 or -ENOMEM. */
int peers_init(struct peers *peers);
void peers_fini(struct peers *peers);

/* Once the session's process is known. */
void peers_add(struct peers *peers, struct session *session);
/* Also of one that was not added. */
void peers_remove(struct session *session);

/* The first session of a process, newest first, and the one after @session; NULL at the end. */
struct session *peers_first(const struct peers *peers, pid_t pid);
struct session *peers_next(const struct session *session);

#define PEERS_FOREACH(session, peers, pid)                                                         \
	for ((session) = peers_first((peers), (pid)); (session) != NULL;                           \
	     (session) = peers_next(session))

#endif
