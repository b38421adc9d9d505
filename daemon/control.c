/* SPDX-License-Identifier: Apache-2.0 */
#include "control.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "capture.h"
#include "cleanup.h"
#include "compile.h"
#include "deliver.h"
#include "feed.h"
#include "json.h"
#include "openmetrics.h"
#include "request.h"
#include "session.h"
#include "settings.h"

#define CONTROL_SINKS 2

struct client {
	LIST_ENTRY(client) link;
	struct server *server;
	struct bufferevent *bev;
	bool asked;    /* its one request was read */
	bool is_tail;
	bool is_closing; /* when its output is written */
	bool is_waiting; /* for sinks to get past the marks */
	bool is_partly;  /* and then there is more to be read */
	bool stops;      /* the daemon ends after the answer */
	uint64_t marks[CONTROL_SINKS];
	struct event *timeout;
	enum rights rights;
	uid_t uid;

	struct expr *filter; /* or NULL */
	struct feed *feed;   /* of a capture: blocks in the place of lines; or NULL */
	bool is_replaying;   /* reading memory; live lines come by way of it */
	uint64_t replay_at, since_ns;
	uint64_t weight_seen; /* of memory, up to replay_at */
	uint64_t missed;
};

/* What a filter is asked about. */
struct asked {
	const struct report *report;
	struct pyaudit_value values[PYAUDIT_VALUES_MAX];
};

static void
client_free(struct client *client)
{
	struct server *server = client->server;

	LIST_REMOVE(client, link);
	server->n_clients--;
	server->n_tails -= client->is_tail;
	server->n_strangers -= client->rights == RIGHTS_NONE;
	if (client->timeout != NULL)
		event_free(client->timeout);
	bufferevent_free(client->bev);
	expr_free(client->filter);
	feed_free(client->feed);
	free(client);
}

static struct evbuffer *
output_of(const struct client *client)
{
	return bufferevent_get_output(client->bev);
}

static void
send_buf(struct client *client, const struct buf *line)
{
	if (line->failed || evbuffer_add(output_of(client), line->data, line->len) < 0)
		client->missed++;
}

/* Answers with one line and closes when it is written. */
static void
answer(struct client *client, struct buf *line, bool close_after)
{
	buf_add_char(line, '\n');
	send_buf(client, line);
	client->is_closing = close_after;
	if (close_after)
		(void)bufferevent_disable(client->bev, EV_READ);
}

static struct json
begin_status(struct buf *line, bool ok)
{
	struct json json;

	buf_init(line);
	json = json_on(line);
	json_object(&json);
	json_key(&json, "schema_version");
	json_uint(&json, REPORT_SCHEMA_VERSION);
	json_key(&json, "kind");
	json_str(&json, "status");
	json_key(&json, "time");
	json_time(&json, clock_ns(CLOCK_REALTIME));
	json_key(&json, "ok");
	json_bool(&json, ok);
	return json;
}

static void
answer_error(struct client *client, const char *error, const struct diag *diag)
{
	struct buf line;
	struct json json = begin_status(&line, false);

	json_key(&json, "error");
	json_str(&json, error);
	if (diag != NULL) {
		json_key(&json, "mistakes");
		json_array(&json);
		for (size_t i = 0; i < diag->n_entries; i++) {
			const struct diag_entry *e = &diag->entries[i];
			struct buf text;

			if (e->level != DIAG_ERROR)
				continue;
			buf_init(&text);
			buf_addf(&text, "%s:%u:%u: %s", e->file, e->line, e->column, e->message);
			json_text(&json, text.data, text.len);
			buf_fini(&text);
		}
		json_array_end(&json);
	}
	json_object_end(&json);
	answer(client, &line, true);
	buf_fini(&line);
}

static void
add_memory(const struct server *server, struct json *json)
{
	struct memory_stats stats = memory_stats(server->memory);

	json_key(json, "memory");
	json_object(json);
	json_key(json, "entries");
	json_uint(json, stats.n_entries);
	json_key(json, "seen");
	json_uint(json, stats.n_seen);
	json_key(json, "waiting");
	json_uint(json, stats.n_waiting);
	json_key(json, "evicted");
	json_uint(json, stats.n_evicted);
	json_key(json, "alerts");
	json_uint(json, stats.n_fired);
	json_object_end(json);
}

