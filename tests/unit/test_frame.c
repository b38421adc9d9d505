/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "frame.h"

struct packet {
	struct pyaudit_frame head;
	uint8_t payload[512];
};

static void
a_frame_is_taken_whole_or_not_at_all(void **state)
{
	struct packet packet = {0};
	struct frame frame;
	size_t size = sizeof(packet.head) + 8;

	(void)state;
	frame_head(&packet.head, PYAUDIT_FRAME_LOST, 8);
	assert_int_equal(frame_parse(&frame, (const uint8_t *)&packet, size), 0);
	assert_int_equal(frame.type, PYAUDIT_FRAME_LOST);
	assert_int_equal(frame.length, 8);
	assert_ptr_equal(frame.payload, packet.payload);

	for (size_t n = 0; n < size; n++)
		assert_int_equal(frame_parse(&frame, (const uint8_t *)&packet, n), -EBADMSG);
	assert_int_equal(frame_parse(&frame, (const uint8_t *)&packet, size + 1), -EBADMSG);
	packet.head.magic[1] = 'B';
	assert_int_equal(frame_parse(&frame, (const uint8_t *)&packet, size), -EBADMSG);
}

static void
another_major_version_is_told_apart(void **state)
{
	struct pyaudit_frame head;
	struct frame frame;

	(void)state;
	frame_head(&head, PYAUDIT_FRAME_WAKE, 0);
	head.minor = 200; /* newer: fine */
	assert_int_equal(frame_parse(&frame, (const uint8_t *)&head, sizeof(head)), 0);
	head.major = 2;
	assert_int_equal(frame_parse(&frame, (const uint8_t *)&head, sizeof(head)), -EPROTO);
}

static size_t
make_hello(uint8_t *out, const char *strings, size_t n_strings, uint16_t n_argv)
{
	struct pyaudit_hello hello = {
		.pid = pyaudit_le32_of(7),
		.route = PYAUDIT_ROUTE_PRELOAD,
		.reason = PYAUDIT_REASON_START,
		.n_argv = pyaudit_le16_of(n_argv),
		.strings = pyaudit_le32_of((uint32_t)n_strings),
	};

	memcpy(out, &hello, sizeof(hello));
	memcpy(out + sizeof(hello), strings, n_strings);
	return sizeof(hello) + n_strings;
}

static void
hello_gives_out_its_strings(void **state)
{
	static const char strings[] = "3.11.2\0/usr/bin/python3\0/\0\0/venv\0python3\0-c";
	uint8_t payload[256];
	struct hello hello;
	size_t size = make_hello(payload, strings, sizeof(strings), 2);

	(void)state;
	assert_int_equal(hello_parse(&hello, payload, size), 0);
	assert_int_equal(hello.pid, 7);
	assert_string_equal(hello.python, "3.11.2");
	assert_string_equal(hello.exe, "/usr/bin/python3");
	assert_string_equal(hello.cwd, "/");
	assert_string_equal(hello.cgroup, "");
	assert_string_equal(hello.venv, "/venv");
	assert_int_equal(hello.n_argv, 2);
	assert_string_equal(hello.argv[1], "-c");
	/* A newer agent's further bytes. */
	assert_int_equal(hello_parse(&hello, payload, size + 20), 0);
	for (size_t n = 0; n < size; n++)
		assert_int_equal(hello_parse(&hello, payload, n), -EBADMSG);
}

static void
hello_that_promises_too_much_is_refused(void **state)
{
	static const char strings[] = "\0\0\0\0"; /* five empty ones */
	uint8_t payload[256];
	struct hello hello;

	(void)state;
	assert_int_equal(hello_parse(&hello, payload,
				     make_hello(payload, strings, sizeof(strings), 0)),
			 0);
	assert_int_equal(hello_parse(&hello, payload,
				     make_hello(payload, strings, sizeof(strings) - 1, 0)),
			 -EBADMSG);
	assert_int_equal(hello_parse(&hello, payload,
				     make_hello(payload, strings, sizeof(strings), 1)),
			 -EBADMSG);
	assert_int_equal(hello_parse(&hello, payload,
				     make_hello(payload, strings, sizeof(strings),
						PYAUDIT_LIST_MAX + 1)),
			 -EBADMSG);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frame_is_taken_whole_or_not_at_all),
		cmocka_unit_test(another_major_version_is_told_apart),
		cmocka_unit_test(hello_gives_out_its_strings),
		cmocka_unit_test(hello_that_promises_too_much_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
