/* SPDX-License-Identifier: Apache-2.0 */
#include "listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "cleanup.h"
#include "notify.h"
#include "server.h"

static void
on_connection(evutil_socket_t fd, short what, void *data)
{
	(void)fd;
	(void)what;
	listener_accept(data);
}

static int
number_of(int fd, int option)
{
	socklen_t len = sizeof(int);
	int value = -1;

	return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 ? value : -1;
}

/* Told by what it is: other managers give it other names. */
static bool
is_this(const struct listener *listener, int fd)
{
	struct sockaddr_un address = {0};
	socklen_t len = sizeof(address);

	if (number_of(fd, SO_TYPE) != listener->type || number_of(fd, SO_ACCEPTCONN) != 1 ||
	    getsockname(fd, (struct sockaddr *)&address, &len) < 0 || address.sun_family != AF_UNIX)
		return false;
	return strnlen(address.sun_path, sizeof(address.sun_path)) == strlen(listener->path) &&
	       strncmp(address.sun_path, listener->path, sizeof(address.sun_path)) == 0;
}

static int
take_handed(const struct listener *listener, struct notify_fd *fds, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int fd = fds[i].fd;

		if (fd < 0 || !is_this(listener, fd))
			continue;
		fds[i].fd = -1;
		(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
		return fd;
	}
	return -1;
}

static int
make(const struct listener *listener, int *ret_fd)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	CLEANUP(closep) int fd = -1;
	mode_t mask;
	int r;

	if (strlen(listener->path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	(void)strcpy(address.sun_path, listener->path);
	fd = socket(AF_UNIX, listener->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	(void)unlink(listener->path);
	mask = umask(0777 & ~listener->mode);
	r = bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	(void)umask(mask);
	if (r == 0)
		*ret_fd = TAKE_FD(fd);
	return r;
}

/* @fd becomes the listener's, or is closed. One that was handed over listens already: with our queue, and in our
 * name, which those who connect can ask for. */
static int
listen_on(struct listener *listener, int fd)
{
	struct event *event = NULL;
	int r = listen(fd, LISTENER_BACKLOG) < 0 ? -errno : 0;

	if (r == 0) {
		event = event_new(listener->server->base, fd, EV_READ | EV_PERSIST, on_connection, listener);
		if (event == NULL || event_add(event, NULL) < 0)
			r = -ENOMEM;
	}
	if (r < 0) {
		if (event != NULL)
			event_free(event);
		(void)close(fd);
		return r;
	}
	listener->event = event;
	return 0;
}

static int
make_and_listen(struct listener *listener)
{
	int fd = -1, r = make(listener, &fd);

	if (r == 0)
		r = listen_on(listener, fd);
	if (r < 0)
		log_error(listener->server->log, "cannot listen at %s: %s", listener->path, strerror(-r));
	else
		listener->is_ours = true;
	return r;
}

int
listener_open(struct listener *listener, struct server *server, struct notify_fd *fds, size_t n)
{
	int fd, r;

	listener->server = server;
	if (asprintf(&listener->path, "%s/%s", server->conf->dir, listener->name) < 0) {
		listener->path = NULL;
		return -ENOMEM;
	}
	fd = take_handed(listener, fds, n);
	if (fd < 0)
		return make_and_listen(listener);
	r = listen_on(listener, fd);
	if (r < 0)
		log_error(server->log, "cannot listen on the socket that was handed to us, %s: %s",
			  listener->path, strerror(-r));
	else
		listener_sweep(listener);
	return r;
}

void
listener_accept(struct listener *listener)
{
	struct server *server = listener->server;

	for (unsigned i = 0; listener->event != NULL && i < LISTENER_PER_TURN; i++) {
		int peer = accept4(event_get_fd(listener->event), NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (peer < 0) {
			if (errno == EINTR || errno == ECONNABORTED)
				continue;
			if (errno == EAGAIN)
				return;
			/* Out of descriptors: trying on would be all we do. The sweep tries again. */
			log_error(server->log, "cannot accept: %s", strerror(errno));
			(void)event_del(listener->event);
			return;
		}
		listener->take(server, peer);
	}
}

static void
let_go(struct listener *listener)
{
	if (listener->event == NULL)
		return;
	(void)close(event_get_fd(listener->event));
	event_free(listener->event);
	listener->event = NULL;
}

void
listener_sweep(struct listener *listener)
{
	struct server *server = listener->server;
	struct stat st;

	if (listener->path == NULL)
		return;
	if (listener->event != NULL && (lstat(listener->path, &st) == 0 || errno != ENOENT)) {
		if (!event_pending(listener->event, EV_READ, NULL))
			(void)event_add(listener->event, NULL);
		return;
	}
	listener_accept(listener); /* who came before it was gone */
	let_go(listener);
	if (make_and_listen(listener) == 0)
		log_warning(server->log, "%s was gone, and is made anew", listener->path);
}

void
listener_close(struct listener *listener)
{
	if (listener->event != NULL && listener->is_ours)
		(void)unlink(listener->path);
	let_go(listener);
	free(listener->path);
	listener->path = NULL;
}
