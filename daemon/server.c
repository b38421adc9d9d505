/* SPDX-License-Identifier: Apache-2.0 */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "cleanup.h"
#include "context.h"
#include "control.h"
#include "deliver.h"
#include "notify.h"
#include "pyaudit/wire.h"
#include "session.h"
#include "store.h"
#include "settings.h"

static void
timer_in(struct event *timer, unsigned ms)
{
	struct timeval t = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};

	(void)event_add(timer, &t);
}

/* Reports */

const struct buf *
server_line(struct server *server, const struct report *report)
{
	if (!server->line_made) {
		buf_reset(&server->line);
		report_json(report, &server->line);
		server->line_made = true;
	}
	return &server->line;
}

static void
count_hits(const struct report *report)
{
	for (unsigned i = 0; i < report->decoded->n_hits; i++) {
		const struct rule *rule = report_rule_at(report, i);

		if (rule == NULL || rule->count == NULL)
			continue;
		rule->count->n++;
		rule->count->last_ns = report->time_ns;
	}
}

static void
count_report(struct server *server, const struct report *report)
{
	switch (report->kind) {
	case REPORT_ALERT:
		server->stats.n_alerts++;
		server->stats.n_denials += report->decoded->action >= PYAUDIT_ACTION_BLOCK;
		/* fall through */
	case REPORT_EVENT:
		server->stats.n_events++;
		count_hits(report);
		metrics_count(&server->metrics, report);
		break;
	case REPORT_LOSS:
		server->stats.n_lost += report->lost;
		server->stats.lost_by[report->cause] += report->lost;
		break;
	default:
		break;
	}
}

/* Of the time that an ending daemon gives its sinks. */
static unsigned
ms_left(const struct server *server)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);

	return now_ns < server->end_ns ? (unsigned)((server->end_ns - now_ns) / 1000000u) : 0;
}

static void
push_line(struct server *server, struct sink *sink, const struct report *report, uint64_t weight)
{
	const struct buf *line = server_line(server, report);

	if (server->is_ending)
		sink_await_room(sink, ms_left(server));
	(void)sink_push(sink, line->data, line->failed ? 0 : line->len, weight,
			report->kind != REPORT_EVENT);
}

/* In the middle of another report's delivery where its bucket had to make room. */
static void
tell_summary(void *data, const struct report_summary *summary)
{
	struct server *server = data;
	struct report report = {
		.kind = REPORT_SUMMARY,
		.time_ns = clock_ns(CLOCK_REALTIME),
		.process = summary->process,
		.summary = summary,
	};
	const uint8_t *record = server->record;
	size_t record_size = server->record_size;

	server_report(server, &report, NULL, 0);
	server->record = record;
	server->record_size = record_size;
}

void
server_flush_limits(struct server *server, const struct process *process)
{
	limits_flush(server->limits, process, tell_summary, server);
}

void
server_report(struct server *server, struct report *report, const uint8_t *record,
	      size_t record_size)
{
	uint64_t weight = report_weight(report);
	union {
		const struct process *in;
		struct process *out;
	} process = {.in = report->process};
	struct recent_entry entry = {
		.time_ns = report->time_ns,
		.process = process.out,
		.event = report->event,
		.kind = (uint8_t)report->kind,
		.is_line = record == NULL,
	};

	server->record = record;
	server->record_size = record_size;
	if (report->kind == REPORT_ALERT &&
	    !limits_take(server->limits, report, clock_ns(CLOCK_MONOTONIC), tell_summary, server)) {
		count_report(server, report);
		server->stats.n_suppressed++;
		report->is_held = true;
		report->seq = server->seq;
		server->line_made = false;
		if (server->n_tails > 0)
			control_publish(server, report, weight);
		return;
	}

	/* Every line has a number; what was lost before a loss line leaves a gap of that size. */
	server->seq += report->kind == REPORT_LOSS ? 1 + weight : 1;
	report->seq = server->seq;
	server->line_made = false;
	count_report(server, report);

	if (server->ndjson != NULL) {
		push_line(server, server->ndjson, report, weight);
		server->n_given.ndjson++;
	}
	if (server->journal != NULL &&
	    (report->kind == REPORT_ALERT || report->kind == REPORT_LOSS ||
	     report->kind == REPORT_STATUS || report->kind == REPORT_SUMMARY)) {
		context_tell(server, report);
		sink_journal_push(server->journal, report, weight);
		server->n_given.journal++;
	}
	if (server->n_tails > 0)
		control_publish(server, report, weight);

	entry.seq = report->seq;
	if (server->recent.size == 0)
		return;
	if (record != NULL) {
		recent_add(&server->recent, entry, weight, record, record_size);
	} else {
		const struct buf *line = server_line(server, report);

		recent_add(&server->recent, entry, weight, line->data, line->len);
	}
}

