/* SPDX-License-Identifier: Apache-2.0 */
#include "frame.h"

#include <errno.h>
#include <string.h>

int
frame_parse(struct frame *ret, const uint8_t *packet, size_t size)
{
	struct pyaudit_frame head;

	if (size < sizeof(head) || size > FRAME_PACKET_MAX)
		return -EBADMSG;
	memcpy(&head, packet, sizeof(head));
	if (head.magic[0] != 'P' || head.magic[1] != 'A')
		return -EBADMSG;
	if (head.major != PYAUDIT_MAJOR)
		return -EPROTO;
	if (pyaudit_get32(head.length) != size - sizeof(head))
		return -EBADMSG;
	*ret = (struct frame){
		.type = pyaudit_get16(head.type),
		.flags = pyaudit_get16(head.flags),
		.payload = packet + sizeof(head),
		.length = size - sizeof(head),
	};
	return 0;
}

void
frame_head(struct pyaudit_frame *ret, uint16_t type, size_t length)
{
	*ret = (struct pyaudit_frame){
		.magic = {'P', 'A'},
		.major = PYAUDIT_MAJOR,
		.minor = PYAUDIT_MINOR,
		.type = pyaudit_le16_of(type),
		.length = pyaudit_le32_of((uint32_t)length),
	};
}

/* The next of the NUL-terminated strings, or NULL where none is left. */
static const char *
next_string(const char **at, const char *end)
{
	const char *s = *at;
	const char *nul = memchr(s, 0, (size_t)(end - s));

	if (nul == NULL)
		return NULL;
	*at = nul + 1;
	return s;
}

int
hello_parse(struct hello *ret, const uint8_t *payload, size_t length)
{
	struct pyaudit_hello head;
	struct hello hello;
	const char *at, *end;

	if (length < sizeof(head))
		return -EBADMSG;
	memcpy(&head, payload, sizeof(head));
	hello = (struct hello){
		.pid = pyaudit_get32(head.pid),
		.ppid = pyaudit_get32(head.ppid),
		.uid = pyaudit_get32(head.uid),
		.gid = pyaudit_get32(head.gid),
		.start_ns = pyaudit_get64(head.start_ns),
		.generation = pyaudit_get64(head.generation),
		.route = head.route,
		.reason = head.reason,
		.n_argv = pyaudit_get16(head.n_argv),
	};
	if (hello.n_argv > PYAUDIT_LIST_MAX || pyaudit_get32(head.strings) > PYAUDIT_HELLO_STRINGS_MAX ||
	    pyaudit_get32(head.strings) > length - sizeof(head))
		return -EBADMSG;

	at = (const char *)payload + sizeof(head);
	end = at + pyaudit_get32(head.strings);
	hello.python = next_string(&at, end);
	hello.exe = hello.python != NULL ? next_string(&at, end) : NULL;
	hello.cwd = hello.exe != NULL ? next_string(&at, end) : NULL;
	hello.cgroup = hello.cwd != NULL ? next_string(&at, end) : NULL;
	hello.venv = hello.cgroup != NULL ? next_string(&at, end) : NULL;
	if (hello.venv == NULL)
		return -EBADMSG;
	for (unsigned i = 0; i < hello.n_argv; i++) {
		hello.argv[i] = next_string(&at, end);
		if (hello.argv[i] == NULL)
			return -EBADMSG;
	}
	for (size_t i = 0, left = length - (size_t)(end - (const char *)payload);
	     i < left && i < sizeof(hello.agent) - 1 && end[i] != 0; i++)
		hello.agent[i] = end[i];
	*ret = hello;
	return 0;
}

const char *
route_name(unsigned route)
{
	switch (route) {
	case PYAUDIT_ROUTE_PRELOAD:
		return "preload";
	case PYAUDIT_ROUTE_IMPORT:
		return "import";
	case PYAUDIT_ROUTE_LATE:
		return "late";
	default:
		return "unknown";
	}
}

const char *
reason_name(unsigned reason)
{
	switch (reason) {
	case PYAUDIT_REASON_START:
		return "start";
	case PYAUDIT_REASON_FORK:
		return "fork";
	case PYAUDIT_REASON_AGAIN:
		return "again";
	default:
		return "unknown";
	}
}
