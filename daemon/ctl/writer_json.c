/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON lines, passed through as the daemon wrote them: what a program reads here is what a sink
 * or the socket gives, to the byte. Only that it is one object on one line is made sure of.
 */
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "writer.h"

int
writer_write_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);

		if (n >= 0) {
			bytes += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN) {
			struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};

			(void)poll(&poll_fd, 1, -1);
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}

void
writer_fini(struct writer *writer)
{
	buf_fini(&writer->pending);
}

int
writer_line(struct writer *writer, char *line, size_t len)
{
	int r = writer->line(writer, line, len);

	if (writer->pending.failed)
		return -ENOMEM;
	if (r == 0 && writer->pending.len >= WRITER_PENDING_MAX)
		r = writer_flush(writer);
	return r;
}

int
writer_flush(struct writer *writer)
{
	int r = writer_write_all(writer->fd, writer->pending.data, writer->pending.len);

	buf_reset(&writer->pending);
	return r;
}

/* Control characters cannot stand in JSON unescaped: one that does is no JSON of ours. */
static bool
is_one_object(const char *line, size_t len)
{
	size_t i;

	if (len < 2 || line[0] != '{' || line[len - 1] != '}')
		return false;
	for (i = 0; i < len; i++)
		if ((unsigned char)line[i] < 0x20)
			return false;
	return true;
}

static int
json_line(struct writer *writer, char *line, size_t len)
{
	if (!is_one_object(line, len))
		return -EBADMSG;
	buf_add(&writer->pending, line, len);
	buf_add_char(&writer->pending, '\n');
	return 0;
}

void
writer_json_init(struct writer *writer, FILE *out)
{
	*writer = (struct writer){.fd = fileno(out), .line = json_line};
}
