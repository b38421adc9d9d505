/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sink.h"

static struct log quiet;

/* A sink that takes what the test lets it. */
struct gate {
	_Atomic int answer;  /* returned by write instead, where it is not 0 */
	_Atomic bool closed; /* write waits while it is set */
	_Atomic uint64_t n_taken, n_closes;
	uint32_t next;               /* number that the next numbered item has at least */
	_Atomic bool out_of_order;
};

static int
gate_write(void *data, const struct iovec *items, size_t n_items)
{
	struct gate *gate = data;
	int answer;

	while (atomic_load(&gate->closed))
		(void)usleep(1000);
	answer = atomic_load(&gate->answer);
	if (answer != 0)
		return answer;
	for (size_t i = 0; i < n_items; i++) {
		uint32_t number;

		if (items[i].iov_len < sizeof(number))
			continue;
		memcpy(&number, items[i].iov_base, sizeof(number));
		if (number < gate->next)
			atomic_store(&gate->out_of_order, true);
		gate->next = number;
	}
	atomic_fetch_add(&gate->n_taken, n_items);
	return (int)n_items;
}

static void
gate_close(void *data)
{
	struct gate *gate = data;

	atomic_fetch_add(&gate->n_closes, 1);
}

static const struct sink_ops gate_ops = {.name = "gate", .write = gate_write, .close = gate_close};

static struct sink *
gate_new(struct gate *gate)
{
	struct sink *sink = NULL;

	assert_int_equal(sink_new(&sink, &gate_ops, gate, &(struct sink_options){SINK_QUEUE_MIN, -1, NULL, 0, &quiet}), 0);
	return sink;
}

static bool
wait_for(struct sink *sink, uint64_t mark)
{
	for (unsigned i = 0; i < 10000; i++) {
		if (sink_reached(sink, mark))
			return true;
		sink_kick(sink);
		(void)usleep(1000);
	}
	return false;
}

static void
what_is_pushed_is_taken_or_counted(void **state)
{
	struct gate gate = {.closed = true};
	struct sink *sink = gate_new(&gate);
	char item[100] = {0};
	uint64_t n_pushed = 0, n_dropped = 0;

	(void)state;
	for (unsigned i = 0; i < 5000; i++) {
		if (sink_push(sink, item, sizeof(item), 3, false))
			n_pushed++;
		else
			n_dropped++;
		if (i % 16 == 0)
			sink_kick(sink);
	}
	assert_true(n_dropped > 0);
	atomic_store(&gate.closed, false);
	assert_true(wait_for(sink, sink_mark(sink)));
	assert_int_equal(atomic_load(&gate.n_taken), n_pushed);
	assert_int_equal(sink_take_lost(sink), n_dropped * 3);
	assert_int_equal(sink_take_lost(sink), 0);
	sink_free(sink, 1000);
	assert_int_equal(atomic_load(&gate.n_closes), 1);
}

static void
urgent_items_have_room_of_their_own(void **state)
{
	struct gate gate = {.closed = true};
	struct sink *sink = gate_new(&gate);
	char item[100] = {0};
	unsigned n_urgent = 0;

	(void)state;
	while (sink_push(sink, item, sizeof(item), 1, false))
		;
	while (sink_push(sink, item, sizeof(item), 1, true))
		n_urgent++;
	assert_true(n_urgent > SINK_QUEUE_MIN / 4 / 150);
	/* Losses are told when there is room again to tell them. */
	assert_int_equal(sink_take_lost(sink), 0);
	atomic_store(&gate.closed, false);
	assert_true(wait_for(sink, sink_mark(sink)));
	assert_int_equal(sink_take_lost(sink), 2);
	sink_free(sink, 1000);
}

static void
a_failing_sink_is_tried_again(void **state)
{
	struct gate gate = {.answer = -ENOSPC};
	struct sink *sink = gate_new(&gate);

	(void)state;
	assert_true(sink_push(sink, "x", 1, 1, false));
	sink_kick(sink);
	(void)usleep(50000);
	assert_false(sink_reached(sink, sink_mark(sink)));
	atomic_store(&gate.answer, 0);
	assert_true(wait_for(sink, sink_mark(sink)));
	assert_int_equal(atomic_load(&gate.n_taken), 1);
	assert_int_equal(sink_take_lost(sink), 0);
	sink_free(sink, 1000);
}

static void
an_item_that_cannot_be_written_is_a_loss(void **state)
{
	struct gate gate = {.answer = -EBADMSG};
	struct sink *sink = gate_new(&gate);

	(void)state;
	assert_true(sink_push(sink, "x", 1, 7, false));
	assert_true(wait_for(sink, sink_mark(sink)));
	assert_int_equal(sink_take_lost(sink), 7);
	sink_free(sink, 1000);
}

static void
ending_gives_up_in_time(void **state)
{
	struct gate gate = {.answer = -EIO};
	struct sink *sink = gate_new(&gate);

	(void)state;
	assert_true(sink_push(sink, "x", 1, 1, false));
	sink_free(sink, 100);
	assert_int_equal(atomic_load(&gate.n_closes), 1);
}