void
server_status(struct server *server, const char *event, const char *format, ...)
{
	char message[512];
	struct report report = {
		.kind = REPORT_STATUS,
		.time_ns = clock_ns(CLOCK_REALTIME),
		.event = event,
		.message = message,
		.generation = server->policy.generation,
	};
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(message, sizeof(message), format, ap);
	va_end(ap);
	server_report(server, &report, NULL, 0);
}

/* Tells a sink's own readers what it did not take: in one stream, events and losses add up.
 * True: there was something to tell. */
bool
server_tell_sink_losses(struct server *server, struct sink *sink)
{
	struct report report = {
		.kind = REPORT_LOSS,
		.time_ns = clock_ns(CLOCK_REALTIME),
		.cause = REPORT_CAUSE_SINK,
	};

	if (sink == NULL)
		return false;
	report.lost = sink_take_lost(sink);
	if (report.lost == 0)
		return false;
	report.sink = sink_name(sink);
	report.seq = ++server->seq;
	log_warning(server->log, "%s: %llu events did not reach it", report.sink,
		    (unsigned long long)report.lost);
	server->line_made = false;
	if (sink == server->journal)
		sink_journal_push(sink, &report, report.lost);
	else
		push_line(server, sink, &report, report.lost);
	sink_kick(sink);
	return true;
}

static void
kick_sinks(struct server *server)
{
	if (server->ndjson != NULL)
		sink_kick(server->ndjson);
	if (server->journal != NULL)
		sink_kick(server->journal);
}

/* Timers and descriptors */

static void
on_drain_timer(evutil_socket_t fd, short what, void *data)
{
	struct server *server = data;
	int wait_ms;

	(void)fd;
	(void)what;
	server->drained = true;
	server->polls_soon = false;
	wait_ms = accounts_turn(server);
	kick_sinks(server);
	if (wait_ms >= 0 && !server->polls_soon)
		timer_in(server->drain_timer, (unsigned)wait_ms);
}

void
server_poll_soon(struct server *server)
{
	if (!server->polls_soon)
		timer_in(server->drain_timer, 0);
	server->polls_soon = true;
}

static void
on_watchdog(evutil_socket_t fd, short what, void *data)
{
	struct server *server = data;

	(void)fd;
	(void)what;
	if (!server->swept || (!server->drained && !TAILQ_EMPTY(&server->accounts.turns)))
		return; /* the loop turns, and nothing is done in it */
	server->swept = server->drained = false;
	notify_watchdog();
}

static void
on_sinks(evutil_socket_t fd, short what, void *data)
{
	struct server *server = data;
	uint64_t count;

	(void)what;
	(void)!read(fd, &count, sizeof(count));
	sessions_written(server);
	control_sinks_moved(server);
}

static void
on_knock_timer(evutil_socket_t fd, short what, void *data)
{
	struct server *server = data;
	struct session *session;

	(void)fd;
	(void)what;
	server->knocked_ns = clock_ns(CLOCK_MONOTONIC);
	LIST_FOREACH(session, &server->sessions, link)
		session_look(session);
}

void
server_knocked(struct server *server)
{
	uint64_t since_ns = clock_ns(CLOCK_MONOTONIC) - server->knocked_ns;

	if (!event_pending(server->knock_timer, EV_TIMEOUT, NULL))
		timer_in(server->knock_timer,
			 since_ns < SERVER_KNOCK_MS * 1000000u ? SERVER_KNOCK_MS : 0);
}

