/* SPDX-License-Identifier: Apache-2.0 */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "notify.h"
#include "session.h"

#define STORE_MAGIC 0x53445950u /* "PYDS" */
#define STORE_HEAD_MAX 4096
#define STORE_PREFIX "agent-"

/* The descriptors that stand under one name. */
struct found {
	uint64_t serial;
	struct session_kept kept;
};

static void
name_of(char name[64], uint64_t serial)
{
	(void)snprintf(name, 64, STORE_PREFIX "%llu", (unsigned long long)serial);
}

/* A memfd with what is known of the session, or -1. */
static int
write_state(const struct session *session)
{
	const struct process *process = session->process;
	struct store_state state = {
		.magic = STORE_MAGIC,
		.size = sizeof(state),
		.length = (uint32_t)process->n_hello,
		.flags = session->observes ? PYAUDIT_HELLO_OBSERVES : 0,
		.pid = (uint32_t)session->pid,
		.uid = session->uid,
		.gid = session->gid,
		.since_ns = session->since_ns,
	};
	int fd = memfd_create("pyaudit-session", MFD_CLOEXEC);

	if (fd < 0)
		return -1;
	if (process->n_hello <= STORE_HELLO_MAX &&
	    write(fd, &state, sizeof(state)) == (ssize_t)sizeof(state) &&
	    write(fd, process->hello, process->n_hello) == (ssize_t)process->n_hello)
		return fd;
	(void)close(fd);
	return -1;
}

void
store_put(struct session *session, int ring_fd)
{
	CLEANUP(closep) int state = -1;
	int fds[STORE_FDS_MAX];
	unsigned n = 0;
	char name[64];

	if (!notify_has_store() || session->server->options->parent_fd >= 0 ||
	    session->process->hello == NULL)
		return;
	store_drop(session);
	state = write_state(session);
	if (state < 0)
		return;
	fds[n++] = state;
	if (ring_fd >= 0)
		fds[n++] = ring_fd;
	if (session->pidfd >= 0)
		fds[n++] = session->pidfd;
	if (session->fd >= 0)
		fds[n++] = session->fd;
	session->stored = ++session->server->n_stored;
	name_of(name, session->stored);
	if (notify_store(name, fds, n) < 0)
		session->stored = 0;
}

void
store_drop(struct session *session)
{
	char name[64];

	if (session->stored == 0)
		return;
	name_of(name, session->stored);
	notify_unstore(name);
	session->stored = 0;
}

int
store_read(int fd, struct store_state *ret, uint8_t *hello)
{
	struct store_state state = {0};
	struct stat st;
	uint32_t head[2];

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    pread(fd, head, sizeof(head), 0) != sizeof(head) || head[0] != STORE_MAGIC ||
	    head[1] < offsetof(struct store_state, reserved) || head[1] > STORE_HEAD_MAX)
		return -EBADMSG;
	/* An older daemon's head is shorter: zeros stand for the rest. */
	if (pread(fd, &state, head[1] < sizeof(state) ? head[1] : sizeof(state), 0) < 0 ||
	    state.length > STORE_HELLO_MAX ||
	    pread(fd, hello, state.length, (off_t)head[1]) != (ssize_t)state.length)
		return -EBADMSG;
	*ret = state;
	return 0;
}

/* Puts a descriptor where it belongs, or closes it. */
static void
sort_in(struct session_kept *kept, int fd)
{
	struct store_state state;
	uint8_t hello[STORE_HELLO_MAX];
	int *place = &kept->pidfd;
	struct stat st;

	if (fstat(fd, &st) < 0)
		place = NULL;
	else if (S_ISSOCK(st.st_mode))
		place = &kept->socket;
	else if (store_read(fd, &state, hello) == 0)
		place = &kept->state;
	else if (S_ISREG(st.st_mode) && fcntl(fd, F_GET_SEALS) >= 0)
		place = &kept->ring;
	if (place == NULL || *place >= 0)
		(void)close(fd);
	else
		*place = fd;
}

static int
by_serial(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	return x->serial < y->serial ? -1 : x->serial > y->serial;
}

static bool
parse_name(const char *name, uint64_t *ret)
{
	size_t n = strlen(STORE_PREFIX);

	if (strncmp(name, STORE_PREFIX, n) != 0 || strlen(name + n) == 0 || strlen(name + n) > 19 ||
	    strspn(name + n, "0123456789") != strlen(name + n))
		return false;
	*ret = strtoull(name + n, NULL, 10);
	return *ret != 0;
}

unsigned
store_take(struct server *server, const struct notify_fd *fds, size_t n_fds)
{
	size_t n = 0;
	CLEANUP(freep) struct found *found = calloc(n_fds + 1, sizeof(*found));
	unsigned n_taken = 0;

	/* Each alone at first, then those of one name together. */
	for (size_t i = 0; i < n_fds; i++) {
		uint64_t serial = 0;

		if (fds[i].fd < 0)
			continue;
		if (found == NULL || !parse_name(fds[i].name, &serial)) {
			log_warning(server->log, "a descriptor named '%s' was handed to us: closed",
				    fds[i].name);
			(void)close(fds[i].fd);
			notify_unstore(fds[i].name);
			continue;
		}
		found[n++] = (struct found){serial, {.socket = fds[i].fd}};
	}
	if (n > 1)
		qsort(found, n, sizeof(*found), by_serial);
	for (size_t i = 0; i < n;) {
		struct found one = {found[i].serial, {-1, -1, -1, -1}};

		for (; i < n && found[i].serial == one.serial; i++)
			sort_in(&one.kept, found[i].kept.socket);
		if (one.serial > server->n_stored)
			server->n_stored = one.serial;
		n_taken += session_restore(server, one.serial, &one.kept);
	}
	return n_taken;
}