static void
add_count(struct json *json, const struct rule_count *count)
{
	json_key(json, "hits");
	json_uint(json, count != NULL ? count->n : 0);
	json_key(json, "last");
	if (count != NULL && count->last_ns != 0)
		json_time(json, count->last_ns);
	else
		json_null(json);
}

static void
add_exceptions(const struct rule_set *rules, struct json *json)
{
	json_key(json, "exceptions");
	json_array(json);
	for (size_t i = 0; i < rules->n_rules; i++)
		for (size_t k = 0; k < rules->rules[i].n_exceptions; k++) {
			const struct rule_exception *exception = &rules->rules[i].exceptions[k];

			json_object(json);
			json_key(json, "rule");
			json_str(json, rules->rules[i].id);
			json_key(json, "when");
			json_str(json, exception->text);
			json_key(json, "owner");
			json_str(json, exception->owner);
			json_key(json, "expires");
			json_str(json, exception->expires[0] != 0 ? exception->expires : NULL);
			json_key(json, "expired");
			json_bool(json, exception->when == NULL);
			add_count(json, exception->count);
			json_key(json, "file");
			json_str(json, exception->file);
			json_key(json, "line");
			json_uint(json, exception->line);
			json_object_end(json);
		}
	json_array_end(json);
}

static void
add_sink(struct sink *sink, struct json *json)
{
	struct sink_state state;

	if (sink == NULL)
		return;
	state = sink_state(sink);
	json_object(json);
	json_key(json, "name");
	json_str(json, sink_name(sink));
	json_key(json, "failing");
	json_bool(json, state.is_failing);
	json_key(json, "queued");
	json_uint(json, state.n_queued);
	json_key(json, "spooled");
	json_uint(json, state.n_spooled);
	json_key(json, "spooled_bytes");
	json_uint(json, state.spooled_bytes);
	json_key(json, "lost");
	json_uint(json, state.n_lost);
	json_object_end(json);
}

static void
add_facts(struct server *server, struct json *json)
{
	const struct rule_set *rules = policy_rules(&server->policy, server->policy.generation);

	json_key(json, "version");
	json_str(json, PYAUDIT_VERSION);
	json_key(json, "pid");
	json_int(json, getpid());
	json_key(json, "uptime_s");
	json_uint(json, (clock_ns(CLOCK_MONOTONIC) - server->started_ns) / 1000000000u);
	json_key(json, "generation");
	json_uint(json, server->policy.generation);
	json_key(json, "rules");
	json_uint(json, rules->n_rules);
	json_key(json, "observe");
	json_bool(json, mode_observes(&server->policy.mode, conf_observes(server->conf)));
	json_key(json, "modes");
	mode_json(&server->policy.mode, json);
	json_key(json, "paused");
	pause_json(server, json);
	json_key(json, "agents");
	json_uint(json, server->n_attached);
	json_key(json, "events");
	json_uint(json, server->stats.n_events);
	json_key(json, "alerts");
	json_uint(json, server->stats.n_alerts);
	json_key(json, "denials");
	json_uint(json, server->stats.n_denials);
	json_key(json, "suppressed");
	json_uint(json, server->stats.n_suppressed);
	json_key(json, "limits_evicted");
	json_uint(json, limits_evicted(server->limits));
	json_key(json, "lost");
	json_uint(json, server->stats.n_lost);
	report_losses_json(server->stats.lost_by, json);
	add_memory(server, json);
	add_exceptions(rules, json);
	json_key(json, "sinks");
	json_array(json);
	add_sink(server->ndjson, json);
	add_sink(server->journal, json);
	json_array_end(json);
	json_key(json, "clients");
	json_uint(json, server->n_tails);
	json_key(json, "rules_files");
	json_array(json);
	for (size_t i = 0; i < rules->n_files; i++)
		json_str(json, rules->files[i]);
	json_array_end(json);
}

