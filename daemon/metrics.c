/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "openmetrics.h"
#include "server.h"
#include "session.h"

/* Counting */

static unsigned
class_of(unsigned event)
{
	unsigned classes = event < PYAUDIT_N_EVENTS ? pyaudit_events[event].classes : 0;
	unsigned i = 0;

	while (i < PYAUDIT_N_CLASSES && (classes & 1u << i) == 0)
		i++;
	return i;
}

void
metrics_count(struct metrics *metrics, const struct report *report)
{
	metrics->by_class[class_of(report->decoded->event.id)]++;
	if (report->kind == REPORT_ALERT)
		metrics->by_severity[report_severity(report)]++;
}

/* Telling */

static void
tell(struct openmetrics *om, const char *family, const char *type, const char *help, uint64_t value)
{
	openmetrics_family(om, family, type, NULL, help);
	openmetrics_sample(om);
	openmetrics_uint(om, value);
}

static void
tell_labelled(struct openmetrics *om, const char *label, const char *value, uint64_t n)
{
	openmetrics_sample(om);
	openmetrics_label(om, label, value);
	openmetrics_uint(om, n);
}

static void
tell_state(struct server *server, struct openmetrics *om)
{
	const struct rule_set *rules = policy_rules(&server->policy, server->policy.generation);

	openmetrics_family(om, "pyaudit_build_info", "gauge", NULL, "1, with the daemon's version.");
	tell_labelled(om, "version", PYAUDIT_VERSION, 1);
	openmetrics_family(om, "pyaudit_start_time_seconds", "gauge", "seconds",
			   "When the daemon started, Unix time.");
	openmetrics_sample(om);
	openmetrics_seconds(om, server->metrics.started_ns);
	tell(om, "pyaudit_policy_generation", "gauge", "Number of the policy in force.",
	     server->policy.generation);
	tell(om, "pyaudit_rules", "gauge", "Rules in force.", rules->n_rules);
	tell(om, "pyaudit_observing", "gauge", "1 where nothing is refused on the whole host.",
	     mode_observes(&server->policy.mode, conf_observes(server->conf)));
	tell(om, "pyaudit_paused", "gauge", "1 while a pause lets everything pass.",
	     server->pause.since_ns != 0);
}

static void
tell_events(struct server *server, struct openmetrics *om)
{
	const struct metrics *metrics = &server->metrics;
	const struct server_stats *stats = &server->stats;

	openmetrics_family(om, "pyaudit_events", "counter", NULL,
			   "Events that were told, alerts included, each in the first of its classes.");
	for (unsigned i = 0; i <= PYAUDIT_N_CLASSES; i++)
		tell_labelled(om, "class", i < PYAUDIT_N_CLASSES ? pyaudit_class_names[i] : "none",
			      metrics->by_class[i]);
	openmetrics_family(om, "pyaudit_alerts", "counter", NULL, "Alerts, denials included.");
	for (unsigned i = 0; i <= PYAUDIT_SEV_CRITICAL; i++)
		tell_labelled(om, "severity", severity_name((enum pyaudit_severity)i), metrics->by_severity[i]);
	tell(om, "pyaudit_denials", "counter", "Acts that were refused.", stats->n_denials);
	tell(om, "pyaudit_suppressed_alerts", "counter",
	     "Alerts that a rule's limit held back, told in summaries.", stats->n_suppressed);
	openmetrics_family(om, "pyaudit_lost_events", "counter", NULL, "Events that are missing, by cause.");
	for (unsigned i = 0; i < REPORT_N_CAUSES; i++)
		if (i != REPORT_CAUSE_SINK && i != REPORT_CAUSE_CLIENT) /* told to these alone */
			tell_labelled(om, "cause", report_cause_name((enum report_cause)i), stats->lost_by[i]);
}

static int
by_id(const void *a, const void *b)
{
	const struct rule *const *x = a, *const *y = b;

	return strcmp((*x)->id, (*y)->id);
}

