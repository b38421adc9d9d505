/* SPDX-License-Identifier: Apache-2.0 */
#include "deliver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "control.h"

const char *
deliver_state_dir(const struct server *server)
{
	const char *dir = server->conf->state;

	if (dir == NULL && server->parent_event == NULL)
		dir = getenv("STATE_DIRECTORY"); /* systemd's */
	return dir != NULL && dir[0] != 0 ? dir : NULL;
}

char *
deliver_path(const struct server *server, const char *name)
{
	const char *dir = deliver_state_dir(server);
	char *path;

	if (dir == NULL)
		return NULL;
	return asprintf(&path, "%s/%s", dir, name) > 0 ? path : NULL;
}

int
deliver_init(struct server *server)
{
	CLEANUP(freep) char *path = deliver_path(server, DELIVER_STATE_FILE);
	int r;

	server->memory = memory_new();
	if (server->memory == NULL)
		return -ENOMEM;
	r = path != NULL ? memory_load(server->memory, path) : 0;
	if (r == -EBADMSG)
		log_error(server->log, "%s is damaged: what first-seen rules remembered is begun anew",
			  path);
	else if (r < 0 && r != -ENOENT)
		log_error(server->log, "cannot read %s: %s", path, strerror(-r));
	return 0;
}

static void
save(struct server *server)
{
	CLEANUP(freep) char *path = deliver_path(server, DELIVER_STATE_FILE);
	int r = path != NULL && server->memory != NULL ? memory_save(server->memory, path) : 0;

	server->saved_ns = clock_ns(CLOCK_MONOTONIC);
	if (r < 0)
		log_error(server->log, "cannot write %s: %s", path, strerror(-r));
}

void
deliver_fini(struct server *server)
{
	save(server);
	memory_free(server->memory);
	server->memory = NULL;
}

static void
fire(void *data, struct report *report)
{
	report->is_held = false; /* a limit may hold what it came from */
	server_report(data, report, NULL, 0);
}

bool
deliver_asked(const struct server *server, const struct pyaudit_decoded *decoded)
{
	const struct compile_options settings = {.record = server->conf->record,
						 .record_all = server->conf->record_all};

	return compile_records(&settings, decoded->event.id);
}

/* What only memories and exceptions asked for is told to nobody, but stands in captures: from there it
 * is judged again. */
static void
capture_record(struct server *server, struct report *report, const uint8_t *record, size_t size)
{
	if (server->n_tails == 0)
		return;
	report->is_held = true;
	server->record = record;
	server->record_size = size;
	server->line_made = false;
	control_publish(server, report, 1);
	report->is_held = false;
}

void
deliver_record(struct server *server, struct report *report, const struct memory_subject *subject,
	       const uint8_t *record, size_t size)
{
	struct memory_hits hits;

	if (memory_sort(report->decoded, report->rules, &hits) ||
	    deliver_asked(server, report->decoded))
		server_report(server, report, record, size);
	else
		capture_record(server, report, record, size);
	if (hits.n > 0)
		memory_judge(server->memory, report, &hits, subject, record, size,
			     clock_ns(CLOCK_REALTIME), fire, server);
}

void
deliver_sweep(struct server *server, uint64_t now_ns)
{
	uint64_t time_ns = clock_ns(CLOCK_REALTIME);

	if (server->n_tails > 0)
		control_tell_clock(server, time_ns, memory_stats(server->memory).n_waiting > 0);
	memory_sweep(server->memory, time_ns, fire, server);
	if (now_ns - server->saved_ns > (uint64_t)DELIVER_SAVE_MS * 1000000u)
		save(server);
}