static void
answer_status(struct client *client)
{
	struct server *server = client->server;
	const struct session *session;
	struct buf line;
	struct json json = begin_status(&line, true);

	add_facts(server, &json);
	json_key(&json, "processes");
	json_array(&json);
	LIST_FOREACH(session, &server->sessions, link)
	if (session->state == SESSION_READY)
		session_json(session, &json);
	json_array_end(&json);
	json_object_end(&json);
	answer(client, &line, true);
	buf_fini(&line);
}

/* What rules and exceptions are good for. */
static void
answer_rules(struct client *client)
{
	const struct server *server = client->server;
	const struct rule_set *rules = policy_rules(&server->policy, server->policy.generation);
	struct buf line;
	struct json json = begin_status(&line, true);

	json_key(&json, "generation");
	json_uint(&json, server->policy.generation);
	json_key(&json, "since");
	json_time(&json, clock_ns(CLOCK_REALTIME) - (clock_ns(CLOCK_MONOTONIC) - server->started_ns));
	json_key(&json, "rules");
	json_array(&json);
	for (size_t i = 0; i < rules->n_rules; i++) {
		json_object(&json);
		json_key(&json, "id");
		json_str(&json, rules->rules[i].id);
		add_count(&json, rules->rules[i].count);
		json_object_end(&json);
	}
	json_array_end(&json);
	add_exceptions(rules, &json);
	json_object_end(&json);
	answer(client, &line, true);
	buf_fini(&line);
}

/* Live events */

static void
tell_missed(struct client *client)
{
	struct report report = {
		.kind = REPORT_LOSS,
		.seq = client->server->seq,
		.time_ns = clock_ns(CLOCK_REALTIME),
		.cause = REPORT_CAUSE_CLIENT,
		.lost = client->missed,
	};
	struct buf line;

	if (client->missed == 0)
		return;
	client->missed = 0;
	buf_init(&line);
	if (client->feed != NULL)
		capture_add_loss(&line, 0, report.cause, report.lost);
	else
		report_json(&report, &line);
	send_buf(client, &line);
	buf_fini(&line);
}

static bool
get_field(void *data, unsigned field, struct pyaudit_value *ret)
{
	struct asked *asked = data;

	return report_field(asked->report, field, ret, asked->values);
}

static bool
wanted(const struct client *client, const struct report *report)
{
	struct asked asked = {.report = report};

	/* What a capture says beside events is about the capture itself. */
	if (client->feed != NULL && report->kind != REPORT_EVENT && report->kind != REPORT_ALERT)
		return true;
	return client->filter == NULL || filter_match(client->filter, get_field, &asked);
}

/* What this client is sent of a report: a line, or blocks. */
static const struct buf *
line_for(struct client *client, const struct report *report, const uint8_t *record,
	 size_t record_size)
{
	struct server *server = client->server;

	if (client->feed == NULL)
		return server_line(server, report);
	feed_report(client->feed, &server->policy, report, record, record_size);
	return &client->feed->blocks;
}

void
control_publish(struct server *server, const struct report *report, uint64_t weight)
{
	struct client *client;

	LIST_FOREACH(client, &server->clients, link)
	{
		const struct buf *line;

		if (!client->is_tail || client->is_replaying ||
		    (report->is_held && client->feed == NULL) || !wanted(client, report))
			continue;
		line = line_for(client, report, server->record, server->record_size);
		if (line->len == 0 && !line->failed)
			continue;
		if (evbuffer_get_length(output_of(client)) + line->len >
		    server->conf->client_buffer) {
			client->missed += weight;
			continue;
		}
		tell_missed(client);
		send_buf(client, line);
		if (client->feed != NULL)
			feed_sent(client->feed);
	}
}

void
control_tell_clock(struct server *server, uint64_t now_ns, bool waiting)
{
	struct client *client;

	LIST_FOREACH(client, &server->clients, link)
	{
		if (!client->is_tail || client->feed == NULL || client->is_replaying)
			continue;
		feed_clock(client->feed, now_ns, waiting);
		if (evbuffer_get_length(output_of(client)) + client->feed->blocks.len <=
		    server->conf->client_buffer)
			send_buf(client, &client->feed->blocks);
	}
}

