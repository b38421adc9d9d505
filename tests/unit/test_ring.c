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

#define PYAUDIT_TEST_POINT test_point
#include "../../agent/ring.c"

static const char *die_at_point = "";
static int die_after;

void
test_point(const char *name)
{
	if (strcmp(name, die_at_point) == 0 && --die_after == 0)
		(void)kill(getpid(), SIGKILL);
}

static struct pyaudit_ring *
ring_new(void)
{
	void *ring = mmap(NULL, ring_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(ring, MAP_FAILED);
	ring_format(ring);
	return ring;
}

static void
ring_free(struct pyaudit_ring *ring)
{
	(void)munmap(ring, ring_size());
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
	uint64_t tail = atomic_load(lane.tail), index = pyaudit_place_index(tail);
	_Atomic uint64_t *claim = claim_at(&lane, tail);
	uint64_t word = atomic_load_explicit(claim, memory_order_acquire);
	uint32_t n_words = pyaudit_claim_words(word), state = word & PYAUDIT_CLAIM_STATE;
	uint32_t to_end = words_to_end(&lane, tail);
	uint32_t at = n_words > to_end ? 0 : lane.n_words - to_end;

	if (state == PYAUDIT_CLAIM_FREE)
		return TAKEN_NONE;
	if (state == PYAUDIT_CLAIM_CLAIMED &&
	    (pyaudit_claim_tid(word) != dead ||
	     !atomic_compare_exchange_strong(claim, &word, word | PYAUDIT_CLAIM_TORN)))
		return TAKEN_NONE;
	assert_in_range(n_words, 1, lane.n_words);
	*ret_size = (n_words > to_end ? n_words - to_end : n_words) * 8 - PYAUDIT_NUMBER_SIZE;
	if (state == PYAUDIT_CLAIM_COMMITTED)
		memcpy(out, lane.bytes + at * 8 + PYAUDIT_NUMBER_SIZE, *ret_size);
	atomic_store_explicit(lane.tail, pyaudit_place_after(tail, n_words), memory_order_release);
	atomic_store_explicit(claim, pyaudit_claim_free(index + lane.n_claims, lane.n_claims),
			      memory_order_release);
	return state == PYAUDIT_CLAIM_COMMITTED ? TAKEN_RECORD : TAKEN_TORN;
}

static bool
push(struct pyaudit_ring *ring, enum pyaudit_lane lane, const void *record, size_t size)
{
	struct ring_pushed pushed;

	return ring_push(ring, lane, record, size, (uint32_t)syscall(SYS_gettid), &pushed);
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
	enum { N_PUSHED = 2 * PYAUDIT_LANE_URGENT_DEFAULT / 112 };
	struct pyaudit_ring *ring = ring_new();
	uint8_t record[100] = {1}, out[1 << 16];
	unsigned n_in = 0, n_out = 0;
	size_t size;

	(void)state;
	for (unsigned i = 0; i < N_PUSHED; i++)
		n_in += push(ring, PYAUDIT_LANE_URGENT, record, sizeof(record));
	assert_int_equal(n_in, PYAUDIT_LANE_URGENT_DEFAULT / 112);
	assert_int_equal(atomic_load(&ring->n_lost[PYAUDIT_LANE_URGENT]), N_PUSHED - n_in);
	/* The other lane has room of its own. */
	assert_true(push(ring, PYAUDIT_LANE_ORDINARY, record, sizeof(record)));
	while (take(ring, PYAUDIT_LANE_URGENT, 0, out, &size) == TAKEN_RECORD)
		n_out++;
	assert_int_equal(n_out, n_in);
	assert_true(push(ring, PYAUDIT_LANE_URGENT, record, sizeof(record)));
	ring_free(ring);
}

/* The urgent lane stays as it is; a size beyond the limit is the limit. */
static void
an_ordinary_lane_is_as_large_as_it_is_told_to_be(void **state)
{
	static const struct {
		unsigned shift;
		size_t size;
	} rows[] = {{1, 1u << 20}, {5, PYAUDIT_LANE_SIZE_MAX}, {15, PYAUDIT_LANE_SIZE_MAX}, {0, 512u << 10}};
	uint8_t record[100] = {1}, out[1 << 16];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct pyaudit_ring *ring;
		unsigned n_in = 0, n_out = 0;
		size_t size;

		ring_use(rows[i].shift);
		assert_true(i < 3 || ring_size() == RING_SIZE);
		ring = ring_new();
		assert_int_equal(ring->lane_size[PYAUDIT_LANE_ORDINARY], rows[i].size);
		assert_int_equal(ring->lane_size[PYAUDIT_LANE_URGENT], PYAUDIT_LANE_URGENT_DEFAULT);
		while (push(ring, PYAUDIT_LANE_ORDINARY, record, sizeof(record)))
			n_in++;
		assert_int_equal(n_in, rows[i].size / 112);
		assert_true(push(ring, PYAUDIT_LANE_URGENT, record, sizeof(record)));
		while (take(ring, PYAUDIT_LANE_ORDINARY, 0, out, &size) == TAKEN_RECORD)
			n_out++;
		assert_int_equal(n_out, n_in);
		assert_int_equal(take(ring, PYAUDIT_LANE_URGENT, 0, out, &size), TAKEN_RECORD);
		ring_free(ring);
	}
}