/* Rules of several profiles may stand there in several forms, which share a count. */
static void
tell_rules(struct server *server, struct openmetrics *om)
{
	const struct rule_set *set = policy_rules(&server->policy, server->policy.generation);
	CLEANUP(freep) const struct rule **rules = calloc(set->n_rules + 1, sizeof(*rules));
	uint64_t others = 0;
	unsigned named = 0;

	if (rules == NULL) {
		om->out->failed = true;
		return;
	}
	for (size_t i = 0; i < set->n_rules; i++)
		rules[i] = &set->rules[i];
	qsort(rules, set->n_rules, sizeof(*rules), by_id);
	openmetrics_family(om, "pyaudit_rule_hits", "counter", NULL,
			   "Events that a rule matched and that were told, since the daemon started.");
	for (size_t i = 0; i < set->n_rules; i++) {
		uint64_t n = rules[i]->count != NULL ? rules[i]->count->n : 0;

		if (i > 0 && strcmp(rules[i]->id, rules[i - 1]->id) == 0)
			continue;
		if (named++ < METRICS_RULES_MAX)
			tell_labelled(om, "rule", rules[i]->id, n);
		else
			others += n;
	}
	tell_labelled(om, "rule", "(other)", others);
}

struct versions {
	const char *name[METRICS_VERSIONS_MAX];
	uint64_t n[METRICS_VERSIONS_MAX + 1];
	unsigned used;
};

static void
count_version(struct versions *versions, const char *name)
{
	unsigned i = 0;

	while (i < versions->used && strcmp(versions->name[i], name) != 0)
		i++;
	if (i == versions->used && i < METRICS_VERSIONS_MAX)
		versions->name[versions->used++] = name;
	versions->n[i]++;
}

static void
tell_agents(struct server *server, struct openmetrics *om)
{
	struct versions versions = {.name = {PYAUDIT_VERSION}, .used = 1};
	uint64_t n_observing = 0, n_unhooked = 0;
	const struct session *session;

	LIST_FOREACH(session, &server->sessions, link)
	{
		if (session->state != SESSION_READY)
			continue;
		count_version(&versions, session->agent);
		n_observing += session->observes;
		n_unhooked += session->hook == SESSION_HOOK_REMOVED;
	}
	openmetrics_family(om, "pyaudit_agents", "gauge", NULL, "Processes that are watched, by the version of their agent.");
	for (unsigned i = 0; i < versions.used; i++)
		tell_labelled(om, "version", versions.name[i], versions.n[i]);
	tell_labelled(om, "version", "(other)", versions.n[METRICS_VERSIONS_MAX]);
	tell(om, "pyaudit_agents_limit", "gauge", "Processes that can be watched: max_agents.",
	     server->conf->max_agents);
	tell(om, "pyaudit_agents_observing", "gauge", "Of these, those whose agent refuses nothing.", n_observing);
	tell(om, "pyaudit_agents_unhooked", "gauge", "Of these, those whose hook somebody removed.", n_unhooked);
	tell(om, "pyaudit_refused_agents", "counter", "Connections of agents that were turned away.",
	     server->stats.n_refused);
	tell(om, "pyaudit_clients", "gauge", "Clients that follow events.", server->n_tails);
}

static void
tell_sinks(struct server *server, struct openmetrics *om)
{
	struct sink *sinks[] = {server->ndjson, server->journal, server->metrics.file};
	struct sink_state states[sizeof(sinks) / sizeof(sinks[0])];
	static const struct {
		const char *family, *type, *unit, *help;
	} rows[] = {
		{"pyaudit_sink_failing", "gauge", NULL, "1 while the sink cannot be written to."},
		{"pyaudit_sink_queued_items", "gauge", "items", "Items that wait in memory."},
		{"pyaudit_sink_spooled_items", "gauge", "items", "Items that wait on disk."},
		{"pyaudit_sink_spooled_bytes", "gauge", "bytes", "Bytes that they take there."},
		{"pyaudit_sink_lost_events", "counter", NULL, "Events that did not reach the sink."},
	};
	const size_t n = sizeof(sinks) / sizeof(sinks[0]);

	for (size_t k = 0; k < n; k++)
		if (sinks[k] != NULL)
			states[k] = sink_state(sinks[k]);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		openmetrics_family(om, rows[i].family, rows[i].type, rows[i].unit, rows[i].help);
		for (size_t k = 0; k < n; k++) {
			if (sinks[k] == NULL)
				continue;
			tell_labelled(om, "sink", sink_name(sinks[k]),
				      i == 0   ? states[k].is_failing
				      : i == 1 ? states[k].n_queued
				      : i == 2 ? states[k].n_spooled
				      : i == 3 ? states[k].spooled_bytes
					       : states[k].n_lost);
		}
	}
}