/* An entry of the memory as a line, if the client wants it. */
static void
replay_entry(struct client *client, const struct recent_entry *entry, const uint8_t *bytes)
{
	struct server *server = client->server;
	struct report report = {
		.seq = entry->seq,
		.time_ns = entry->time_ns,
		.process = entry->process,
		.kind = entry->kind,
		.event = entry->event,
	};
	struct memory_hits hits;
	struct buf line;

	if (entry->is_line && client->feed != NULL)
		return; /* losses and ends of processes from before it began */
	if (entry->is_line) {
		if (wanted(client, &report) &&
		    evbuffer_add(output_of(client), bytes, entry->size) < 0)
			client->missed += entry->weight;
		return;
	}
	if (pyaudit_record_decode(&server->decoded, bytes, entry->size) < 0)
		return;
	server->decoded.event.scratch = server->scratch;
	server->decoded.event.scratch_size = sizeof(server->scratch);
	report.decoded = &server->decoded;
	report.rules = policy_attribute(&server->policy, &server->decoded);
	/* What memories made of it stands behind it, as a line. */
	(void)memory_sort(&server->decoded, report.rules, &hits);
	if (!wanted(client, &report))
		return;
	if (client->feed != NULL) {
		send_buf(client, line_for(client, &report, bytes, entry->size));
		feed_sent(client->feed);
		return;
	}
	buf_init(&line);
	report_json(&report, &line);
	send_buf(client, &line);
	buf_fini(&line);
}

/* Goes on through the memory as far as the client's buffer allows; then it is live. */
static void
replay(struct client *client)
{
	struct server *server = client->server;
	const struct recent_entry *entry;
	const uint8_t *bytes;

	while (client->is_replaying &&
	       evbuffer_get_length(output_of(client)) < server->conf->client_buffer / 2) {
		entry = recent_next(&server->recent, &client->replay_at, &bytes);
		if (entry == NULL) {
			client->is_replaying = false;
			break;
		}
		/* What the memory dropped while the client read too slowly. */
		if (client->weight_seen != UINT64_MAX && entry->weight_before > client->weight_seen)
			client->missed += entry->weight_before - client->weight_seen;
		tell_missed(client);
		client->weight_seen = entry->weight_before + entry->weight;
		if (entry->time_ns >= client->since_ns)
			replay_entry(client, entry, bytes);
	}
}

static void
start_tail(struct client *client, struct request *request)
{
	struct server *server = client->server;
	struct buf line;
	struct json json;
	struct diag diag;
	int r = 0;

	diag_init(&diag);
	if (request->filter != NULL)
		r = rules_parse_filter(&client->filter, request->filter, &diag);
	if (r != 0) {
		answer_error(client,
			     r < 0 ? strerror(-r)
			     : diag.n_entries > 0 ? diag.entries[0].message
						  : "the filter has mistakes",
			     &diag);
		diag_fini(&diag);
		return;
	}
	diag_fini(&diag);
	if (request->kind == REQUEST_CAPTURE) {
		client->feed = feed_new(client->filter == NULL);
		if (client->feed == NULL) {
			answer_error(client, "out of memory", NULL);
			return;
		}
	}
	json = begin_status(&line, true);
	add_facts(server, &json);
	json_object_end(&json);
	answer(client, &line, false);
	buf_reset(&line);
	if (client->feed != NULL) {
		capture_add_head(&line, clock_ns(CLOCK_REALTIME), client->feed->is_whole);
		send_buf(client, &line);
	}
	buf_fini(&line);
	client->is_tail = true;
	server->n_tails++;
	if (request->has_since) {
		client->is_replaying = true;
		client->since_ns = request->since_ns;
		client->weight_seen = UINT64_MAX;
		replay(client);
	}
}

/* Requests */

