/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "held.h"

static struct log quiet;

/* Takes one item each time it is let. */
struct gate {
	_Atomic unsigned n_let;
};

static int
gate_write(void *data, const struct iovec *items, size_t n_items)
{
	struct gate *gate = data;

	(void)items;
	(void)n_items;
	while (atomic_load(&gate->n_let) == 0)
		(void)usleep(500);
	atomic_fetch_sub(&gate->n_let, 1);
	return 1;
}

static const struct sink_ops gate_ops = {.name = "gate", .write = gate_write};

static struct sink *
gate_new(struct gate *gate)
{
	struct sink *sink = NULL;

	assert_int_equal(sink_new(&sink, &gate_ops, gate,
				  &(struct sink_options){SINK_QUEUE_MIN, -1, NULL, 0, &quiet}),
			 0);
	return sink;
}

/* Frees it with whatever it still has. */
static void
gate_end(struct gate *gate, struct sink *sink)
{
	atomic_store(&gate->n_let, 1000);
	sink_free(sink, 5000);
}

static uint64_t
push(struct sink *sink)
{
	assert_true(sink_push(sink, "item", 4, 1, false));
	sink_kick(sink);
	return sink_mark(sink);
}

static void
let(struct gate *gate, struct sink *sink, uint64_t mark)
{
	atomic_fetch_add(&gate->n_let, 1);
	for (unsigned i = 0; i < 20000 && !sink_reached(sink, mark); i++)
		(void)usleep(500);
	assert_true(sink_reached(sink, mark));
}

static uint64_t
now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#define STAND_NS (SINK_STANDS_MS * UINT64_C(1000000))

static struct held_entry
entry_of(uint64_t place, uint64_t ndjson, uint64_t journal)
{
	return (struct held_entry){{.place = place}, {ndjson, journal}};
}

static void
room_is_given_back_when_both_sinks_have_it(void **state)
{
	struct gate gates[2] = {0};
	struct sink *ndjson = gate_new(&gates[0]), *journal = gate_new(&gates[1]);
	struct held held = {0};
	struct drain_mark mark;
	struct held_entry entry = entry_of(7, push(ndjson), push(journal));
	bool written = false;

	(void)state;
	held_add(&held, &entry);
	assert_false(held_take(&held, ndjson, journal, now_ns(), &mark, &written));
	let(&gates[0], ndjson, 1);
	assert_false(held_take(&held, ndjson, journal, now_ns(), &mark, &written));
	let(&gates[1], journal, 1);
	assert_true(held_take(&held, ndjson, journal, now_ns(), &mark, &written));
	assert_true(written);
	assert_int_equal(mark.place, 7);
	assert_true(held_is_empty(&held));
	assert_false(held_take_late(&held, ndjson, journal, &mark));
	gate_end(&gates[0], ndjson);
	gate_end(&gates[1], journal);
}

/* What is given back while its sink goes on would be told as lost by the next daemon, and be written. */
static void
a_slow_sink_is_waited_for(void **state)
{
	struct gate gate = {0};
	struct sink *sink = gate_new(&gate);
	struct held held = {0};
	struct drain_mark mark;
	struct held_entry entry;
	uint64_t first = push(sink), second = push(sink), pushed_ns = now_ns();
	bool written = false;

	(void)state;
	entry = entry_of(1, second, 0);
	held_add(&held, &entry);
	(void)usleep(20000);
	let(&gate, sink, first);
	/* The stand has lasted since the push by this clock, and not since the item that came through. */
	assert_false(held_take(&held, sink, NULL, pushed_ns + STAND_NS, &mark, &written));
	let(&gate, sink, second);
	assert_true(held_take(&held, sink, NULL, now_ns(), &mark, &written));
	assert_true(written);
	gate_end(&gate, sink);
}

static void
a_sink_at_a_stand_is_not(void **state)
{
	struct gate gate = {0};
	struct sink *sink = gate_new(&gate);
	struct held held = {0};
	struct drain_mark mark;
	struct held_entry entry = entry_of(1, push(sink), 0);
	bool written = true;

	(void)state;
	held_add(&held, &entry);
	assert_false(held_take(&held, sink, NULL, now_ns(), &mark, &written));
	assert_true(held_take(&held, sink, NULL, now_ns() + STAND_NS, &mark, &written));
	assert_false(written);
	assert_int_equal(mark.place, 1);

	/* What is behind it is not written before it. */
	entry = entry_of(2, 0, 0);
	held_add(&held, &entry);
	assert_true(held_take(&held, sink, NULL, now_ns(), &mark, &written));
	assert_false(written);
	assert_false(held_take_late(&held, sink, NULL, &mark));
	let(&gate, sink, 1);
	assert_true(held_take_late(&held, sink, NULL, &mark));
	assert_int_equal(mark.place, 2);
	assert_false(held_take_late(&held, sink, NULL, &mark));
	gate_end(&gate, sink);
}

/* With clock 0 nothing is ever given up: losses that are told wait until they are written. */
static void
entries_beyond_the_last_join_it(void **state)
{
	struct gate gate = {0};
	struct sink *sink = gate_new(&gate);
	struct held held = {0};
	struct drain_mark mark;
	uint64_t last = 0, taken = 0;
	bool written = false;

	(void)state;
	for (uint64_t i = 1; i <= HELD_MAX + 3; i++) {
		struct held_entry entry = entry_of(i, i == HELD_MAX + 3 ? 0 : (last = push(sink)), 0);

		held_add(&held, &entry);
	}
	assert_int_equal(held.n, HELD_MAX);
	for (uint64_t i = 1; i < HELD_MAX; i++) {
		let(&gate, sink, i);
		assert_true(held_take(&held, sink, NULL, 0, &mark, &written));
		assert_int_equal(mark.place, i);
		taken++;
	}
	assert_false(held_take(&held, sink, NULL, 0, &mark, &written));
	for (uint64_t i = taken + 1; i <= last; i++)
		let(&gate, sink, i);
	assert_true(held_take(&held, sink, NULL, 0, &mark, &written));
	assert_true(written);
	assert_int_equal(mark.place, HELD_MAX + 3);
	gate_end(&gate, sink);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(room_is_given_back_when_both_sinks_have_it),
		cmocka_unit_test(a_slow_sink_is_waited_for),
		cmocka_unit_test(a_sink_at_a_stand_is_not),
		cmocka_unit_test(entries_beyond_the_last_join_it),
	};

	return cmocka_run_group_tests_name("held", tests, NULL, NULL);
}