static void
the_sleeping_consumer_is_woken_by_exactly_one_push(void **state)
{
	struct pyaudit_ring *ring = ring_new();
	uint8_t record[16] = {0};
	struct ring_pushed pushed;

	(void)state;
	atomic_store(&ring->asleep, 1);
	assert_true(ring_push(ring, PYAUDIT_LANE_ORDINARY, record, sizeof(record), 1, &pushed));
	assert_true(pushed.wake);
	assert_false(pushed.half_full);
	assert_true(ring_push(ring, PYAUDIT_LANE_ORDINARY, record, sizeof(record), 1, &pushed));
	assert_false(pushed.wake);
	ring_free(ring);
}

static void
a_ring_the_program_overwrote_costs_records_not_time(void **state)
{
	struct pyaudit_ring *ring = ring_new();
	uint8_t record[16] = {0};

	(void)state;
	memset((char *)ring + PYAUDIT_RING_HEADER, 0xee, 65536);
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

/* A process that shares the ring dies by SIGKILL at @point of its third push; the living go on. */
static void
die_at(const char *point, unsigned n_committed, unsigned n_claimed)
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
		die_at_point = point;
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
	assert_int_equal(n_records, 2 + n_committed + 100);
	assert_int_equal(n_torn, n_claimed);
	assert_int_equal(atomic_load(&ring->n_tried[0]), 103);
	assert_int_equal(atomic_load(&ring->head[0]), atomic_load(&ring->tail[0]));
	ring_free(ring);
}

static void
a_producer_killed_at_any_step_stalls_nobody(void **state)
{
	(void)state;
	die_at("numbered", 0, 0);
	die_at("claim", 0, 0);
	die_at("claimed", 0, 1);
	die_at("head moved", 0, 1);
	die_at("written", 0, 1);
	die_at("committed", 1, 0);
}

/* A thread that was stopped between two steps for a long time finds its place taken. */
static void
an_old_hint_leads_to_the_end(void **state)
{
	struct pyaudit_ring *ring = ring_new();
	uint64_t record[4] = {7}, out[1 << 13], hint;
	size_t size;

	(void)state;
	for (unsigned i = 0; i < 5; i++)
		assert_true(push(ring, PYAUDIT_LANE_URGENT, record, sizeof(record)));
	hint = atomic_load(&ring->head[PYAUDIT_LANE_URGENT]);
	for (unsigned lap = 0; lap < 3; lap++) {
		for (unsigned i = 0; i < 1000; i++) {
			assert_true(push(ring, PYAUDIT_LANE_URGENT, record, sizeof(record)));
			if (i % 100 == 99) /* somebody slept between claim and head */
				atomic_store(&ring->head[PYAUDIT_LANE_URGENT], hint);
		}
		while (take(ring, PYAUDIT_LANE_URGENT, 0, (uint8_t *)out, &size) == TAKEN_RECORD)
			assert_int_equal(out[0], 7);
	}
	assert_int_equal(pyaudit_place_index(atomic_load(&ring->tail[PYAUDIT_LANE_URGENT])), 3005);
	assert_int_equal(atomic_load(&ring->n_lost[PYAUDIT_LANE_URGENT]), 0);
	ring_free(ring);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_pushed_comes_out_whole_and_in_order),
		cmocka_unit_test(a_full_lane_counts_each_loss_and_recovers),
		cmocka_unit_test(an_ordinary_lane_is_as_large_as_it_is_told_to_be),
		cmocka_unit_test(the_sleeping_consumer_is_woken_by_exactly_one_push),
		cmocka_unit_test(a_ring_the_program_overwrote_costs_records_not_time),
		cmocka_unit_test(threads_lose_nothing_that_is_not_counted),
		cmocka_unit_test(a_producer_killed_at_any_step_stalls_nobody),
		cmocka_unit_test(an_old_hint_leads_to_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