/* Reads as much as the sinks have room for, and notes what they have to get past. */
static void
drain_some(struct client *client)
{
	struct server *server = client->server;

	client->is_partly = !server_drain(server);
	if (server->ndjson != NULL)
		client->marks[0] = sink_mark(server->ndjson);
	if (server->journal != NULL)
		client->marks[1] = sink_mark(server->journal);
}

static void
wait_for_sinks(struct client *client)
{
	struct server *server = client->server;
	struct timeval limit = {.tv_sec = CONTROL_DRAIN_MS / 1000};

	drain_some(client);
	client->is_waiting = true;
	(void)event_add(client->timeout, &limit);
	control_sinks_moved(server);
}

static void
finish_wait(struct client *client, bool in_time)
{
	client->is_waiting = false;
	if (in_time)
		answer_status(client);
	else
		answer_error(client, "a sink did not take everything in time", NULL);
	if (client->stops)
		server_stop(client->server);
}

/* Whether a sink has got past the mark and had no loss to tell. A loss it tells moves the mark. */
static bool
sink_is_done(struct server *server, struct sink *sink, uint64_t *mark)
{
	if (sink == NULL)
		return true;
	if (!sink_reached(sink, *mark))
		return false;
	if (!server_tell_sink_losses(server, sink))
		return true;
	*mark = sink_mark(sink);
	return false;
}

void
control_sinks_moved(struct server *server)
{
	struct client *client, *next;

	for (client = LIST_FIRST(&server->clients); client != NULL; client = next) {
		next = LIST_NEXT(client, link);
		if (!client->is_waiting ||
		    !sink_is_done(server, server->ndjson, &client->marks[0]) ||
		    !sink_is_done(server, server->journal, &client->marks[1]))
			continue;
		if (client->is_partly) {
			drain_some(client);
			/* Where nothing more came of it, no sink will tell that it moved. */
			if (client->is_partly ||
			    !sink_is_done(server, server->ndjson, &client->marks[0]) ||
			    !sink_is_done(server, server->journal, &client->marks[1]))
				continue;
		}
		finish_wait(client, true);
	}
}

static void
reload(struct client *client)
{
	struct server *server = client->server;
	struct diag diag;
	struct buf line;
	struct json json;
	int r;

	diag_init(&diag);
	r = server_reload(server, &diag);
	if (r == RULES_E_INVALID) {
		answer_error(client, "the settings or rules have mistakes, those in force stay", &diag);
	} else if (r < 0) {
		answer_error(client, strerror(-r), NULL);
	} else {
		json = begin_status(&line, true);
		json_key(&json, "generation");
		json_uint(&json, server->policy.generation);
		json_object_end(&json);
		answer(client, &line, true);
		buf_fini(&line);
	}
	diag_fini(&diag);
}

static void
answer_config(struct client *client)
{
	struct buf line;
	struct json json = begin_status(&line, true);

	json_key(&json, "settings");
	settings_json(client->server, &json);
	json_object_end(&json);
	answer(client, &line, true);
	buf_fini(&line);
}

static void
answer_metrics(struct client *client)
{
	struct buf line, text;
	struct json json = begin_status(&line, true);

	buf_init(&text);
	metrics_text(client->server, &text);
	json_key(&json, "type");
	json_str(&json, OPENMETRICS_TYPE);
	json_key(&json, "metrics");
	json_text(&json, text.data, text.len);
	json_object_end(&json);
	if (text.failed)
		answer_error(client, "out of memory", NULL);
	else
		answer(client, &line, true);
	buf_fini(&text);
	buf_fini(&line);
}

/* Who is at the other end, for the record. */
static void
pause_or_resume(struct client *client, const struct request *request)
{
	struct ucred peer = {.pid = 0, .uid = (uid_t)-1};
	socklen_t len = sizeof(peer);

	(void)getsockopt(bufferevent_getfd(client->bev), SOL_SOCKET, SO_PEERCRED, &peer, &len);
	if (request->kind == REQUEST_PAUSE)
		pause_begin(client->server, request->for_s, peer.uid, peer.pid);
	else if (!pause_resume(client->server, peer.uid, peer.pid)) {
		answer_error(client, "there is no pause", NULL);
		return;
	}
	answer_status(client);
}

