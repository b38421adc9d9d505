/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One agent: a connection, the process behind it and its ring. The three end apart: a program may
 * close every descriptor and still write into its ring, so a session lives until its process
 * does; and a process may come back with the same ring on a new connection.
 *
 *   NEW       connected, HELLO not read yet
 *   READY     attached: the ring is read, the policy is offered
 *   OLD       its process has attached another ring, or has become a program without an agent (exec): read
 *             until the process ends, but not shown any more
 */
#ifndef DAEMON_SESSION_H
#define DAEMON_SESSION_H

#include "drain.h"
#include "json.h"
#include "pyaudit/wire.h"
#include "server.h"

#define SESSION_HELLO_MS 5000   /* a connection that says nothing is closed */
#define SESSION_ANCESTORS_MAX 16 /* of a process, looked at for its tree */
#define SESSION_RINGS_MAX 4     /* of one process; further ones are refused */
#define SESSION_BUDGET 512      /* records of one ring in one turn */
#define SESSION_LINE 2048       /* bytes of a sink's queue that are reckoned for a record */
#define SESSION_BUSY 64         /* records in one turn that make the next one come sooner */
#define SESSION_PACKETS 64      /* of one socket in one turn */
#define SESSION_LOSS_MS 250     /* losses of one ring are told at most this often */
#define SESSION_IDLE_TURNS 4    /* without a record, before a ring is left alone */
#define SESSION_DEAF_MS 5000    /* silence of a ring that cannot wake us any more */

enum session_state {
	SESSION_NEW,
	SESSION_READY,
	SESSION_OLD,
};

/* What a look into the process said of the agent's hook. */
enum session_hook {
	SESSION_HOOK_UNKNOWN, /* not looked yet, no interpreter now, or the agent cannot say where */
	SESSION_HOOK_HIDDEN,  /* its memory may not be read: ptrace_scope, another user */
	SESSION_HOOK_LISTED,
	SESSION_HOOK_REMOVED, /* somebody took it out while the program went on */
	SESSION_HOOK_REFUSED, /* another hook did not let it in */
};

struct session {
	LIST_ENTRY(session) link, peer_link;
	TAILQ_ENTRY(session) active_link;
	LIST_ENTRY(session) waited_link;
	struct server *server;
	enum session_state state;
	bool is_active, is_dead;
	bool is_waited; /* somebody may wait for what was read to be written (`ack`) */
	bool is_peer; /* found by its process number */
	bool is_read; /* to its end, the last time that was tried */
	char agent[PYAUDIT_VERSION_MAX]; /* its version */
	bool observes; /* its agent refuses nothing */

	int fd, pidfd; /* -1: closed; not to be had, or spared */
	uint64_t spared_ns; /* start of the process by /proc, where its pidfd was spared; else 0 */
	struct event *socket_event, *exit_event;
	pid_t pid; /* by the socket's credentials */
	uid_t uid;
	gid_t gid;
	struct account *account; /* of the user, or NULL */
	size_t memory; /* that counts there */
	uint32_t pass; /* of the account, in which its ring had its last turn */
	uint32_t inner_pid; /* as the process sees itself */
	uint64_t since_ns;  /* CLOCK_REALTIME of the connection */
	uint64_t accepted_ns; /* CLOCK_MONOTONIC */

	struct process *process;
	struct drain drain; /* ring is NULL where the agent has none */
	struct held held[PYAUDIT_N_LANES]; /* read, and not written by the sinks yet */
	struct held held_losses; /* told, likewise: n_full of one lane as place, of the other as n_torn */
	bool was_limited; /* by a limit of the user, since losses were told last */
	bool was_unread; /* the ring comes from a time without a daemon: losses are of that */
	dev_t ring_dev;
	ino_t ring_ino;
	uint64_t active_ns; /* last record */
	uint64_t told_ns;   /* last time losses were told */
	uint64_t generation, offered;
	uint64_t n_undecoded;              /* records that were none, not told yet */
	uint64_t socket_lost, socket_told; /* LOST frames */
	uint64_t n_late; /* acts that waited for their alert in vain; as this daemon saw it */
	uint64_t n_events, n_denials, n_lost, lost_by[REPORT_N_CAUSES];
	uint64_t verified_ns; /* last look whether the agent's hook is in its interpreter's list */
	enum session_hook hook;
	bool hook_told;
	uint64_t stored; /* its serial in the service manager's store; 0: not there */
};

/* Descriptors of a session that the daemon before had, or -1. */
struct session_kept {
	int socket, pidfd, ring, state;
};

/* Takes over @fd. */
void session_accept(struct server *server, int fd);
/* Goes on with a session of the daemon before; takes over the descriptors. False: nothing of it can
 * be used, and it is dropped from the store. */
bool session_restore(struct server *server, uint64_t serial, struct session_kept *kept);
void session_free(struct session *session);

/* One turn of an active session. Returns how many milliseconds it may wait for the next one. */
unsigned session_turn(struct session *session, uint64_t now_ns);
/* Wakes a session whose ring sleeps with something in it. */
void session_look(struct session *session);
/* The sinks have written something: tells those who may wait for it. */
void sessions_written(struct server *server);
/* Once a second: losses, offers, rings that woke nobody. */
void session_sweep(struct session *session, uint64_t now_ns);
/* Has the process of a READY session become another program, which did not attach? Then it is OLD from now on.
 * Of one that is still connected this is known only by looking into it, @closely. */
bool session_has_left(struct session *session, bool closely);
/* Reads all that is there now. False: but for what a sink has no room for yet. */
bool session_drain(struct session *session);
/* The daemon goes: the agent's next record shall try to wake it, and find out. */
void session_leave(struct session *session);

/* An entry of `processes` in the status. */
void session_json(const struct session *session, struct json *json);

#endif
