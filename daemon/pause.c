/* SPDX-License-Identifier: Apache-2.0 */
#include "pause.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "pyaudit/ring.h"
#include "server.h"
#include "session.h"

#define SECOND_NS UINT64_C(1000000000)

void
pause_apply(const struct server *server, struct session *session)
{
	if (session->drain.ring != NULL)
		atomic_store(&session->drain.ring->paused, server->pause.word);
}

static unsigned
apply_to_all(struct server *server)
{
	struct session *session;
	unsigned n = 0;

	LIST_FOREACH(session, &server->sessions, link)
	{
		pause_apply(server, session);
		n += session->state == SESSION_READY && session->drain.ring != NULL;
	}
	return n;
}

static char *
path_of(const struct server *server)
{
	char *path;

	return asprintf(&path, "%s/" PAUSE_FILE, server->conf->dir) < 0 ? NULL : path;
}

/* By rename: half a line would be another time. */
static int
keep(const struct server *server)
{
	const struct pause *pause = &server->pause;
	CLEANUP(freep) char *path = path_of(server);
	CLEANUP(freep) char *temporary = NULL;
	CLEANUP(closep) int fd = -1;

	if (path == NULL || asprintf(&temporary, "%s.new", path) < 0) {
		temporary = NULL;
		return -ENOMEM;
	}
	if (pause->since_ns == 0)
		return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return -errno;
	if (dprintf(fd, "%" PRIu64 " %" PRIu64 " %u\n", pause->since_ns, pause->until_ns,
		    (unsigned)pause->uid) < 0 ||
	    rename(temporary, path) < 0)
		return -errno;
	return 0;
}

static void
keep_or_say(struct server *server)
{
	int r = keep(server);

	if (r < 0)
		log_error(server->log, "the next daemon will not know of the pause: %s", strerror(-r));
}

static void
forget(struct server *server)
{
	struct event *timer = server->pause.timer;

	(void)event_del(timer);
	server->pause = (struct pause){.timer = timer};
	(void)apply_to_all(server);
	keep_or_say(server);
}

static void
on_end(evutil_socket_t fd, short what, void *data)
{
	struct server *server = data;

	(void)fd;
	(void)what;
	forget(server);
	log_notice(server->log, "the pause is over: agents judge and record again");
	server_status(server, "daemon.resume", "the pause is over: agents judge and record again");
}

/* The word and the timer of what is left of it. */
static void
take_effect(struct server *server)
{
	struct pause *pause = &server->pause;
	uint64_t now_ns = clock_ns(CLOCK_REALTIME), left_ns;
	struct timeval left;

	pause->word = PYAUDIT_PAUSED;
	(void)event_del(pause->timer);
	if (pause->until_ns == 0)
		return;
	left_ns = pause->until_ns > now_ns ? pause->until_ns - now_ns : 0;
	pause->word = (uint32_t)((clock_ns(CLOCK_MONOTONIC) + left_ns + SECOND_NS - 1) / SECOND_NS);
	if (pause->word <= PYAUDIT_PAUSED)
		pause->word = PYAUDIT_PAUSED + 1;
	left = (struct timeval){.tv_sec = (time_t)(left_ns / SECOND_NS),
				.tv_usec = (suseconds_t)(left_ns % SECOND_NS / 1000)};
	(void)event_add(pause->timer, &left);
}

void
pause_begin(struct server *server, unsigned for_s, uid_t uid, pid_t pid)
{
	struct pause *pause = &server->pause;
	char span[64] = "until it is resumed";
	unsigned n;

	pause->since_ns = clock_ns(CLOCK_REALTIME);
	pause->until_ns = for_s != 0 ? pause->since_ns + for_s * SECOND_NS : 0;
	pause->uid = uid;
	take_effect(server);
	n = apply_to_all(server);
	keep_or_say(server);
	if (for_s != 0)
		(void)snprintf(span, sizeof(span), "for %u s", for_s);
	log_warning(server->log, "paused %s by user %u (process %d)", span, (unsigned)uid, (int)pid);
	server_status(server, "daemon.pause",
		      "paused %s by user %u (process %d): %u agents let everything pass, unrecorded",
		      span, (unsigned)uid, (int)pid, n);
}

bool
pause_resume(struct server *server, uid_t uid, pid_t pid)
{
	if (server->pause.since_ns == 0)
		return false;
	forget(server);
	log_notice(server->log, "resumed by user %u (process %d)", (unsigned)uid, (int)pid);
	server_status(server, "daemon.resume",
		      "resumed by user %u (process %d): agents judge and record again", (unsigned)uid,
		      (int)pid);
	return true;
}

int
pause_init(struct server *server)
{
	struct pause *pause = &server->pause;
	CLEANUP(freep) char *path = path_of(server);
	CLEANUP(fclosep) FILE *file = NULL;
	uint64_t since_ns, until_ns;
	unsigned uid;

	pause->timer = evtimer_new(server->base, on_end, server);
	if (pause->timer == NULL || path == NULL)
		return -ENOMEM;
	file = fopen(path, "re");
	if (file == NULL || fscanf(file, "%" SCNu64 " %" SCNu64 " %u", &since_ns, &until_ns, &uid) != 3)
		return 0;
	pause->since_ns = since_ns;
	pause->until_ns = until_ns;
	pause->uid = uid;
	take_effect(server);
	log_warning(server->log, "still paused, by user %u", uid);
	return 0;
}

void
pause_fini(struct server *server)
{
	if (server->pause.timer != NULL)
		event_free(server->pause.timer);
	server->pause.timer = NULL;
}

void
pause_json(const struct server *server, struct json *json)
{
	const struct pause *pause = &server->pause;

	if (pause->since_ns == 0) {
		json_null(json);
		return;
	}
	json_object(json);
	json_key(json, "since");
	json_time(json, pause->since_ns);
	json_key(json, "until");
	if (pause->until_ns != 0)
		json_time(json, pause->until_ns);
	else
		json_null(json);
	json_key(json, "uid");
	json_uint(json, pause->uid);
	json_object_end(json);
}
