/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Not by sd_notify, which waits where the manager's socket is full: what that does not take stands in a queue, in its
 * order, and is tried again by a timer.
 */
#include "notify.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

struct message {
	STAILQ_ENTRY(message) link;
	unsigned n_fds;
	int fds[NOTIFY_FDS_MAX]; /* its own */
	char text[];
};

STAILQ_HEAD(messages, message);

/* One service manager for the process. */
static struct {
	struct messages messages;
	unsigned n; /* of these */
	struct event *timer;
	int fd; /* -1: nobody is told anything */
	struct sockaddr_un address;
	socklen_t len;
} out = {.messages = STAILQ_HEAD_INITIALIZER(out.messages), .fd = -1};

static void
message_free(struct message *message)
{
	for (unsigned i = 0; i < message->n_fds; i++)
		(void)close(message->fds[i]);
	free(message);
}

/* 0 or a negative errno. */
static int
try_send(const char *text, const int *fds, unsigned n_fds)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(NOTIFY_FDS_MAX * sizeof(int))];
	} control = {0};
	union {
		const char *in;
		void *out;
	} bytes = {.in = text};
	struct iovec iov = {.iov_base = bytes.out, .iov_len = strlen(text)};
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_name = &out.address, .msg_namelen = out.len};

	if (n_fds > 0) {
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(&control.head), fds, n_fds * sizeof(int));
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
	}
	return sendmsg(out.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Anything else would be said of each try. */
static bool
is_full(int error)
{
	return error == -EAGAIN || error == -ENOBUFS || error == -ENOMEM || error == -ETOOMANYREFS ||
	       error == -EINTR;
}

/* True: all of it was sent. */
static bool
flush(void)
{
	struct message *message;

	while ((message = STAILQ_FIRST(&out.messages)) != NULL) {
		if (is_full(try_send(message->text, message->fds, message->n_fds)))
			return false;
		STAILQ_REMOVE_HEAD(&out.messages, link);
		out.n--;
		message_free(message);
	}
	return true;
}

static void
try_again_soon(void)
{
	struct timeval again = {.tv_usec = NOTIFY_AGAIN_MS * 1000};

	if (out.timer != NULL)
		(void)event_add(out.timer, &again);
}

static void
on_timer(evutil_socket_t fd, short what, void *data)
{
	(void)fd;
	(void)what;
	(void)data;
	if (!flush())
		try_again_soon();
}

static int
queue(const char *text, const int *fds, unsigned n_fds)
{
	size_t size = strlen(text) + 1;
	struct message *message = malloc(sizeof(*message) + size);

	if (message == NULL)
		return -ENOMEM;
	memcpy(message->text, text, size);
	for (message->n_fds = 0; message->n_fds < n_fds; message->n_fds++) {
		int *fd = &message->fds[message->n_fds];

		*fd = fcntl(fds[message->n_fds], F_DUPFD_CLOEXEC, 3);
		if (*fd < 0) {
			int r = -errno;

			message_free(message);
			return r;
		}
	}
	STAILQ_INSERT_TAIL(&out.messages, message, link);
	out.n++;
	try_again_soon();
	return 0;
}

static int
tell(const char *text, const int *fds, unsigned n_fds)
{
	int r = -EAGAIN;

	if (out.fd < 0)
		return -ENOTCONN;
	if (out.n == 0)
		r = try_send(text, fds, n_fds);
	return is_full(r) ? queue(text, fds, n_fds) : r;
}

int
notify_init(struct event_base *base)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t n = path != NULL ? strlen(path) : 0;

	if (n == 0 || n >= sizeof(out.address.sun_path) || (path[0] != '/' && path[0] != '@'))
		return 0;
	out.address.sun_family = AF_UNIX;
	memcpy(out.address.sun_path, path, n);
	if (path[0] == '@')
		out.address.sun_path[0] = '\0';
	out.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	out.timer = evtimer_new(base, on_timer, NULL);
	out.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return out.timer == NULL ? -ENOMEM : out.fd < 0 ? -errno : 0;
}

void
notify_fini(unsigned timeout_ms)
{
	uint64_t end_ns = clock_ns(CLOCK_MONOTONIC) + timeout_ms * UINT64_C(1000000);

	while (!flush() && clock_ns(CLOCK_MONOTONIC) < end_ns)
		(void)usleep(1000);
	while (!STAILQ_EMPTY(&out.messages)) {
		struct message *message = STAILQ_FIRST(&out.messages);

		STAILQ_REMOVE_HEAD(&out.messages, link);
		message_free(message);
	}
	out.n = 0;
	if (out.timer != NULL)
		event_free(out.timer);
	out.timer = NULL;
	if (out.fd >= 0)
		(void)close(out.fd);
	out.fd = -1;
}

void
notify_ready(const char *status)
{
	char text[256];

	(void)snprintf(text, sizeof(text), "READY=1\nSTATUS=%s", status);
	(void)tell(text, NULL, 0);
}

void
notify_reloading(void)
{
	char text[64];

	(void)snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
		       clock_ns(CLOCK_MONOTONIC) / 1000);
	(void)tell(text, NULL, 0);
}

void
notify_stopping(void)
{
	(void)tell("STOPPING=1", NULL, 0);
}

/* Where something waits already, the manager has not looked for as long: it need not be said twice. */
void
notify_watchdog(void)
{
	if (out.n == 0)
		(void)tell("WATCHDOG=1", NULL, 0);
}

uint64_t
notify_watchdog_us(void)
{
	uint64_t us = 0;

	return sd_watchdog_enabled(0, &us) > 0 ? us / 2 : 0;
}

bool
notify_has_store(void)
{
	return getenv("NOTIFY_SOCKET") != NULL;
}

int
notify_store(const char *name, const int *fds, unsigned n_fds)
{
	char text[NOTIFY_NAME_MAX + 64];

	if (out.n >= NOTIFY_WAITING_MAX)
		return -EAGAIN;
	(void)snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s\nFDPOLL=0", name);
	return tell(text, fds, n_fds);
}

void
notify_unstore(const char *name)
{
	char text[NOTIFY_NAME_MAX + 64];

	(void)snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	(void)tell(text, NULL, 0);
}

size_t
notify_stored(struct notify_fd **ret)
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(1, &names);
	struct notify_fd *fds;

	*ret = NULL;
	fds = n > 0 ? calloc((size_t)n, sizeof(*fds)) : NULL;
	for (int i = 0; fds != NULL && i < n; i++)
		fds[i] = (struct notify_fd){SD_LISTEN_FDS_START + i, names[i]};
	if (fds == NULL)
		for (int i = 0; i < n; i++)
			free(names[i]);
	free(names);
	*ret = fds;
	return fds != NULL ? (size_t)n : 0;
}

void
notify_stored_free(struct notify_fd *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(fds[i].name);
	free(fds);
}
