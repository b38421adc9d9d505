/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one user (uid, by the socket's credentials) has here and takes of us, and whose turn it is.
 *
 * Rings are polled user by user: each user who has active rings gets a slice of the loop, then the next
 * one does, so that one user's ten thousand rings do not make another's single ring wait for all of
 * them. A pass is one turn of each of a user's active rings; the next pass begins when the rings asked
 * for it, but where nobody is in a hurry not before as much time has gone by as the pass took for turns in which
 * there was nothing to read.
 *
 * A sink may have room for less than there is to read, and a user's rate may leave less: then who comes early in a pass
 * gets it. So the first that took something is the last in the next pass; and the first user of a round in the next
 * round.
 *
 * A user who is over a limit of rate is not read until the second is over: what that user's programs
 * raise meanwhile stands in their own rings, and if it does not fit there, is lost and counted there.
 */
#ifndef DAEMON_ACCOUNT_H
#define DAEMON_ACCOUNT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "pyaudit/ring.h"

#define ACCOUNT_BUCKETS 256u        /* a power of two */
#define ACCOUNT_MAX 4096u           /* users remembered; of more, those without a session are forgotten */
#define ACCOUNT_SLICE_NS 1000000u   /* of one user, before the next one's */
#define ACCOUNT_LOOP_NS 10000000u   /* of all, before the loop looks at everything else */
#define ACCOUNT_WAIT_NS 100000000u  /* between two passes, at most */
#define ACCOUNT_LIMITED_NS 20000000u /* between two passes of a user who is over a limit, at least */
#define ACCOUNT_PROCESS_MAX 8u      /* connections and rings of one process */
#define ACCOUNT_SILENT_MAX 256u     /* connections of one user that have not said hello */

struct server;
struct session;
TAILQ_HEAD(session_queue, session);

/* So many in the second that began at since_ns. */
struct account_rate {
	uint64_t since_ns; /* CLOCK_MONOTONIC */
	unsigned n;
};

struct account {
	LIST_ENTRY(account) link;      /* of its bucket */
	TAILQ_ENTRY(account) turn_link; /* while it has active sessions */
	uid_t uid;
	unsigned n_sessions;
	unsigned n_silent; /* of these, without a hello */
	size_t memory;     /* of these: rings and what is known of processes */

	struct session_queue active; /* those of the present pass that had no turn yet come first */
	struct session *first_taker; /* of these, in the present pass, or NULL */
	uint32_t pass;
	bool in_pass, is_limited;
	unsigned wait_ms;   /* the least that a session of this pass asked for */
	uint64_t begun_ns, due_ns; /* of this pass, of the next; CLOCK_MONOTONIC */
	uint64_t vain_ns;   /* spent in this pass on turns that found nothing */
	uint64_t every_ns;  /* between the beginnings of the last two */
	struct account_rate rates[PYAUDIT_N_LANES];
};

LIST_HEAD(account_list, account);
TAILQ_HEAD(account_queue, account);

struct accounts {
	struct account_list *buckets;
	struct account_queue turns;
	struct account *first_taker; /* of these, since the last round, or NULL */
	unsigned n;
};

/* 0 or -ENOMEM. */
int accounts_init(struct accounts *accounts);
void accounts_fini(struct accounts *accounts);

/* Counts a session on its user's account. NULL, or why there is no room for it; it counts also then,
 * unless it has no account. */
const char *account_enter(struct server *server, struct session *session);
void account_leave(struct session *session);
/* It has said hello, and takes so much memory. NULL, or why that is too much. */
const char *account_greet(struct session *session, size_t memory);

/* Whether its ring is polled. One that was woken has its turn at once. */
void account_activate(struct session *session);
void account_deactivate(struct session *session);
/* An active one has its next turn at once. */
void account_hurry(struct session *session);

/* How many of @n records of a lane may be read now; then tells how many were. */
unsigned account_allows(struct session *session, enum pyaudit_lane lane, unsigned n, uint64_t now_ns);
void account_takes(struct session *session, enum pyaudit_lane lane, unsigned n);

/* Turns of those who are due. Returns how many milliseconds later the next are, or -1: no ring is active. */
int accounts_turn(struct server *server);

#endif