static void
switch_mode(struct client *client, const struct request *request)
{
	struct ucred peer = {.pid = 0, .uid = (uid_t)-1};
	socklen_t len = sizeof(peer);
	char error[REQUEST_ERROR_MAX];
	struct diag diag;
	int r;

	(void)getsockopt(bufferevent_getfd(client->bev), SOL_SOCKET, SO_PEERCRED, &peer, &len);
	diag_init(&diag);
	error[0] = 0;
	r = mode_switch(client->server, request, peer.uid, peer.pid, error, &diag);
	if (r == RULES_E_INVALID)
		answer_error(client, "the rules have mistakes now, those in force stay as they are", &diag);
	else if (r < 0)
		answer_error(client, error[0] != 0 ? error : strerror(-r), NULL);
	else
		answer_status(client);
	diag_fini(&diag);
}

static void
refuse(struct client *client, enum rights needed)
{
	const struct server *server = client->server;
	char why[REQUEST_ERROR_MAX * 2];

	rights_explain(&server->groups, server->conf, needed, client->uid, why, sizeof(why));
	answer_error(client, why, NULL);
}

static void
take_request(struct client *client, const char *line, size_t len)
{
	char error[REQUEST_ERROR_MAX];
	struct request request;

	if (client->rights == RIGHTS_NONE) { /* what a stranger says is not even read */
		refuse(client, RIGHTS_TAIL);
		return;
	}
	if (request_parse(&request, line, len, error) < 0) {
		answer_error(client, error[0] != 0 ? error : "out of memory", NULL);
		return;
	}
	if (client->rights < rights_needed(request.kind)) {
		refuse(client, RIGHTS_CONTROL);
		request_fini(&request);
		return;
	}
	switch (request.kind) {
	case REQUEST_STATUS:
		answer_status(client);
		break;
	case REQUEST_RULES:
		answer_rules(client);
		break;
	case REQUEST_TAIL:
	case REQUEST_CAPTURE:
		start_tail(client, &request);
		break;
	case REQUEST_RELOAD:
		reload(client);
		break;
	case REQUEST_CONFIG:
		answer_config(client);
		break;
	case REQUEST_METRICS:
		answer_metrics(client);
		break;
	case REQUEST_PAUSE:
	case REQUEST_RESUME:
		pause_or_resume(client, &request);
		break;
	case REQUEST_MODE:
		switch_mode(client, &request);
		break;
	case REQUEST_STOP:
		client->stops = true;
		/* fall through */
	case REQUEST_DRAIN:
		wait_for_sinks(client);
		break;
	}
	request_fini(&request);
}

static void
on_read(struct bufferevent *bev, void *data)
{
	struct evbuffer *input = bufferevent_get_input(bev);
	struct client *client = data;
	size_t len;
	char *line;

	if (client->asked) { /* one request is what a connection has */
		(void)evbuffer_drain(input, evbuffer_get_length(input));
		return;
	}
	line = evbuffer_readln(input, &len, EVBUFFER_EOL_LF);
	if (line == NULL && evbuffer_get_length(input) < REQUEST_MAX)
		return;
	client->asked = true;
	(void)event_del(client->timeout);
	if (line == NULL)
		answer_error(client, "the request is too long", NULL);
	else
		take_request(client, line, len);
	free(line);
}

static void
on_write(struct bufferevent *bev, void *data)
{
	struct client *client = data;

	(void)bev;
	if (client->is_replaying)
		replay(client);
	if (evbuffer_get_length(output_of(client)) > 0)
		return;
	if (client->is_closing)
		client_free(client);
	else if (client->is_tail && !client->is_replaying)
		tell_missed(client);
}

static void
on_event(struct bufferevent *bev, short what, void *data)
{
	struct client *client = data;

	(void)bev;
	/* Half-closed behind its request: it may still read its one answer. */
	if ((what & BEV_EVENT_EOF) != 0 && (client->is_closing || client->is_waiting)) {
		(void)bufferevent_disable(client->bev, EV_READ);
		return;
	}
	client_free(client);
}

