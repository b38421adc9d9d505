/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The producer's side of the ring, against a plain consumer that follows the header comment of
 * include/pyaudit/ring.h. ring.c is compiled in here with test points, so that a producer can be
 * killed at each of its steps.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_point(int step);
#define RING_TEST_POINT(step) test_point(step)
#include "../../agent/ring.c"

static int die_at_step;
static int die_after;

static void
test_point(int step)
{
	if (step == die_at_step && --die_after == 0)
		(void)kill(getpid(), SIGKILL);
}

static struct pyaudit_ring *
ring_new(void)
{
	void *ring = mmap(NULL, RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(ring, MAP_FAILED);
	ring_format(ring);
	return ring;
}

static void
ring_free(struct pyaudit_ring *ring)
{
	(void)munmap(ring, RING_SIZE);
}

enum taken {
	TAKEN_NONE,
	TAKEN_RECORD,
	TAKEN_TORN,
};

/* One step of a consumer. @dead is a thread known not to live any more, or 0. */
static enum taken
take(struct pyaudit_ring *ring, enum pyaudit_lane n, uint32_t dead, uint8_t *out, size_t *ret_size)
{
	struct lane lane = lane_of(ring, n);

	for (;;) {
		uint64_t tail = atomic_load(lane.tail);
		uint64_t word = atomic_load_explicit(word_at(&lane, tail), memory_order_acquire);
		uint32_t length = pyaudit_claim_length(word), state = word & PYAUDIT_CLAIM_STATE;
		uint64_t free_word = pyaudit_claim_free(tail + lane.size, lane.size);

		if (state == PYAUDIT_CLAIM_FREE)
			return TAKEN_NONE;
		if (state == PYAUDIT_CLAIM_CLAIMED && pyaudit_claim_tid(word) != dead)
			return TAKEN_NONE;
		assert_in_range(length, 8, lane.size);
		if (state == PYAUDIT_CLAIM_COMMITTED) {
			*ret_size = length - 8;
			for (uint32_t at = 8; at < length; at += 8) {
				uint64_t payload = atomic_load_explicit(word_at(&lane, tail + at),
									memory_order_relaxed);

				memcpy(out + at - 8, &payload, sizeof(payload));
			}
		}
		/* A producer that died between claim and head leaves the head behind. */
		if (atomic_load(lane.head) < tail + length) {
			uint64_t head = tail;

			(void)atomic_compare_exchange_strong(lane.head, &head, tail + length);
		}
		for (uint32_t at = 0; at < length; at += 8)
			atomic_store(word_at(&lane, tail + at), free_word);
		atomic_store_explicit(lane.tail, tail + length, memory_order_release);
		if (state == PYAUDIT_CLAIM_COMMITTED)
			return TAKEN_RECORD;
		if (state == PYAUDIT_CLAIM_CLAIMED)
			return TAKEN_TORN;
	}
}

static bool
push(struct pyaudit_ring *ring, enum pyaudit_lane lane, const void *record, size_t size)
{
	bool half, wake;

	return ring_push(ring, lane, record, size, (uint32_t)syscall(SYS_gettid), &half, &wake);
}

static void
what_is_pushed_comes_out_whole_and_in_order(void **state)
{
	struct pyaudit_ring *ring = ring_new();
	uint8_t in[PYAUDIT_LANE_SIZE_MIN], out[1 << 16];
	size_t size;

	(void)state;
	/* Many laps with lengths that do not divide the lane, so that every kind of wrap occurs. */
	for (unsigned i = 0; i < 20000; i++) {
		size_t n = 1 + (i * 37) % 3000;

		memset(in, (int)(i & 0xff), n);
		assert_true(push(ring, PYAUDIT_LANE_URGENT, in, n));
		assert_int_equal(take(ring, PYAUDIT_LANE_URGENT, 0, out, &size), TAKEN_RECORD);
		assert_in_range(size, n, n + 7);
		assert_memory_equal(out, in, n);
	}
	assert_int_equal(take(ring, PYAUDIT_LANE_URGENT, 0, out, &size), TAKEN_NONE);
	assert_int_equal(atomic_load(&ring->n_lost[PYAUDIT_LANE_URGENT]), 0);
	ring_free(ring);
}

static void
a_full_lane_counts_each_loss_and_recovers(void **state)
{
	struct pyaudit_ring *ring = ring_new();
	uint8_t record[100] = {1}, out[1 << 16];
	unsigned n_in = 0, n_out = 0;
	size_t size;

	(void)state;
	for (unsigned i = 0; i < 2000; i++)
		n_in += push(ring, PYAUDIT_LANE_URGENT, record, sizeof(record));
	assert_int_equal(n_in, PYAUDIT_LANE_URGENT_DEFAULT / 112);
	assert_int_equal(atomic_load(&ring->n_lost[PYAUDIT_LANE_URGENT]), 2000 - n_in);
	/* The other lane has room of its own. */
	assert_true(push(ring, PYAUDIT_LANE_ORDINARY, record, sizeof(record)));
	while (take(ring, PYAUDIT_LANE_URGENT, 0, out, &size) == TAKEN_RECORD)
		n_out++;
	assert_int_equal(n_out, n_in);
	assert_true(push(ring, PYAUDIT_LANE_URGENT, record, sizeof(record)));
	ring_free(ring);
}

static void
the_sleeping_consumer_is_woken_by_exactly_one_push(void **state)
{
	struct pyaudit_ring *ring = ring_new();
	uint8_t record[16] = {0};
	bool half, wake;

	(void)state;
	atomic_store(&ring->asleep, 1);
	assert_true(ring_push(ring, PYAUDIT_LANE_ORDINARY, record, sizeof(record), 1, &half, &wake));
	assert_true(wake);
	assert_false(half);
	assert_true(ring_push(ring, PYAUDIT_LANE_ORDINARY, record, sizeof(record), 1, &half, &wake));
	assert_false(wake);
	ring_free(ring);
}

static void
a_ring_the_program_overwrote_costs_records_not_time(void **state)
{
	struct pyaudit_ring *ring = ring_new();
	uint8_t record[16] = {0};

	(void)state;
	memset((char *)ring + PYAUDIT_RING_HEADER, 0xee, 4096);
	assert_false(push(ring, PYAUDIT_LANE_ORDINARY, record, sizeof(record)));
	assert_int_equal(atomic_load(&ring->n_lost[PYAUDIT_LANE_ORDINARY]), 1);
	ring_free(ring);
}

#define N_PRODUCERS 4
#define N_EACH 100000

struct producer {
	struct pyaudit_ring *ring;
	uint32_t number;
	uint64_t n_pushed;
};

static void *
produce(void *data)
{
	struct producer *p = data;

	for (uint32_t i = 0; i < N_EACH; i++) {
		uint32_t record[2 + 20] = {p->number, i};

		p->n_pushed += push(p->ring, PYAUDIT_LANE_ORDINARY, record,
				    (2 + (i + p->number) % 20) * sizeof(record[0]));
	}
	return NULL;
}

static void
threads_lose_nothing_that_is_not_counted(void **state)
{
	struct pyaudit_ring *ring = ring_new();
	struct producer producers[N_PRODUCERS];
	pthread_t threads[N_PRODUCERS];
	uint32_t out[1 << 14], next[N_PRODUCERS] = {0};
	uint64_t n_out = 0, n_in = 0;
	size_t size;

	(void)state;
	for (unsigned i = 0; i < N_PRODUCERS; i++) {
		producers[i] = (struct producer){ring, i, 0};
		assert_int_equal(pthread_create(&threads[i], NULL, produce, &producers[i]), 0);
	}
	while (n_out + atomic_load(&ring->n_lost[0]) < (uint64_t)N_PRODUCERS * N_EACH) {
		if (take(ring, PYAUDIT_LANE_ORDINARY, 0, (uint8_t *)out, &size) != TAKEN_RECORD)
			continue;
		n_out++;
		assert_in_range(out[0], 0, N_PRODUCERS - 1);
		/* In the order of each thread: gaps are losses, steps back would be a bug. */
		assert_true(out[1] >= next[out[0]]);
		next[out[0]] = out[1] + 1;
	}
	for (unsigned i = 0; i < N_PRODUCERS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		n_in += producers[i].n_pushed;
	}
	assert_int_equal(n_out, n_in);
	assert_int_equal(n_in + atomic_load(&ring->n_lost[0]), (uint64_t)N_PRODUCERS * N_EACH);
	ring_free(ring);
}

/* A process that shares the ring dies by SIGKILL at @step of its third push; the living go on. */
static void
die_at(int step)
{
	struct pyaudit_ring *ring = ring_new();
	uint64_t record[4] = {7}, out[1 << 13];
	unsigned n_records = 0, n_torn = 0;
	enum taken taken;
	size_t size;
	pid_t child;
	int status;

	child = fork();
	if (child == 0) {
		die_at_step = step;
		die_after = 3;
		for (;;)
			(void)push(ring, PYAUDIT_LANE_ORDINARY, record, sizeof(record));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	for (unsigned i = 0; i < 100; i++)
		assert_true(push(ring, PYAUDIT_LANE_ORDINARY, record, sizeof(record)));
	while ((taken = take(ring, PYAUDIT_LANE_ORDINARY, (uint32_t)child, (uint8_t *)out, &size)) !=
	       TAKEN_NONE) {
		n_records += taken == TAKEN_RECORD;
		n_torn += taken == TAKEN_TORN;
		if (taken == TAKEN_RECORD)
			assert_int_equal(out[0], 7);
	}
	/* Two whole pushes, the third by how far it came, and all hundred of the living. */
	assert_int_equal(n_records, 2 + (step == 5) + 100);
	assert_int_equal(n_torn, step >= 2 && step <= 4);
	assert_int_equal(atomic_load(&ring->head[0]), atomic_load(&ring->tail[0]));
	ring_free(ring);
}

static void
a_producer_killed_at_any_step_stalls_nobody(void **state)
{
	(void)state;
	for (int step = 1; step <= 5; step++)
		die_at(step);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_pushed_comes_out_whole_and_in_order),
		cmocka_unit_test(a_full_lane_counts_each_loss_and_recovers),
		cmocka_unit_test(the_sleeping_consumer_is_woken_by_exactly_one_push),
		cmocka_unit_test(a_ring_the_program_overwrote_costs_records_not_time),
		cmocka_unit_test(threads_lose_nothing_that_is_not_counted),
		cmocka_unit_test(a_producer_killed_at_any_step_stalls_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
