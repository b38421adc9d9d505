/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A socket that others connect to, in the runtime directory. The service manager hands it over
 * (pyauditd.socket, pyauditd-control.socket): then it outlives the daemon, and who connects while there is
 * none stands in its queue. Or the daemon makes it. Either way its path can be removed under it, and nobody
 * could connect any more: that is looked for, and the socket made anew.
 */
#ifndef DAEMON_LISTENER_H
#define DAEMON_LISTENER_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define LISTENER_BACKLOG 4096
#define LISTENER_PER_TURN 256 /* connections; then the loop looks at everything else */

struct server;
struct notify_fd;

struct listener {
	struct server *server;
	const char *name; /* in the runtime directory */
	int type;
	mode_t mode; /* of one that we make */
	void (*take)(struct server *server, int fd); /* a connection: takes over @fd */
	char *path;
	struct event *event; /* NULL: it does not listen */
	bool is_ours;	     /* made here: the path goes when the daemon ends */
};

/* Takes the socket out of @fds (its descriptor becomes -1), or makes one; what stands at its path then is of a
 * daemon that is gone, for we hold the lock. name, type, mode and take are set. 0 or a negative errno, after
 * saying why. */
int listener_open(struct listener *listener, struct server *server, struct notify_fd *fds, size_t n);
/* Accepts who waits. */
void listener_accept(struct listener *listener);
/* Once in a while: listens again where descriptors had run out, and anew where the path is gone. */
void listener_sweep(struct listener *listener);
void listener_close(struct listener *listener);

#endif