/* A sleeping ring costs a microsecond, most of it memory that is not near. */
static void
sweep_some(struct server *server, uint64_t now_ns)
{
	if (server->sweep_at == NULL)
		server->sweep_at = LIST_FIRST(&server->sessions);
	for (unsigned n = 0; n < SERVER_SWEEP_MAX && server->sweep_at != NULL; n++) {
		struct session *session = server->sweep_at;

		server->sweep_at = LIST_NEXT(session, link);
		session_sweep(session, now_ns);
	}
}

static void
on_sweep_timer(evutil_socket_t fd, short what, void *data)
{
	struct server *server = data;
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);

	(void)fd;
	(void)what;
	sweep_some(server, now_ns);
	listener_sweep(&server->agents);
	listener_sweep(&server->control);
	deliver_sweep(server, now_ns);
	policy_prune(&server->policy);
	limits_sweep(server->limits, now_ns, tell_summary, server);
	(void)server_tell_sink_losses(server, server->ndjson);
	(void)server_tell_sink_losses(server, server->journal);
	kick_sinks(server);
	control_sinks_moved(server); /* what waits for a ring that no sink waits for */
	server_check_private(server);
	server->swept = true;
}

static void
log_mistakes(struct server *server, const struct diag *diag)
{
	for (size_t i = 0; i < diag->n_entries; i++) {
		const struct diag_entry *e = &diag->entries[i];

		/* Each is worth its line: not rate-limited as one site. */
		if (e->level == DIAG_ERROR && i < LOG_BURST)
			log_error(server->log, "%s:%u:%u: %s", e->file, e->line, e->column,
				  e->message);
	}
}

void
server_offer_policy(struct server *server)
{
	struct session *session, *next;

	for (session = LIST_FIRST(&server->sessions); session != NULL; session = next) {
		next = LIST_NEXT(session, link); /* one that says nothing is closed */
		session_sweep(session, clock_ns(CLOCK_MONOTONIC));
	}
}

int
server_reload(struct server *server, struct diag *diag)
{
	int r;

	notify_reloading();
	users_load(&server->users, "/etc/passwd");
	r = settings_reload(server, diag);
	if (r == 0) {
		rights_load(&server->groups, server->conf, "/etc/group", server->log);
		server_offer_policy(server);
		log_notice(server->log, "rules reloaded: generation %llu",
			   (unsigned long long)server->policy.generation);
		server_status(server, "daemon.reload", "rules reloaded");
	} else {
		log_mistakes(server, diag);
		log_error(server->log, "nothing reloaded, settings and rules in force stay: %zu mistakes",
			  diag->n_errors);
		server_status(server, "daemon.reload-failed",
			      "nothing reloaded, settings and rules in force stay: %zu mistakes",
			      diag->n_errors);
	}
	kick_sinks(server);
	notify_ready(r == 0 ? "rules reloaded" : "nothing reloaded: see the log");
	return r;
}

static void
on_signal(evutil_socket_t number, short what, void *data)
{
	struct server *server = data;
	struct diag diag;

	(void)what;
	if (number != SIGHUP) {
		server_stop(server);
		return;
	}
	diag_init(&diag);
	(void)server_reload(server, &diag);
	diag_fini(&diag);
}

void
server_stop(struct server *server)
{
	server->stopping = true;
	(void)event_base_loopbreak(server->base);
}

void
server_check_private(struct server *server)
{
	if (!server->parent_gone || server->n_sessions > 0)
		return;
	server_stop(server);
}

static void
on_parent(evutil_socket_t fd, short what, void *data)
{
	struct server *server = data;
	char bytes[64];
	ssize_t n = read(fd, bytes, sizeof(bytes));

	(void)what;
	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return;
	(void)event_del(server->parent_event);
	server->parent_gone = true;
	/* What connected before it went is there to be accepted. */
	(void)server_drain(server);
	server_check_private(server);
}

