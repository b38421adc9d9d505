/* SPDX-License-Identifier: Apache-2.0 */
#include "context.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "cleanup.h"
#include "deliver.h"
#include "sink_context.h"

int
context_init(struct server *server)
{
	const char *state = deliver_state_dir(server);
	int r;

	if (server->journal == NULL || state == NULL)
		return 0;
	if (asprintf(&server->context_dir, "%s/" CONTEXT_DIR, state) < 0) {
		server->context_dir = NULL;
		return -ENOMEM;
	}
	r = sink_context_new(&server->context, server->context_dir, server->log);
	return r;
}

void
context_fini(struct server *server, unsigned timeout_ms)
{
	sink_free(server->context, timeout_ms);
	server->context = NULL;
	free(server->context_dir);
	server->context_dir = NULL;
	free(server->context_path);
	server->context_path = NULL;
}

void
context_tell(struct server *server, struct report *report)
{
	char name[SINK_CONTEXT_NAME_MAX];

	report->context_file = NULL;
	if (server->context == NULL || report->kind != REPORT_ALERT || report->decoded->n_context == 0 ||
	    !sink_context_push(server->context, report, server_line(server, report), name))
		return;
	sink_kick(server->context);
	free(server->context_path);
	if (asprintf(&server->context_path, "%s/%s", server->context_dir, name) < 0)
		server->context_path = NULL;
	report->context_file = server->context_path;
}
