/* SPDX-License-Identifier: Apache-2.0 */
#include "journal_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "pyaudit/le.h"

#define SEND_BUFFER (8 << 20)

void
journal_socket_close(struct journal_socket *socket)
{
	if (socket->fd >= 0)
		(void)close(socket->fd);
	socket->fd = -1;
}

static int
open_socket(struct journal_socket *journal)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	CLEANUP(closep) int fd = -1;
	int size = SEND_BUFFER;

	if (journal->fd >= 0)
		return 0;
	if (strlen(journal->path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	(void)strcpy(address.sun_path, journal->path);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	journal->fd = TAKE_FD(fd);
	return 0;
}

/* One packet, by itself or as a file; waits a little where there is no room. */
static int
send_packet(int fd, const struct msghdr *message)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	bool waited = false;

	for (;;) {
		if (sendmsg(fd, message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
			return 0;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN || waited)
			return -errno;
		waited = poll(&p, 1, JOURNAL_WAIT_MS) != 1;
		if (waited)
			return -EAGAIN;
	}
}

/* The entry as a file that nobody can change any more; or a negative errno. */
static int
make_file(const void *entry, size_t size)
{
	CLEANUP(closep) int fd = memfd_create("pyaudit-entry", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	const char *at = entry;

	if (fd < 0)
		return -errno;
	while (size > 0) {
		ssize_t n = write(fd, at, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ENOSPC;
		at += n;
		size -= (size_t)n;
	}
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static int
send_file(int socket, const void *entry, size_t size)
{
	CLEANUP(closep) int fd = make_file(entry, size);
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr message = {.msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};

	if (fd < 0)
		return fd;
	control.head.cmsg_level = SOL_SOCKET;
	control.head.cmsg_type = SCM_RIGHTS;
	control.head.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	return send_packet(socket, &message);
}

int
journal_socket_send(struct journal_socket *journal, const void *entry, size_t size)
{
	union {
		const void *in;
		void *out;
	} bytes = {.in = entry};
	struct iovec iov = {.iov_base = bytes.out, .iov_len = size};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	int r = open_socket(journal);

	if (r < 0)
		return r;
	r = send_packet(journal->fd, &message);
	if (r == -EMSGSIZE || r == -ENOBUFS)
		r = send_file(journal->fd, entry, size);
	/* It has gone; another one has the name by now, or soon. */
	if (r < 0 && r != -EAGAIN)
		journal_socket_close(journal);
	return r;
}

void
journal_socket_field(struct buf *entry, const char *field, size_t size)
{
	const char *equals = memchr(field, '=', size);
	size_t name_len = equals != NULL ? (size_t)(equals - field) : size;
	size_t len = equals != NULL ? size - name_len - 1 : 0;
	pyaudit_le64 head = pyaudit_le64_of(len);

	if (memchr(field, '\n', size) == NULL) {
		buf_add(entry, field, size);
	} else {
		buf_add(entry, field, name_len);
		buf_add_char(entry, '\n');
		buf_add(entry, &head, sizeof(head));
		buf_add(entry, field + name_len + 1, len);
	}
	buf_add_char(entry, '\n');
}
