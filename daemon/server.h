/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's one loop and what it holds together: agents, clients, policy, sinks, memory.
 * Everything here runs on the loop's thread; only sinks have threads of their own.
 */
#ifndef DAEMON_SERVER_H
#define DAEMON_SERVER_H

#include <event2/event.h>
#include <sys/queue.h>

#include "account.h"
#include "clock.h"
#include "conf.h"
#include "held.h"
#include "limit.h"
#include "listener.h"
#include "memory.h"
#include "metrics.h"
#include "log.h"
#include "pause.h"
#include "peers.h"
#include "policy.h"
#include "process.h"
#include "recent.h"
#include "report.h"
#include "rights.h"
#include "sink.h"
#include "unwatched.h"

#define SERVER_KNOCK_MS 10      /* between two looks after knocks: anyone may knock */
#define SERVER_SWEEP_MS 1000    /* ring losses, offers and silent rings are looked at this often... */
#define SERVER_SWEEP_MAX 4096   /* ...of so many sessions; further ones the next time */
#define SERVER_FLUSH_MS 5000    /* sinks have this long when the daemon ends */
#define SERVER_CLIENT_FLUSH_MS 1000
#define SERVER_NOTIFY_MS 1000   /* the service manager has this long to be told of the end */
#define SERVER_EXIT_FAILED 2 /* worth another try */
#define SERVER_LOCK_FILE "pyauditd.lock"

struct server_options;
struct session;
struct client;
LIST_HEAD(session_list, session);
LIST_HEAD(client_list, client);

struct server_stats {
	uint64_t n_events; /* alerts included */
	uint64_t n_alerts; /* denials included */
	uint64_t n_denials;
	uint64_t n_suppressed; /* of the alerts: counted in summaries, not told */
	uint64_t n_lost, lost_by[REPORT_N_CAUSES];
	uint64_t n_refused; /* agents that were turned away */
};

struct server {
	struct conf *conf;
	const struct server_options *options;
	struct log *log;
	struct event_base *base;
	int lock_fd;
	uint64_t started_ns; /* CLOCK_MONOTONIC */
	bool stopping;
	bool is_ending;  /* the loop has ended: sinks may be waited for, until end_ns */
	uint64_t end_ns; /* CLOCK_MONOTONIC */
	int exit_code;

	struct listener agents, control;
	bool is_up; /* both listen, or did */
	struct event *drain_timer, *sweep_timer, *knock_timer, *watchdog_timer, *sink_event;
	struct event *parent_event;
	uint64_t knocked_ns; /* CLOCK_MONOTONIC of the last look after a knock */
	/* What the watchdog is fed by: that agents were looked after and active rings were read. */
	bool swept, drained; /* since it was fed last */
	struct event *signals[3];
	int parent_fd; /* -1: not private, or it has ended */
	bool parent_gone;

	struct policy policy;
	struct pause pause;
	struct unwatched *unwatched; /* or NULL */
	struct users users;

	struct session_list sessions;
	struct session_list waited; /* of these, those that somebody may wait for */
	struct peers peers;
	uint64_t n_stored; /* serials given in the service manager's store */
	unsigned n_sessions, n_attached; /* attached: past HELLO, and not an old ring of one */
	struct accounts accounts;        /* and the turns of rings that are polled */
	struct session *sweep_at;        /* the next one to be swept; NULL: the first */
	bool polls_soon;                 /* the drain timer is set for at once */
	struct client_list clients;
	unsigned n_clients, n_tails, n_strangers; /* strangers: without any rights */
	struct rights_groups groups;

	struct sink *ndjson, *journal;
	struct sink *context; /* files of context.c, or NULL */
	char *context_dir, *context_path; /* path of the last one */
	struct held_marks n_given; /* reports that were given to each */
	int sink_fd; /* eventfd: some sink's queue ran empty */

	struct limits *limits;
	struct memory *memory;
	uint64_t saved_ns; /* CLOCK_MONOTONIC of its last write */
	struct recent recent;
	uint64_t seq;
	struct server_stats stats;
	struct metrics metrics;

	struct buf line; /* JSON of the report being delivered */
	bool line_made;
	const uint8_t *record; /* it was decoded from, or NULL */
	size_t record_size;
	uint32_t n_processes; /* named so far, for captures */
	struct pyaudit_decoded decoded; /* the record being delivered */
	_Alignas(8) char scratch[PYAUDIT_SCRATCH_SIZE];
};

struct server_options {
	int ready_fd, parent_fd; /* -1: none */
	int pidfds_below;	 /* descriptors from here on are for connections */
	/* Reads the settings again. 0, RULES_E_INVALID (mistakes in @diag), or a negative errno. */
	int (*reload_settings)(void *data, struct conf *ret, struct diag *diag);
	void *settings; /* its @data */
};

/* Takes the runtime directory, loads the policy and listens. 0, or a negative errno or
 * RULES_E_INVALID after saying why. */
int server_init(struct server *server, struct conf *conf, struct log *log,
		const struct server_options *options);
/* Runs until told to end; returns the exit code. */
int server_run(struct server *server);
/* Drains, flushes, and lets everything go. Also after a failed server_init. */
void server_fini(struct server *server);

void server_stop(struct server *server);

/* Delivers a report to everyone who wants it; gives it its number. @record is what an event was
 * decoded from. */
void server_report(struct server *server, struct report *report, const uint8_t *record,
		   size_t record_size);
/* Tells what limits held back: of one process, or (NULL) of all. */
void server_flush_limits(struct server *server, const struct process *process);
/* A status line about the daemon itself. */
__attribute__((format(printf, 3, 4))) void server_status(struct server *server, const char *event,
							 const char *format, ...);
/* The JSON line of the report being delivered, made once. */
const struct buf *server_line(struct server *server, const struct report *report);

bool server_tell_sink_losses(struct server *server, struct sink *sink);

/* Hands the newest policy to those that have not got it. */
void server_offer_policy(struct server *server);
/* Reload as by SIGHUP, settings and rules. 0, RULES_E_INVALID (mistakes in @diag), or a negative errno. */
int server_reload(struct server *server, struct diag *diag);

/* Reads every ring and every packet that is there now, and tells the losses. False: there is more than a
 * sink has room for now. */
bool server_drain(struct server *server);

/* Wakes the drain timer: some session became active. */
void server_poll_soon(struct server *server);
/* A child between fork and exec put something into the ring of a process it does not name. */
void server_knocked(struct server *server);
/* The last agent may have gone: a private daemon ends then. */
void server_check_private(struct server *server);

#endif