static void
on_timeout(evutil_socket_t fd, short what, void *data)
{
	struct client *client = data;

	(void)fd;
	(void)what;
	if (client->is_waiting)
		finish_wait(client, false);
	else
		client_free(client);
}

/* NULL, or why there is no room: a quarter of the clients is for those who may control. */
static const char *
no_room(const struct server *server, enum rights rights, uid_t uid)
{
	unsigned max = server->conf->max_clients, n = 0;
	const struct client *client;

	if (server->n_clients >= max || (rights < RIGHTS_CONTROL && server->n_clients >= max - max / 4))
		return "there are too many";
	if (rights == RIGHTS_NONE)
		return server->n_strangers >= CONTROL_STRANGERS_MAX ? "there are too many without rights" : NULL;
	if (rights == RIGHTS_CONTROL)
		return NULL;
	LIST_FOREACH(client, &server->clients, link)
	n += client->uid == uid;
	return n >= CONTROL_USER_MAX ? "there are too many of its user" : NULL;
}

void
control_accept(struct server *server, int fd)
{
	uid_t uid;
	enum rights rights = rights_of(&server->groups, fd, &uid);
	unsigned ms = rights == RIGHTS_NONE ? CONTROL_STRANGER_MS : CONTROL_REQUEST_MS;
	struct timeval limit = {.tv_sec = ms / 1000};
	struct client *client = calloc(1, sizeof(*client));
	const char *why = client == NULL ? "out of memory" : no_room(server, rights, uid);

	if (why != NULL) {
		log_warning(server->log, "control: a client of user %u is turned away: %s", (unsigned)uid, why);
		free(client);
		(void)close(fd);
		return;
	}
	client->server = server;
	client->rights = rights;
	client->uid = uid;
	client->bev = bufferevent_socket_new(server->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (client->bev == NULL) {
		free(client);
		(void)close(fd);
		return;
	}
	LIST_INSERT_HEAD(&server->clients, client, link);
	server->n_clients++;
	server->n_strangers += rights == RIGHTS_NONE;
	client->timeout = evtimer_new(server->base, on_timeout, client);
	if (client->timeout == NULL) {
		client_free(client);
		return;
	}
	(void)event_add(client->timeout, &limit);
	bufferevent_setcb(client->bev, on_read, on_write, on_event, client);
	/* No watermark: libevent 2.1 crashes where there is no memory for one. on_read keeps to REQUEST_MAX. */
	(void)bufferevent_enable(client->bev, EV_READ | EV_WRITE);
}

/* By hand, for the loop has ended. */
static void
write_out(struct client *client, uint64_t until_ns)
{
	int fd = bufferevent_getfd(client->bev);
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	(void)bufferevent_disable(client->bev, EV_READ | EV_WRITE);
	tell_missed(client);
	/* A bufferevent keeps the front of its output frozen: neither copied nor drained. */
	(void)evbuffer_unfreeze(output_of(client), 1);
	while (evbuffer_get_length(output_of(client)) > 0) {
		uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
		struct evbuffer *rest = output_of(client);
		char bytes[16384];
		ssize_t n;

		if (now_ns >= until_ns ||
		    poll(&p, 1, (int)((until_ns - now_ns) / 1000000u) + 1) <= 0)
			break;
		n = evbuffer_copyout(rest, bytes, sizeof(bytes));
		n = n > 0 ? write(fd, bytes, (size_t)n) : -1;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			break;
		if (n > 0)
			(void)evbuffer_drain(rest, (size_t)n);
	}
}

void
control_close_all(struct server *server)
{
	uint64_t until_ns = clock_ns(CLOCK_MONOTONIC) + (uint64_t)SERVER_CLIENT_FLUSH_MS * 1000000u;

	while (!LIST_EMPTY(&server->clients)) {
		struct client *client = LIST_FIRST(&server->clients);

		if (client->is_tail)
			replay(client);
		write_out(client, until_ns);
		client_free(client);
	}
}
