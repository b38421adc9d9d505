/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers about the daemon, as OpenMetrics text: for `pyauditctl metrics`, and for the file of the setting
 * `metrics`. docs/OPERATIONS.md lists them. What becomes a label is bounded here: classes, causes, severities
 * and sinks are tables of ours, and so many rules and versions that agents claim have a number of their own.
 */
#ifndef DAEMON_METRICS_H
#define DAEMON_METRICS_H

#include <event2/event.h>
#include <stdint.h>

#include "buf.h"
#include "pyaudit/events.h"
#include "pyaudit/record.h"
#include "report.h"
#include "sink.h"

#define METRICS_RULES_MAX 1024u	      /* by their ids; further ones are counted together */
#define METRICS_VERSIONS_MAX 8u	      /* of agents, ours first; further ones are "other" */
#define METRICS_FLUSH_MS 100	      /* numbers that are about to go are not waited for */
#define METRICS_QUEUE (1u << 20)      /* bytes that the file may be behind */

struct server;

struct metrics {
	/* Each event in the first of its classes, the last: in none. */
	uint64_t by_class[PYAUDIT_N_CLASSES + 1];
	uint64_t by_severity[PYAUDIT_SEV_CRITICAL + 1]; /* alerts */
	uint64_t started_ns; /* CLOCK_REALTIME, of the daemon */
	struct sink *file;   /* or NULL */
	struct event *timer; /* of the file */
};

/* 0 or a negative errno, after saying why. */
int metrics_init(struct server *server);
void metrics_fini(struct server *server);

/* Counts an event or alert. */
void metrics_count(struct metrics *metrics, const struct report *report);
/* All of them, now. */
void metrics_text(struct server *server, struct buf *out);

#endif