bool
server_drain(struct server *server)
{
	struct session *session, *next;
	bool all = true;

	listener_accept(&server->agents);
	for (session = LIST_FIRST(&server->sessions); session != NULL; session = next) {
		next = LIST_NEXT(session, link);
		all = session_drain(session) && all;
	}
	server_flush_limits(server, NULL);
	kick_sinks(server);
	return all;
}

/* Start */

static int
lock_dir(struct server *server, const char *dir)
{
	CLEANUP(freep) char *path = NULL;
	CLEANUP(closep) int fd = -1;
	char text[32];

	if (mkdir(dir, 0755) < 0 && errno != EEXIST) {
		log_error(server->log, "cannot make %s: %s", dir, strerror(errno));
		return -errno;
	}
	if (asprintf(&path, "%s/%s", dir, SERVER_LOCK_FILE) < 0)
		return -ENOMEM;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0) {
		log_error(server->log, "cannot open %s: %s", path, strerror(errno));
		return -errno;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		ssize_t n = read(fd, text, sizeof(text) - 1);

		text[n > 0 ? n : 0] = 0;
		text[strcspn(text, "\n")] = 0;
		log_error(server->log, "another pyauditd (process %s) serves %s already",
			  text[0] != 0 ? text : "unknown", dir);
		return -EBUSY;
	}
	(void)snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) < 0 || write(fd, text, strlen(text)) < 0)
		log_warning(server->log, "cannot write %s: %s", path, strerror(errno));
	server->lock_fd = TAKE_FD(fd);
	return 0;
}

static int
open_sinks(struct server *server)
{
	const struct conf *conf = server->conf;
	CLEANUP(freep) char *spool = conf->spool > 0 ? deliver_path(server, SINK_SPOOL_DIR) : NULL;
	struct sink_options options = {.queue_size = conf->sink_queue,
				       .spool_dir = spool,
				       .spool_size = conf->spool,
				       .log = server->log};
	int r;

	server->sink_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (server->sink_fd < 0)
		return -errno;
	options.notify_fd = server->sink_fd;
	if (conf->ndjson != NULL) {
		r = sink_ndjson_new(&server->ndjson, conf->ndjson, &options);
		if (r < 0) {
			log_error(server->log, "cannot open %s: %s", conf->ndjson, strerror(-r));
			return r;
		}
	}
	if (!conf->journal)
		return 0;
	r = sink_journal_new(&server->journal, &options);
	if (r < 0) /* said once: it is no mistake where there is no journal */
		log_notice(server->log, "no journal: %s",
			   r == -EOPNOTSUPP ? "built without it" : strerror(-r));
	return 0;
}

static const int signal_numbers[] = {SIGHUP, SIGTERM, SIGINT};

/* What asks a daemon that ends already to end must not cut short what it still writes: without this the
 * signal's own effect is back as soon as its event is freed. */