static void
lines_are_appended_whole(void **state)
{
	char path[] = "/tmp/test_sink.XXXXXX", line[64];
	int fd = mkstemp(path);
	struct sink *sink = NULL;
	unsigned n = 0, value;
	FILE *file;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "old\n", 4), 4);
	assert_int_equal(sink_ndjson_new(&sink, path, &(struct sink_options){1 << 20, -1, NULL, 0, &quiet}), 0);
	for (unsigned i = 0; i < 20000; i++) {
		int len = snprintf(line, sizeof(line), "line %u\n", i);

		while (!sink_push(sink, line, (size_t)len, 0, false))
			(void)usleep(100);
		sink_kick(sink);
	}
	sink_free(sink, 5000);
	file = fdopen(fd, "r");
	assert_non_null(file);
	rewind(file);
	assert_non_null(fgets(line, sizeof(line), file));
	assert_string_equal(line, "old\n");
	while (fgets(line, sizeof(line), file) != NULL) {
		assert_int_equal(sscanf(line, "line %u\n", &value), 1);
		assert_int_equal(value, n++);
	}
	assert_int_equal(n, 20000);
	(void)fclose(file);
	(void)unlink(path);
}

static unsigned
count_lines(const char *path)
{
	FILE *file = fopen(path, "r");
	unsigned n = 0, value;
	char line[64];

	assert_non_null(file);
	for (; fgets(line, sizeof(line), file) != NULL; n++)
		assert_int_equal(sscanf(line, "line %u\n", &value), 1);
	(void)fclose(file);
	return n;
}

static void
a_file_that_was_renamed_is_followed_by_a_new_one(void **state)
{
	char path[] = "/tmp/test_sink.XXXXXX", old[64], line[64];
	int fd = mkstemp(path);
	struct sink *sink = NULL;
	const unsigned n_lines = 3000;

	(void)state;
	assert_true(fd >= 0);
	(void)close(fd);
	(void)snprintf(old, sizeof(old), "%s.1", path);
	assert_int_equal(sink_ndjson_new(&sink, path, &(struct sink_options){1 << 20, -1, NULL, 0, &quiet}), 0);
	for (unsigned i = 0; i < n_lines; i++) {
		int len = snprintf(line, sizeof(line), "line %u\n", i);

		assert_true(sink_push(sink, line, (size_t)len, 0, false));
		sink_kick(sink);
		if (i == n_lines / 2) {
			assert_true(wait_for(sink, sink_mark(sink)));
			assert_int_equal(rename(path, old), 0);
		}
	}
	sink_free(sink, 5000);
	assert_int_equal(count_lines(old), n_lines / 2 + 1);
	assert_int_equal(count_lines(path), n_lines - n_lines / 2 - 1);
	(void)unlink(path);
	(void)unlink(old);
}

static void *
read_slowly(void *data)
{
	int fd = *(int *)data;
	uint64_t *sum = calloc(1, sizeof(*sum));
	char bytes[37];
	ssize_t n;

	assert_non_null(sum);
	while ((n = read(fd, bytes, sizeof(bytes))) > 0)
		for (ssize_t i = 0; i < n; i++)
			*sum += bytes[i] == '\n';
	return sum;
}

static void
a_pipe_takes_lines_in_pieces(void **state)
{
	struct sink *sink = NULL;
	pthread_t reader;
	void *result;
	char line[5000], path[32];
	int fds[2];

	(void)state;
	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	(void)fcntl(fds[1], F_SETPIPE_SZ, 4096);
	assert_int_equal(pthread_create(&reader, NULL, read_slowly, &fds[0]), 0);
	(void)snprintf(path, sizeof(path), "/dev/fd/%d", fds[1]);
	assert_int_equal(sink_ndjson_new(&sink, path, &(struct sink_options){1 << 20, -1, NULL, 0, &quiet}), 0);
	(void)close(fds[1]);
	for (unsigned i = 0; i < 100; i++)
		assert_true(sink_push(sink, line, sizeof(line), 1, false));
	sink_free(sink, 10000);
	assert_int_equal(pthread_join(reader, &result), 0);
	assert_int_equal(*(uint64_t *)result, 100);
	free(result);
	(void)close(fds[0]);
}

static void
what_cannot_be_opened_is_said(void **state)
{
	struct sink *sink = NULL;

	(void)state;
	assert_int_equal(sink_ndjson_new(&sink, "/nonexistent/x", &(struct sink_options){0, -1, NULL, 0, &quiet}), -ENOENT);
	assert_int_equal(sink_ndjson_new(&sink, "/dev/fd/987654", &(struct sink_options){0, -1, NULL, 0, &quiet}), -EBADF);
	assert_null(sink);
}

static char spool_dir[] = "/tmp/test_sink_spool.XXXXXX";

