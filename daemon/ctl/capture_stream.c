/* SPDX-License-Identifier: Apache-2.0 */
#include "capture_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capture.h"
#include "cleanup.h"
#include "ctl.h"
#include "writer.h"

int
capture_stream_create(struct capture_stream *stream, const char *path)
{
	struct stat st;

	stream->path = path;
	stream->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0600);
	/* One that was there already may have been open to others. */
	if (stream->fd >= 0 && fstat(stream->fd, &st) == 0 &&
	    (!S_ISREG(st.st_mode) || fchmod(stream->fd, 0600) == 0))
		return CTL_OK;
	ctl_error("cannot write to '%s': %s", path, strerror(errno));
	return CTL_FAILED;
}

int
capture_stream_ask(struct capture_stream *stream, const struct capture_request *request)
{
	CLEANUP(json_freep) cJSON *question = cJSON_CreateObject();
	CLEANUP(json_freep) cJSON *answer = NULL;
	int r;

	if (cJSON_AddStringToObject(question, "request", "capture") == NULL ||
	    (request->filter != NULL &&
	     cJSON_AddStringToObject(question, "filter", request->filter) == NULL) ||
	    (request->since != NULL &&
	     cJSON_AddStringToObject(question, "since", request->since) == NULL)) {
		ctl_error("out of memory");
		return CTL_FAILED;
	}
	r = client_open(&stream->client, request->dir);
	if (r == 0)
		r = client_request(&stream->client, question, &answer, NULL);
	if (r < 0) {
		client_close(&stream->client);
		client_explain(request->dir, r);
		return CTL_FAILED;
	}
	if (client_accepted(answer))
		return CTL_OK;
	client_close(&stream->client);
	return CTL_USAGE;
}

static void
count(struct capture_stream *stream, const uint8_t *block, size_t size)
{
	struct pyaudit_capture_block head;
	struct pyaudit_capture_loss loss;

	memcpy(&head, block, sizeof(head));
	if (pyaudit_get16(head.type) == PYAUDIT_CAPTURE_EVENT)
		stream->n_events++;
	if (pyaudit_get16(head.type) != PYAUDIT_CAPTURE_LOSS || size < sizeof(head) + sizeof(loss))
		return;
	memcpy(&loss, block + sizeof(head), sizeof(loss));
	stream->n_lost += pyaudit_get64(loss.lost);
}

/* Bytes of whole blocks; SIZE_MAX: that is no capture. */
static size_t
whole_blocks(struct capture_stream *stream, const uint8_t *bytes, size_t len)
{
	size_t at = 0, size;

	if (!stream->has_head) {
		if (len < sizeof(struct pyaudit_capture))
			return 0;
		if (memcmp(bytes, PYAUDIT_CAPTURE_MAGIC, strlen(PYAUDIT_CAPTURE_MAGIC)) != 0)
			return SIZE_MAX;
		stream->has_head = true;
		at = sizeof(struct pyaudit_capture);
	}
	for (;;) {
		size = capture_block_size(bytes + at, len - at);
		if (size == SIZE_MAX)
			return SIZE_MAX;
		if (size == 0 || size > len - at)
			return at;
		count(stream, bytes + at, size);
		at += size;
	}
}

static void
write_bytes(struct capture_stream *stream, const void *bytes, size_t len)
{
	int r;

	if (stream->error != 0 || stream->fd < 0)
		return;
	r = writer_write_all(stream->fd, bytes, len);
	if (r == 0)
		return;
	stream->error = r;
	ctl_error("cannot write to '%s': %s", stream->path, strerror(-r));
}

bool
capture_stream_take(struct capture_stream *stream)
{
	const uint8_t *bytes;
	size_t len, n;
	int r;

	if (stream->client.fd < 0)
		return false;
	r = client_bytes(&stream->client, &bytes, &len);
	n = whole_blocks(stream, bytes, len);
	if (n == SIZE_MAX) {
		stream->error = -EBADMSG;
		ctl_error("what the daemon sends is no capture");
	} else {
		write_bytes(stream, bytes, n);
		client_use(&stream->client, n);
	}
	if ((r != 1 && r != -EAGAIN) || stream->error != 0)
		client_close(&stream->client);
	return r == 1 && stream->error == 0;
}

int
capture_stream_close(struct capture_stream *stream)
{
	CLEANUP(buf_fini) struct buf tail;

	buf_init(&tail);
	client_close(&stream->client);
	if (stream->fd < 0)
		return CTL_OK;
	if (stream->has_head) {
		capture_add_end(&tail, stream->n_events, stream->n_lost);
		write_bytes(stream, tail.data, tail.len);
	}
	if (close(stream->fd) != 0 && stream->error == 0) {
		stream->error = -errno;
		ctl_error("cannot write to '%s': %s", stream->path, strerror(errno));
	}
	stream->fd = -1;
	return stream->error == 0 && stream->has_head ? CTL_OK : CTL_FAILED;
}