static void
refuse_signals(void)
{
	sigset_t set;

	(void)sigemptyset(&set);
	for (size_t i = 0; i < sizeof(signal_numbers) / sizeof(signal_numbers[0]); i++)
		(void)sigaddset(&set, signal_numbers[i]);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static int
make_events(struct server *server, const struct server_options *options)
{
	uint64_t watchdog_us = notify_watchdog_us();
	struct timeval sweep = {.tv_sec = SERVER_SWEEP_MS / 1000,
				.tv_usec = SERVER_SWEEP_MS % 1000 * 1000};
	struct timeval watchdog = {.tv_sec = (time_t)(watchdog_us / 1000000),
				   .tv_usec = (suseconds_t)(watchdog_us % 1000000)};

	server->drain_timer = evtimer_new(server->base, on_drain_timer, server);
	server->knock_timer = evtimer_new(server->base, on_knock_timer, server);
	server->sweep_timer = event_new(server->base, -1, EV_PERSIST, on_sweep_timer, server);
	server->watchdog_timer = event_new(server->base, -1, EV_PERSIST, on_watchdog, server);
	server->sink_event = event_new(server->base, server->sink_fd, EV_READ | EV_PERSIST,
				       on_sinks, server);
	if (server->drain_timer == NULL || server->sweep_timer == NULL || server->knock_timer == NULL ||
	    server->watchdog_timer == NULL || server->sink_event == NULL)
		return -ENOMEM;
	(void)event_add(server->sweep_timer, &sweep);
	(void)event_add(server->sink_event, NULL);
	if (watchdog_us > 0)
		(void)event_add(server->watchdog_timer, &watchdog);
	for (size_t i = 0; i < sizeof(signal_numbers) / sizeof(signal_numbers[0]); i++) {
		server->signals[i] = evsignal_new(server->base, signal_numbers[i], on_signal, server);
		if (server->signals[i] == NULL || event_add(server->signals[i], NULL) < 0)
			return -ENOMEM;
	}
	if (options->parent_fd >= 0) {
		(void)fcntl(options->parent_fd, F_SETFL, O_NONBLOCK);
		(void)fcntl(options->parent_fd, F_SETFD, FD_CLOEXEC);
		server->parent_event = event_new(server->base, options->parent_fd,
						 EV_READ | EV_PERSIST, on_parent, server);
		if (server->parent_event == NULL || event_add(server->parent_event, NULL) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int
first_policy(struct server *server)
{
	struct diag diag;
	int r;

	diag_init(&diag);
	r = policy_load(&server->policy, server->conf, &diag, server->log);
	diag_print(&diag, stderr);
	diag_fini(&diag);
	return r;
}

static void
say_ready(struct server *server, int ready_fd)
{
	if (ready_fd >= 0) {
		if (write(ready_fd, "READY\n", 6) != 6)
			log_warning(server->log, "cannot say ready: %s", strerror(errno));
		(void)close(ready_fd);
	}
	log_info(server->log, "ready at %s: generation %llu", server->conf->dir,
		 (unsigned long long)server->policy.generation);
	server_status(server, "daemon.start", "pyauditd started");
	kick_sinks(server);
	notify_ready("watching");
}

/* Sockets, and the sessions of the daemon before: what the service manager handed over is both. */
static int
open_listeners(struct server *server)
{
	struct notify_fd *fds = NULL;
	size_t n_fds = notify_stored(&fds);
	unsigned n = 0;
	int r;

	server->control = (struct listener){
		.name = PYAUDIT_CONTROL_SOCKET, .type = SOCK_STREAM, .mode = 0666, .take = control_accept};
	server->agents = (struct listener){
		.name = PYAUDIT_AGENT_SOCKET, .type = SOCK_SEQPACKET, .mode = 0666, .take = session_accept};
	r = listener_open(&server->control, server, fds, n_fds);
	if (r == 0)
		r = listener_open(&server->agents, server, fds, n_fds);
	if (r == 0)
		n = store_take(server, fds, n_fds);
	if (n > 0)
		log_notice(server->log, "%u sessions of the daemon before go on", n);
	notify_stored_free(fds, n_fds);
	server->is_up = r == 0;
	return r;
}

static void
forget_rules(void *data, const struct rule_set *rules)
{
	struct server *server = data;

	memory_forget_rules(server->memory, rules);
}

int
server_init(struct server *server, struct conf *conf, struct log *log,
	    const struct server_options *options)
{
	int r;

	*server = (struct server){
		.conf = conf,
		.options = options,
		.log = log,
		.lock_fd = -1,
		.sink_fd = -1,
		.started_ns = clock_ns(CLOCK_MONOTONIC),
	};
	policy_init(&server->policy);
	server->policy.forget = forget_rules;
	server->policy.data = server;
	LIST_INIT(&server->sessions);
	LIST_INIT(&server->waited);
	LIST_INIT(&server->clients);
	server->base = event_base_new();
	if (server->base == NULL)
		return -ENOMEM;
	r = notify_init(server->base);
	if (r == 0)
		r = lock_dir(server, conf->dir);
	if (r < 0)
		return r;
	r = peers_init(&server->peers);
	if (r == 0)
		r = accounts_init(&server->accounts);
	if (r < 0)
		return r;
	users_load(&server->users, "/etc/passwd");
	rights_load(&server->groups, conf, "/etc/group", log);
	server->limits = limits_new();
	if (server->limits == NULL)
		return -ENOMEM;
	r = deliver_init(server);
	if (r < 0)
		return r;
	r = recent_init(&server->recent, conf->memory);
	if (r == 0)
		r = first_policy(server);
	if (r == 0)
		r = open_sinks(server);
	if (r == 0)
		r = context_init(server);
	if (r == 0)
		r = make_events(server, options);
	if (r == 0)
		r = metrics_init(server);
	if (r == 0)
		r = pause_init(server);
	if (r == 0 && options->parent_fd < 0)
		server->unwatched = unwatched_new(server);
	if (r == 0)
		r = open_listeners(server);
	if (r == 0)
		say_ready(server, options->ready_fd);
	return r;
}

int
server_run(struct server *server)
{
	while (!server->stopping)
		if (event_base_dispatch(server->base) < 0)
			return SERVER_EXIT_FAILED;
	return server->exit_code;
}

static void
free_event(struct event *event)
{
	if (event != NULL)
		event_free(event);
}

static void
end_sink(struct server *server, struct sink *sink)
{
	if (sink == NULL)
		return;
	sink_await_room(sink, ms_left(server));
	(void)server_tell_sink_losses(server, sink);
	sink_free(sink, ms_left(server));
}

/* So that the rings can be left with nothing in them that was read: the next daemon would tell it
 * again. */
static void
await_sink(struct server *server, struct sink *sink)
{
	uint64_t mark;

	if (sink == NULL)
		return;
	mark = sink_mark(sink);
	sink_kick(sink);
	while (!sink_is_safe(sink, mark) && ms_left(server) > 0)
		(void)usleep(1000);
}

/* Whoever started a private daemon and made its directory is gone, and so is every agent: nobody
 * else will clear it away. */
static void
remove_private_dir(const char *dir)
{
	static const char *const names[] = {PYAUDIT_POLICY_FILE, EARLIER_FILE, SERVER_LOCK_FILE, PAUSE_FILE};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		CLEANUP(freep) char *path = NULL;

		if (asprintf(&path, "%s/%s", dir, names[i]) < 0) {
			path = NULL;
			return;
		}
		(void)unlink(path);
	}
	(void)rmdir(dir);
}

void
server_fini(struct server *server)
{
	struct session *session, *next;

	refuse_signals();
	server->is_ending = true;
	server->end_ns = clock_ns(CLOCK_MONOTONIC) + (uint64_t)SERVER_FLUSH_MS * 1000000u;
	if (server->is_up) {
		notify_stopping();
		(void)server_drain(server);
		server_status(server, "daemon.stop", "pyauditd stopped");
	}
	listener_close(&server->agents);
	listener_close(&server->control);
	await_sink(server, server->ndjson);
	await_sink(server, server->journal);
	for (session = LIST_FIRST(&server->sessions); session != NULL; session = next) {
		next = LIST_NEXT(session, link);
		session_leave(session);
		session_free(session);
	}
	peers_fini(&server->peers);
	accounts_fini(&server->accounts);
	control_close_all(server);
	end_sink(server, server->ndjson);
	end_sink(server, server->journal);
	context_fini(server, ms_left(server));
	metrics_fini(server);
	recent_fini(&server->recent);
	users_fini(&server->users);
	deliver_fini(server);
	limits_free(server->limits);
	policy_fini(&server->policy);
	buf_fini(&server->line);
	unwatched_free(server->unwatched);
	pause_fini(server);
	free_event(server->drain_timer);
	free_event(server->sweep_timer);
	free_event(server->knock_timer);
	free_event(server->watchdog_timer);
	free_event(server->sink_event);
	free_event(server->parent_event);
	for (size_t i = 0; i < sizeof(server->signals) / sizeof(server->signals[0]); i++)
		free_event(server->signals[i]);
	if (server->sink_fd >= 0)
		(void)close(server->sink_fd);
	notify_fini(SERVER_NOTIFY_MS);
	if (server->base != NULL)
		event_base_free(server->base);
	if (server->parent_gone)
		remove_private_dir(server->conf->dir);
	if (server->lock_fd >= 0)
		(void)close(server->lock_fd);
}
