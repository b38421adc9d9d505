/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of the control socket. The socket does not block; every wait has a deadline, so that
 * a stuck daemon costs a message and not a hung terminal.
 */
#include <assert.h>
#include <cjson/cJSON.h>
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "client.h"
#include "ctl.h"
#include "pyaudit/wire.h"
#include "writer.h"

#define READ_SIZE 65536

static int64_t
now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* 0, or -EAGAIN when @deadline (0: none) passes first. */
static int
wait_for(int fd, short events, int64_t deadline)
{
	struct pollfd poll_fd = {.fd = fd, .events = events};

	for (;;) {
		int64_t left = deadline == 0 ? -1 : deadline - now_ms();
		int r;

		if (deadline != 0 && left < 0)
			left = 0;
		r = poll(&poll_fd, 1, left > INT_MAX ? INT_MAX : (int)left);
		if (r > 0)
			return 0;
		if (r == 0 && left >= 0)
			return -EAGAIN;
		if (r < 0 && errno != EINTR)
			return -errno;
	}
}

const char *
client_directory(const char *dir)
{
	if (dir == NULL)
		dir = getenv(PYAUDIT_ENV_DIR);
	return dir == NULL || dir[0] == '\0' ? PYAUDIT_DIR_DEFAULT : dir;
}

int
client_open(struct client *client, const char *dir)
{
	CLEANUP(closep) int fd = -1;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int n = snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", dir,
			 PYAUDIT_CONTROL_SOCKET);
	int64_t deadline = now_ms() + CLIENT_TIMEOUT_MS;

	if (n < 0 || (size_t)n >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	while (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		if (now_ms() > deadline) /* its queue stays full: it is not accepting */
			return -ETIMEDOUT;
		(void)poll(NULL, 0, 10);
	}
	*client = (struct client){.fd = TAKE_FD(fd)};
	return 0;
}

void
client_close(struct client *client)
{
	if (client->fd >= 0)
		(void)close(client->fd);
	free(client->buffer);
	*client = (struct client)CLIENT_INIT;
}

/* Room for READ_SIZE more bytes and a NUL. */
static int
make_room(struct client *client)
{
	size_t used = client->end - client->start;
	size_t size = client->size;
	char *buffer;

	if (client->size - client->end > READ_SIZE)
		return 0;
	if (client->start > 0) {
		memmove(client->buffer, client->buffer + client->start, used);
		client->start = 0;
		client->end = used;
		if (client->size - client->end > READ_SIZE)
			return 0;
	}
	if (used > CLIENT_LINE_MAX)
		return -EMSGSIZE;
	size = size == 0 ? 4 * READ_SIZE : size * 2;
	buffer = realloc(client->buffer, size);
	if (buffer == NULL)
		return -ENOMEM;
	client->buffer = buffer;
	client->size = size;
	return 0;
}

/* 1, 0 for "not whole yet". */
static int
take_line(struct client *client, char **ret_line, size_t *ret_len)
{
	char *line = client->buffer + client->start;
	size_t available = client->end - client->start;
	char *end;

	if (available == client->scanned)
		return 0;
	end = memchr(line + client->scanned, '\n', available - client->scanned);
	if (end == NULL) {
		client->scanned = available;
		return 0;
	}
	*end = '\0';
	client->start += (size_t)(end - line) + 1;
	client->scanned = 0;
	*ret_line = line;
	*ret_len = (size_t)(end - line);
	return 1;
}

int
client_line(struct client *client, char **ret_line, size_t *ret_len, int timeout_ms)
{
	int64_t deadline = timeout_ms < 0 ? 0 : now_ms() + timeout_ms;

	for (;;) {
		ssize_t n;
		int r;

		if (take_line(client, ret_line, ret_len))
			return 1;
		r = make_room(client);
		if (r < 0)
			return r;
		n = recv(client->fd, client->buffer + client->end, READ_SIZE, 0);
		if (n > 0) {
			client->end += (size_t)n;
			continue;
		}
		if (n == 0)
			return 0; /* a line without an end was cut off: not a line */
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		if (timeout_ms == 0)
			return -EAGAIN;
		r = wait_for(client->fd, POLLIN, deadline);
		if (r < 0)
			return r;
	}
}

int
client_bytes(struct client *client, const uint8_t **ret_bytes, size_t *ret_len)
{
	int r = make_room(client);
	ssize_t n = -1;

	if (r == 0) {
		n = recv(client->fd, client->buffer + client->end, READ_SIZE, 0);
		r = n > 0 ? 1 : n == 0 ? 0 : errno == EINTR ? -EAGAIN : -errno;
	}
	if (n > 0)
		client->end += (size_t)n;
	*ret_bytes = (const uint8_t *)client->buffer + client->start;
	*ret_len = client->end - client->start;
	return r;
}