static struct sink *
spooling_new(struct gate *gate)
{
	struct sink_options options = {SINK_QUEUE_MIN, -1, spool_dir, 1 << 20, &quiet};
	struct sink *sink = NULL;

	assert_int_equal(sink_new(&sink, &gate_ops, gate, &options), 0);
	return sink;
}

/* Pushes a numbered item; waits until what was pushed is out of the queue every now and then. */
static void
push_number(struct sink *sink, uint32_t number, size_t size, bool urgent)
{
	static char item[5000];

	memcpy(item, &number, sizeof(number));
	assert_true(sink_push(sink, item, size, 1, urgent));
	for (unsigned i = 0; number % 8 == 7 && i < 10000; i++) {
		if (sink_is_safe(sink, sink_mark(sink)))
			return;
		sink_kick(sink);
		(void)usleep(100);
	}
}

static void
a_failing_sink_spools_and_keeps_the_order(void **state)
{
	struct gate gate = {.answer = -EIO};
	struct sink *sink = spooling_new(&gate);
	const uint32_t n = 1000; /* many times what its queue holds */

	(void)state;
	for (uint32_t i = 0; i < n; i++)
		push_number(sink, i, 500, false);
	assert_true(sink_is_safe(sink, sink_mark(sink)));
	assert_false(sink_reached(sink, 1));
	assert_int_equal(sink_state(sink).n_spooled, n);
	assert_true(sink_state(sink).is_failing);
	atomic_store(&gate.answer, 0);
	for (uint32_t i = n; i < n + 200; i++)
		push_number(sink, i, 500, false);
	assert_true(wait_for(sink, sink_mark(sink)));
	assert_int_equal(atomic_load(&gate.n_taken), n + 200);
	assert_false(atomic_load(&gate.out_of_order));
	assert_int_equal(sink_take_lost(sink), 0);
	assert_int_equal(sink_state(sink).n_spooled, 0);
	sink_free(sink, 1000);
}

static void
what_it_spooled_is_left_to_the_next_one(void **state)
{
	struct gate gate = {.answer = -EIO}, next = {0};
	struct sink *sink = spooling_new(&gate);

	(void)state;
	for (uint32_t i = 0; i < 300; i++)
		push_number(sink, i, 500, false);
	for (uint32_t i = 300; i < 307; i++) /* not kicked: in its queue when it ends */
		push_number(sink, i, 500, false);
	sink_free(sink, 5000);
	assert_int_equal(atomic_load(&gate.n_taken), 0);
	sink = spooling_new(&next);
	push_number(sink, 307, 500, false);
	assert_true(wait_for(sink, sink_mark(sink)));
	assert_int_equal(atomic_load(&next.n_taken), 308);
	assert_false(atomic_load(&next.out_of_order));
	sink_free(sink, 1000);
}

static void
a_full_spool_drops_what_is_not_urgent_and_counts_it(void **state)
{
	struct gate gate = {.answer = -EIO};
	struct sink *sink = spooling_new(&gate);
	uint32_t n = 0;

	(void)state;
	for (; n < 400; n++) /* of 2 MB, 3/4 of 1 MB stay */
		push_number(sink, n, 5000, false);
	for (; n < 440; n++)
		push_number(sink, n, 5000, true);
	assert_true(sink_is_safe(sink, sink_mark(sink)));
	assert_in_range(sink_state(sink).n_lost, 240, 260);
	atomic_store(&gate.answer, 0);
	assert_true(wait_for(sink, sink_mark(sink)));
	assert_int_equal(atomic_load(&gate.n_taken) + sink_take_lost(sink), 440);
	assert_false(atomic_load(&gate.out_of_order));
	assert_int_equal(gate.next, 439);
	sink_free(sink, 1000);
}

static int
open_log(void **state)
{
	(void)state;
	log_init(&quiet, open("/dev/null", O_WRONLY | O_CLOEXEC), LOG_LEVEL_ERROR);
	return mkdtemp(spool_dir) != NULL ? 0 : -1;
}

static int
remove_spool(void **state)
{
	(void)state;
	return rmdir(spool_dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_pushed_is_taken_or_counted),
		cmocka_unit_test(urgent_items_have_room_of_their_own),
		cmocka_unit_test(a_failing_sink_is_tried_again),
		cmocka_unit_test(an_item_that_cannot_be_written_is_a_loss),
		cmocka_unit_test(ending_gives_up_in_time),
		cmocka_unit_test(lines_are_appended_whole),
		cmocka_unit_test(a_file_that_was_renamed_is_followed_by_a_new_one),
		cmocka_unit_test(a_pipe_takes_lines_in_pieces),
		cmocka_unit_test(what_cannot_be_opened_is_said),
		cmocka_unit_test(a_failing_sink_spools_and_keeps_the_order),
		cmocka_unit_test(what_it_spooled_is_left_to_the_next_one),
		cmocka_unit_test(a_full_spool_drops_what_is_not_urgent_and_counts_it),
	};

	return cmocka_run_group_tests(tests, open_log, remove_spool);
}