static uint64_t
ns_of(const struct timeval *t)
{
	return (uint64_t)t->tv_sec * 1000000000u + (uint64_t)t->tv_usec * 1000u;
}

/* Bytes, or 0 where /proc cannot be read. */
static uint64_t
resident_bytes(void)
{
	CLEANUP(fclosep) FILE *file = fopen("/proc/self/statm", "re");
	unsigned long long pages = 0;
	long size = sysconf(_SC_PAGESIZE);

	if (file == NULL || size <= 0 || fscanf(file, "%*u %llu", &pages) != 1)
		return 0;
	return pages * (unsigned long long)size;
}

static void
tell_self(struct server *server, struct openmetrics *om)
{
	struct memory_stats memory = memory_stats(server->memory);
	struct rusage usage = {0};

	(void)getrusage(RUSAGE_SELF, &usage);
	openmetrics_family(om, "pyaudit_daemon_cpu_seconds", "counter", "seconds", "Time on processors.");
	openmetrics_sample(om);
	openmetrics_label(om, "mode", "user");
	openmetrics_seconds(om, ns_of(&usage.ru_utime));
	openmetrics_sample(om);
	openmetrics_label(om, "mode", "system");
	openmetrics_seconds(om, ns_of(&usage.ru_stime));
	openmetrics_family(om, "pyaudit_daemon_resident_memory_bytes", "gauge", "bytes",
			   "Memory, rings of watched processes that it has mapped included.");
	openmetrics_sample(om);
	openmetrics_uint(om, resident_bytes());
	tell(om, "pyaudit_memory_entries", "gauge", "What rules with memory remember.", memory.n_entries);
	tell(om, "pyaudit_memory_evicted", "counter", "What they had to forget too early.", memory.n_evicted);
}

void
metrics_text(struct server *server, struct buf *out)
{
	struct openmetrics om = {.out = out};

	tell_state(server, &om);
	tell_events(server, &om);
	tell_rules(server, &om);
	tell_agents(server, &om);
	tell_sinks(server, &om);
	tell_self(server, &om);
	openmetrics_end(&om);
}

/* The file */

static void
on_timer(evutil_socket_t fd, short what, void *data)
{
	struct server *server = data;
	struct timeval next = {.tv_sec = server->conf->metrics_s};
	struct buf text;

	(void)fd;
	(void)what;
	(void)event_add(server->metrics.timer, &next);
	buf_init(&text);
	metrics_text(server, &text);
	if (!text.failed)
		(void)sink_push(server->metrics.file, text.data, text.len, 0, false);
	buf_fini(&text);
	sink_kick(server->metrics.file);
}

int
metrics_init(struct server *server)
{
	struct metrics *metrics = &server->metrics;
	const struct sink_options options = {.queue_size = METRICS_QUEUE, .notify_fd = -1, .log = server->log};
	const struct timeval now = {0};
	int r;

	metrics->started_ns = clock_ns(CLOCK_REALTIME) - (clock_ns(CLOCK_MONOTONIC) - server->started_ns);
	if (server->conf->metrics == NULL)
		return 0;
	r = sink_metrics_new(&metrics->file, server->conf->metrics, &options);
	if (r == 0) {
		metrics->timer = evtimer_new(server->base, on_timer, server);
		r = metrics->timer != NULL && event_add(metrics->timer, &now) == 0 ? 0 : -ENOMEM;
	}
	if (r < 0)
		log_error(server->log, "cannot write metrics to %s: %s", server->conf->metrics, strerror(-r));
	return r;
}

void
metrics_fini(struct server *server)
{
	struct metrics *metrics = &server->metrics;

	if (metrics->timer != NULL)
		event_free(metrics->timer);
	if (metrics->file != NULL)
		sink_free(metrics->file, METRICS_FLUSH_MS);
	*metrics = (struct metrics){0};
}