void
client_use(struct client *client, size_t n)
{
	client->start += n;
}

static int
send_all(struct client *client, const char *text, size_t len)
{
	int64_t deadline = now_ms() + CLIENT_TIMEOUT_MS;

	while (len > 0) {
		ssize_t n = send(client->fd, text, len, MSG_NOSIGNAL);
		int r;

		if (n >= 0) {
			text += n;
			len -= (size_t)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		r = wait_for(client->fd, POLLOUT, deadline);
		if (r < 0)
			return r == -EAGAIN ? -ETIMEDOUT : r;
	}
	return 0;
}

int
client_send(struct client *client, const cJSON *request)
{
	CLEANUP(freep) char *text = cJSON_PrintUnformatted(request);
	size_t len;

	if (text == NULL)
		return -ENOMEM;
	len = strlen(text);
	text[len] = '\n'; /* in the place of the NUL */
	return send_all(client, text, len + 1);
}

int
client_answer(struct client *client, int timeout_ms, cJSON **ret_answer, char **ret_line)
{
	CLEANUP(json_freep) cJSON *answer = NULL;
	size_t len;
	char *line;
	int r = client_line(client, &line, &len, timeout_ms);

	if (r < 0)
		return r;
	if (r == 0)
		return -ECONNRESET;
	answer = cJSON_Parse(line);
	if (!cJSON_IsBool(cJSON_GetObjectItemCaseSensitive(answer, "ok")))
		return -EBADMSG;
	if (ret_line != NULL)
		*ret_line = line;
	*ret_answer = TAKE_PTR(answer);
	return 0;
}

int
client_request(struct client *client, const cJSON *request, cJSON **ret_answer, char **ret_line)
{
	int r = client_send(client, request);

	if (r == 0)
		r = client_answer(client, CLIENT_TIMEOUT_MS, ret_answer, ret_line);
	return r == -EAGAIN ? -ETIMEDOUT : r;
}

int
client_ask(struct client *client, const char *name, cJSON **ret_answer, char **ret_line)
{
	CLEANUP(json_freep) cJSON *request = cJSON_CreateObject();

	if (cJSON_AddStringToObject(request, "request", name) == NULL)
		return -ENOMEM;
	return client_request(client, request, ret_answer, ret_line);
}

bool
client_accepted(const cJSON *answer)
{
	const cJSON *mistakes = cJSON_GetObjectItemCaseSensitive(answer, "mistakes");
	const char *error =
		cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(answer, "error"));
	bool said = false; /* the error repeats a mistake */
	const cJSON *mistake;

	if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(answer, "ok")))
		return true;
	cJSON_ArrayForEach(mistake, mistakes) {
		const char *text = cJSON_GetStringValue(mistake);

		if (text == NULL)
			continue;
		text_print(stderr, "", text);
		said = said || (error != NULL && strstr(text, error) != NULL);
	}
	if (!said)
		text_print(stderr, "pyauditctl: the daemon says: ", error != NULL ? error : "no");
	return false;
}

/* Why this user may not connect, and what would help. */
static void
explain_permission(const char *path)
{
	struct stat st;
	const struct group *group;

	if (stat(path, &st) != 0) {
		ctl_error("may not look into the directory of %s (try sudo)", path);
		return;
	}
	group = getgrgid(st.st_gid);
	if (group != NULL && st.st_gid != 0 && (st.st_mode & S_IWGRP) != 0)
		ctl_error("may not use %s: join the group '%s' or use sudo", path,
			  group->gr_name);
	else
		ctl_error("may not use %s (try sudo)", path);
}

void
client_explain(const char *dir, int error)
{
	bool standard = strcmp(dir, PYAUDIT_DIR_DEFAULT) == 0;
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, PYAUDIT_CONTROL_SOCKET);
	switch (error) {
	case -ENOENT:
	case -ENOTDIR:
	case -ECONNREFUSED:
		ctl_error("no daemon at %s: is pyauditd running?%s", path,
			  standard ? " (systemctl status pyauditd)" : "");
		break;
	case -EACCES:
	case -EPERM:
		explain_permission(path);
		break;
	case -ENAMETOOLONG:
		ctl_error("%s: too long for the path of a socket", path);
		break;
	case -ETIMEDOUT:
		ctl_error("the daemon at %s does not answer", path);
		break;
	case -ECONNRESET:
	case -EPIPE:
		ctl_error("the daemon at %s hung up", path);
		break;
	case -EBADMSG:
	case -EMSGSIZE:
		ctl_error("what answers at %s does not speak the protocol of pyauditd", path);
		break;
	default:
		ctl_error("cannot connect to %s: %s", path, strerror(-error));
	}
}
