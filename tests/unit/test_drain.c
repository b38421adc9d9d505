/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The consumer against the agent's own producer, in threads and in processes that are killed, and
 * against rings that lie.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "drain.h"

#include "../../agent/ring.c"

#define N_THREADS 4
#define N_RECORDS 60000u /* of each */

struct ring {
	int fd;
	struct pyaudit_ring *map;
};

/* What the consumer got. */
struct got {
	uint64_t n_records[PYAUDIT_N_LANES], n_bad;
	uint32_t next[N_THREADS + 1];
	bool alive;
	unsigned n_alive_asked;
};

/* A record of the tests: a head whose tid is the thread, time_ns the number within it. */
struct test_record {
	struct pyaudit_record head;
	uint8_t filling[400];
};

static struct ring
ring_new(void)
{
	struct ring ring = {.fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING)};

	assert_true(ring.fd >= 0);
	assert_int_equal(ftruncate(ring.fd, RING_SIZE), 0);
	assert_int_equal(fcntl(ring.fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
	ring.map = mmap(NULL, RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd, 0);
	assert_ptr_not_equal(ring.map, MAP_FAILED);
	ring_format(ring.map);
	return ring;
}

static void
ring_free(struct ring *ring)
{
	(void)munmap(ring->map, RING_SIZE);
	(void)close(ring->fd);
}

static void
drain_new(struct drain *drain, const struct ring *ring)
{
	const char *why;

	assert_int_equal(drain_open(drain, ring->fd, &why), 0);
}

/* Puts the consumer onto the producers' own mapping: ThreadSanitizer knows one address only. The
 * drain is then not closed. */
static void
share_mapping(struct drain *drain, const struct ring *ring)
{
	drain_close(drain);
	drain_new(drain, ring);
	(void)munmap(drain->ring, drain->map_size);
	drain->ring = ring->map;
	for (unsigned i = 0; i < PYAUDIT_N_LANES; i++) {
		drain->lane[i].base = (uint8_t *)ring->map + ring->map->lane_offset[i];
		drain->lane[i].claims = (_Atomic uint64_t *)(void *)((char *)ring->map +
								      ring->map->claims_offset[i]);
	}
}

static bool
push(struct ring *ring, enum pyaudit_lane lane, uint32_t thread, uint32_t number)
{
	struct test_record record = {0};
	size_t size = sizeof(record.head) + number % sizeof(record.filling);
	struct ring_pushed pushed;

	record.head.size = pyaudit_le32_of((uint32_t)size);
	record.head.tid = pyaudit_le32_of(thread);
	record.head.time_ns = pyaudit_le64_of(number);
	memset(record.filling, (int)(number & 0xff), number % sizeof(record.filling));
	return ring_push(ring->map, lane, &record, size, thread + 1, &pushed);
}

static void
take_record(void *data, enum pyaudit_lane lane, uint64_t n, const uint8_t *bytes, size_t size)
{
	struct got *got = data;
	struct pyaudit_record head;
	uint32_t thread, number;

	got->n_records[lane]++;
	(void)n;
	memcpy(&head, bytes, sizeof(head));
	thread = pyaudit_get32(head.tid);
	number = (uint32_t)pyaudit_get64(head.time_ns);
	if (size != pyaudit_get32(head.size) || thread > N_THREADS ||
	    size != sizeof(head) + number % sizeof(((struct test_record *)0)->filling)) {
		got->n_bad++;
		return;
	}
	for (size_t i = sizeof(head); i < size; i++)
		if (bytes[i] != (number & 0xff)) {
			got->n_bad++;
			return;
		}
	if (number < got->next[thread])
		got->n_bad++; /* each thread's records keep their order */
	got->next[thread] = number + 1;
}

static bool
say_alive(void *data, uint32_t tid, uint64_t since_ns)
{
	struct got *got = data;

	(void)tid;
	(void)since_ns;
	got->n_alive_asked++;
	return got->alive;
}

static struct drain_calls
calls_to(struct got *got)
{
	return (struct drain_calls){.record = take_record, .alive = say_alive, .data = got};
}

static void
records_arrive_as_they_were_pushed(void **state)
{
	struct ring ring = ring_new();
	struct got got = {0};
	struct drain_calls calls = calls_to(&got);
	struct drain drain;

	(void)state;
	drain_new(&drain, &ring);
	assert_int_equal(drain_run(&drain, PYAUDIT_LANE_ORDINARY, 10, false, 0, &calls), DRAIN_EMPTY);
	/* Several laps, so that every kind of end of a lap is passed. */
	for (uint32_t i = 0; i < 20000; i++) {
		assert_true(push(&ring, PYAUDIT_LANE_ORDINARY, 0, i));
		if (i % 100 == 99) {
			assert_true(drain_pending(&drain));
			drain_all(&drain, PYAUDIT_LANE_ORDINARY, false, 0, &calls);
			assert_false(drain_pending(&drain));
		}
	}
	assert_int_equal(got.n_records[PYAUDIT_LANE_ORDINARY], 20000);
	assert_int_equal(got.n_bad, 0);
	drain_close(&drain);
	ring_free(&ring);
}

static void
a_budget_is_kept(void **state)
{
	struct ring ring = ring_new();
	struct got got = {0};
	struct drain_calls calls = calls_to(&got);
	struct drain drain;

	(void)state;
	drain_new(&drain, &ring);
	for (uint32_t i = 0; i < 100; i++)
		assert_true(push(&ring, PYAUDIT_LANE_URGENT, 0, i));
	assert_int_equal(drain_run(&drain, PYAUDIT_LANE_URGENT, 60, false, 0, &calls), DRAIN_BUDGET);
	assert_int_equal(got.n_records[PYAUDIT_LANE_URGENT], 60);
	assert_int_equal(drain_run(&drain, PYAUDIT_LANE_URGENT, 60, false, 0, &calls), DRAIN_EMPTY);
	assert_int_equal(got.n_records[PYAUDIT_LANE_URGENT], 100);
	drain_close(&drain);
	ring_free(&ring);
}

struct producer {
	struct ring *ring;
	uint32_t thread;
	uint64_t n_pushed;
};

static void *
produce(void *data)
{
	struct producer *producer = data;

	for (uint32_t i = 0; i < N_RECORDS; i++)
		producer->n_pushed += push(producer->ring, PYAUDIT_LANE_ORDINARY, producer->thread, i);
	return NULL;
}

static void
delivered_and_lost_add_up_under_threads(void **state)
{
	struct ring ring = ring_new();
	struct got got = {0};
	struct drain_calls calls = calls_to(&got);
	struct producer producers[N_THREADS];
	pthread_t threads[N_THREADS];
	struct drain_losses losses;
	uint64_t n_pushed = 0, n_lost = 0;
	struct drain drain;

	(void)state;
	drain_new(&drain, &ring);
	share_mapping(&drain, &ring);
	for (uint32_t i = 0; i < N_THREADS; i++) {
		producers[i] = (struct producer){.ring = &ring, .thread = i};
		assert_int_equal(pthread_create(&threads[i], NULL, produce, &producers[i]), 0);
	}
	while (got.n_records[PYAUDIT_LANE_ORDINARY] + n_lost < N_THREADS * N_RECORDS) {
		if (drain_run(&drain, PYAUDIT_LANE_ORDINARY, 1000, false, 1, &calls) != DRAIN_BUDGET)
			(void)sched_yield();
		losses = drain_take_losses(&drain, PYAUDIT_LANE_ORDINARY, false, NULL);
		n_lost += losses.n_full;
		assert_int_equal(losses.n_torn, 0);
		assert_int_equal(losses.n_corrupt, 0);
	}
	for (unsigned i = 0; i < N_THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		n_pushed += producers[i].n_pushed;
	}
	assert_int_equal(got.n_bad, 0);
	assert_int_equal(got.n_records[PYAUDIT_LANE_ORDINARY], n_pushed);
	assert_int_equal(n_pushed + n_lost, N_THREADS * N_RECORDS);
	assert_false(drain_pending(&drain));
	ring_free(&ring);
}

static void
a_full_lane_counts_and_leaves_the_other_alone(void **state)
{
	struct ring ring = ring_new();
	struct got got = {0};
	struct drain_calls calls = calls_to(&got);
	struct drain_losses losses;
	uint64_t n_pushed = 0, n_failed = 0;
	struct drain drain;

	(void)state;
	drain_new(&drain, &ring);
	for (uint32_t i = 0; i < 20000; i++) {
		bool ok = push(&ring, PYAUDIT_LANE_ORDINARY, 0, i);

		n_pushed += ok;
		n_failed += !ok;
	}
	assert_true(n_failed > 0);
	assert_true(push(&ring, PYAUDIT_LANE_URGENT, 1, 1));
	drain_all(&drain, PYAUDIT_LANE_URGENT, false, 0, &calls);
	assert_int_equal(got.n_records[PYAUDIT_LANE_URGENT], 1);
	drain_all(&drain, PYAUDIT_LANE_ORDINARY, false, 0, &calls);
	assert_int_equal(got.n_records[PYAUDIT_LANE_ORDINARY], n_pushed);
	losses = drain_take_losses(&drain, PYAUDIT_LANE_ORDINARY, false, NULL);
	assert_int_equal(losses.n_full, n_failed);
	losses = drain_take_losses(&drain, PYAUDIT_LANE_ORDINARY, false, NULL);
	assert_int_equal(losses.n_full, 0);
	drain_close(&drain);
	/* The next daemon tells them again, unless it finds that they were. */
	drain_new(&drain, &ring);
	assert_int_equal(drain_take_losses(&drain, PYAUDIT_LANE_ORDINARY, false, NULL).n_full, n_failed);
	drain_told(&drain, PYAUDIT_LANE_ORDINARY, n_failed);
	drain_close(&drain);
	drain_new(&drain, &ring);
	assert_int_equal(drain_take_losses(&drain, PYAUDIT_LANE_ORDINARY, false, NULL).n_full, 0);
	drain_close(&drain);
	ring_free(&ring);
}

/* Claims @n_words at the end as a thread would that dies before it commits. @moved: it got as far as
 * moving the head. */
static void
claim_and_die(struct ring *ring, enum pyaudit_lane which, uint32_t n_words, bool moved)
{
	struct lane lane = lane_of(ring->map, which);
	uint64_t head = atomic_load(lane.head);
	struct claimed claimed;
	bool half_full;

	atomic_fetch_add(&ring->map->n_tried[which], 1);
	assert_true(claim(&lane, n_words, 99, &claimed, &half_full));
	if (!moved)
		atomic_store(lane.head, head);
}

static void
a_dead_claim_is_stepped_over_and_counted(void **state)
{
	for (int moved = 0; moved < 2; moved++) {
		struct ring ring = ring_new();
		struct got got = {.alive = true};
		struct drain_calls calls = calls_to(&got);
		struct drain drain;

		(void)state;
		drain_new(&drain, &ring);
		assert_true(push(&ring, PYAUDIT_LANE_ORDINARY, 0, 1));
		claim_and_die(&ring, PYAUDIT_LANE_ORDINARY, 16, moved != 0);
		assert_true(push(&ring, PYAUDIT_LANE_ORDINARY, 0, 2));

		/* Not asked at once, and believed while it lives. */
		assert_int_equal(drain_run(&drain, PYAUDIT_LANE_ORDINARY, 9, false, 1, &calls),
				 DRAIN_STUCK);
		assert_int_equal(got.n_alive_asked, 0);
		assert_int_equal(drain_run(&drain, PYAUDIT_LANE_ORDINARY, 9, false,
					   2 + DRAIN_STUCK_NS, &calls),
				 DRAIN_STUCK);
		assert_int_equal(got.n_alive_asked, 1);
		got.alive = false;
		assert_int_equal(drain_run(&drain, PYAUDIT_LANE_ORDINARY, 9, false,
					   3 + DRAIN_STUCK_NS, &calls),
				 DRAIN_EMPTY);
		assert_int_equal(got.n_records[PYAUDIT_LANE_ORDINARY], 2);
		assert_int_equal(drain_take_losses(&drain, PYAUDIT_LANE_ORDINARY, false, NULL).n_torn, 1);
		/* The lane goes on, lap after lap. */
		for (uint32_t i = 3; i < 10000; i++) {
			assert_true(push(&ring, PYAUDIT_LANE_ORDINARY, 0, i));
			drain_all(&drain, PYAUDIT_LANE_ORDINARY, false, 0, &calls);
		}
		assert_int_equal(got.n_bad, 0);
		assert_int_equal(got.n_records[PYAUDIT_LANE_ORDINARY], 9999);
		drain_close(&drain);
		ring_free(&ring);
	}
}

static void
a_claim_before_the_head_moved_does_not_stop_the_lane(void **state)
{
	struct ring ring = ring_new();
	struct got got = {0};
	struct drain_calls calls = calls_to(&got);
	struct drain drain;

	(void)state;
	drain_new(&drain, &ring);
	claim_and_die(&ring, PYAUDIT_LANE_ORDINARY, 16, false);
	drain_all(&drain, PYAUDIT_LANE_ORDINARY, true, 0, &calls);
	assert_int_equal(drain_take_losses(&drain, PYAUDIT_LANE_ORDINARY, false, NULL).n_torn, 1);
	for (uint32_t i = 0; i < 10; i++)
		assert_true(push(&ring, PYAUDIT_LANE_ORDINARY, 0, i));
	drain_all(&drain, PYAUDIT_LANE_ORDINARY, false, 0, &calls);
	assert_int_equal(got.n_records[PYAUDIT_LANE_ORDINARY], 10);
	drain_close(&drain);
	ring_free(&ring);
}

static void
a_killed_process_leaves_what_it_recorded(void **state)
{
	struct ring ring = ring_new();
	struct got got = {0};
	struct drain_calls calls = calls_to(&got);
	_Atomic uint32_t *n_pushed = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
					  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct drain_losses losses;
	struct drain drain;
	uint64_t n_all;
	pid_t child;

	(void)state;
	assert_ptr_not_equal(n_pushed, MAP_FAILED);
	drain_new(&drain, &ring);
	child = fork();
	if (child == 0) {
		for (uint32_t i = 0;; i++) {
			(void)push(&ring, PYAUDIT_LANE_ORDINARY, 0, i);
			atomic_store(n_pushed, i + 1);
		}
	}
	while (atomic_load(n_pushed) < 5000)
		(void)drain_run(&drain, PYAUDIT_LANE_ORDINARY, 1000, false, 0, &calls);
	(void)kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
	drain_all(&drain, PYAUDIT_LANE_ORDINARY, true, 0, &calls);
	losses = drain_take_losses(&drain, PYAUDIT_LANE_ORDINARY, true, NULL);
	n_all = got.n_records[PYAUDIT_LANE_ORDINARY] + losses.n_full + losses.n_torn;
	/* To the attempt; the last one may not have been counted by the child. */
	assert_int_equal(n_all, atomic_load(&ring.map->n_tried[PYAUDIT_LANE_ORDINARY]));
	assert_in_range(n_all, atomic_load(n_pushed), atomic_load(n_pushed) + 1);
	assert_int_equal(got.n_bad, 0);
	drain_close(&drain);
	(void)munmap((void *)(uintptr_t)n_pushed, 4096);
	ring_free(&ring);
}

static void
the_next_daemon_goes_on_where_the_last_one_was_killed(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 20; round++) {
		struct ring ring = ring_new();
		struct got got = {0};
		struct drain_calls calls = calls_to(&got);
		struct lane lane = lane_of(ring.map, PYAUDIT_LANE_ORDINARY);
		uint64_t n_pushed = 0, n_released;
		struct drain drain;
		pid_t child;

		for (uint32_t i = 0; i < 1500; i++)
			n_pushed += push(&ring, PYAUDIT_LANE_ORDINARY, 0, i);
		child = fork();
		if (child == 0) { /* a daemon, killed somewhere */
			struct drain first;

			drain_new(&first, &ring);
			drain_all(&first, PYAUDIT_LANE_ORDINARY, false, 0, &calls);
			for (;;)
				(void)pause();
		}
		while (atomic_load(&ring.map->tail[PYAUDIT_LANE_ORDINARY]) == 0)
			(void)sched_yield();
		(void)kill(child, SIGKILL);
		assert_int_equal(waitpid(child, NULL, 0), child);
		n_released = pyaudit_place_index(atomic_load(lane.tail));
		drain_new(&drain, &ring);
		drain_all(&drain, PYAUDIT_LANE_ORDINARY, false, 0, &calls);
		/* All that was not released, each of them whole. */
		assert_int_equal(got.n_records[PYAUDIT_LANE_ORDINARY], n_pushed - n_released);
		assert_int_equal(got.n_bad, 0);
		for (uint32_t i = 0; i < lane.n_claims; i++)
			assert_int_equal(atomic_load(&lane.claims[i]) & PYAUDIT_CLAIM_STATE,
					 PYAUDIT_CLAIM_FREE);
		/* And the ring is as good as new. */
		got = (struct got){0};
		for (uint32_t i = 0; i < 10000; i++) {
			assert_true(push(&ring, PYAUDIT_LANE_ORDINARY, 0, i));
			drain_all(&drain, PYAUDIT_LANE_ORDINARY, false, 0, &calls);
		}
		assert_int_equal(got.n_records[PYAUDIT_LANE_ORDINARY], 10000);
		assert_int_equal(got.n_bad, 0);
		drain_close(&drain);
		ring_free(&ring);
	}
}

static void
what_is_held_is_read_again_by_the_next_daemon(void **state)
{
	struct ring ring = ring_new();
	struct got got = {.alive = false};
	struct drain_calls calls = calls_to(&got);
	struct drain_mark mark;
	struct drain drain;

	(void)state;
	calls.hold = true;
	drain_new(&drain, &ring);
	for (uint32_t i = 0; i < 10; i++)
		assert_true(push(&ring, PYAUDIT_LANE_ORDINARY, 0, i));
	claim_and_die(&ring, PYAUDIT_LANE_ORDINARY, 16, true);
	for (uint32_t i = 10; i < 20; i++)
		assert_true(push(&ring, PYAUDIT_LANE_ORDINARY, 0, i));
	drain_all(&drain, PYAUDIT_LANE_ORDINARY, true, 0, &calls);
	assert_int_equal(got.n_records[PYAUDIT_LANE_ORDINARY], 20);
	assert_int_equal(drain_take_losses(&drain, PYAUDIT_LANE_ORDINARY, false, NULL).n_torn, 1);
	drain_close(&drain);

	got = (struct got){0};
	drain_new(&drain, &ring);
	drain_run(&drain, PYAUDIT_LANE_ORDINARY, 12, false, 0, &calls);
	mark = drain_mark(&drain, PYAUDIT_LANE_ORDINARY);
	assert_int_equal(mark.n_torn, 1);
	drain_all(&drain, PYAUDIT_LANE_ORDINARY, false, 0, &calls);
	assert_int_equal(got.n_records[PYAUDIT_LANE_ORDINARY], 20);
	drain_release(&drain, PYAUDIT_LANE_ORDINARY, &mark);
	drain_close(&drain);

	/* The torn one is before the mark: told, and not to be told again. */
	got = (struct got){.next[0] = 11};
	drain_new(&drain, &ring);
	drain_all(&drain, PYAUDIT_LANE_ORDINARY, false, 0, &calls);
	assert_int_equal(got.n_records[PYAUDIT_LANE_ORDINARY], 9);
	assert_int_equal(got.n_bad, 0);
	assert_int_equal(drain_take_losses(&drain, PYAUDIT_LANE_ORDINARY, true, NULL).n_torn, 0);
	drain_close(&drain);
	ring_free(&ring);
}

/* Nothing is released: the lane fills, by bytes or by claims, and no record is read twice. */
static void
a_lane_that_is_held_fills_and_goes_on(void **state)
{
	static const uint32_t lengths[] = {0, 399};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct ring ring = ring_new();
		struct got got = {0};
		struct drain_calls calls = calls_to(&got);
		uint64_t n_pushed = 0;
		struct drain_mark mark;
		struct drain drain;

		calls.hold = true;
		drain_new(&drain, &ring);
		for (uint32_t lap = 0; lap < 5; lap++) {
			for (unsigned n = 0; n < 10000; n++) {
				got.next[0] = 0;
				n_pushed += push(&ring, PYAUDIT_LANE_ORDINARY, 0, lengths[i]);
				if (n % 10 == 0)
					drain_all(&drain, PYAUDIT_LANE_ORDINARY, false, 0, &calls);
			}
			drain_all(&drain, PYAUDIT_LANE_ORDINARY, false, 0, &calls);
			assert_false(drain_pending(&drain));
			assert_int_equal(got.n_records[PYAUDIT_LANE_ORDINARY], n_pushed);
			mark = drain_mark(&drain, PYAUDIT_LANE_ORDINARY);
			drain_release(&drain, PYAUDIT_LANE_ORDINARY, &mark);
		}
		assert_int_equal(n_pushed + atomic_load(&ring.map->n_lost[0]), 50000);
		drain_close(&drain);
		ring_free(&ring);
	}
}

static void
a_copied_ring_is_not_read_twice(void **state)
{
	struct ring old = ring_new(), new = ring_new();
	struct got got = {0};
	struct drain_calls calls = calls_to(&got);
	struct drain from, to;

	(void)state;
	drain_new(&from, &old);
	for (uint32_t i = 0; i < 100; i++)
		assert_true(push(&old, PYAUDIT_LANE_ORDINARY, 0, i));
	memcpy(new.map, old.map, RING_SIZE);
	drain_run(&from, PYAUDIT_LANE_ORDINARY, 60, false, 0, &calls);
	drain_new(&to, &new);
	drain_adopt(&to, &from);
	drain_all(&to, PYAUDIT_LANE_ORDINARY, false, 0, &calls);
	assert_int_equal(got.n_records[PYAUDIT_LANE_ORDINARY], 100);
	for (uint32_t i = 100; i < 6000; i++) {
		assert_true(push(&new, PYAUDIT_LANE_ORDINARY, 0, i));
		drain_all(&to, PYAUDIT_LANE_ORDINARY, false, 0, &calls);
	}
	assert_int_equal(got.n_records[PYAUDIT_LANE_ORDINARY], 6000);
	assert_int_equal(got.n_bad, 0);
	drain_close(&from);
	drain_close(&to);
	ring_free(&old);
	ring_free(&new);
}

static void
lies_about_claims_end_the_lane_and_nothing_else(void **state)
{
	static const struct {
		uint64_t lap;
		uint32_t n_words, state;
	} lies[] = {
		{0, 0, PYAUDIT_CLAIM_COMMITTED},
		{0, 1, PYAUDIT_CLAIM_COMMITTED},
		{0, 0, PYAUDIT_CLAIM_TORN},
		{0, DRAIN_PAYLOAD_MAX / 8 + 1, PYAUDIT_CLAIM_COMMITTED},
		{0, DRAIN_PAYLOAD_MAX / 8 + 1, PYAUDIT_CLAIM_CLAIMED},
		{0, 8, PYAUDIT_CLAIM_FREE},
		{1, 8, PYAUDIT_CLAIM_COMMITTED},
		{PYAUDIT_CLAIM_LAP_MASK, 8, PYAUDIT_CLAIM_COMMITTED},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct ring ring = ring_new();
		struct got got = {0};
		struct drain_calls calls = calls_to(&got);
		struct lane lane = lane_of(ring.map, PYAUDIT_LANE_ORDINARY);
		struct drain drain;

		drain_new(&drain, &ring);
		atomic_store(&lane.claims[0],
			     pyaudit_claim_make(lies[i].lap << PYAUDIT_CLAIM_LAP_SHIFT, 5,
						lies[i].n_words, lies[i].state));
		assert_int_equal(drain_run(&drain, PYAUDIT_LANE_ORDINARY, 5, true, 0, &calls),
				 DRAIN_BROKEN);
		drain_all(&drain, PYAUDIT_LANE_ORDINARY, true, 0, &calls);
		assert_int_equal(
			drain_take_losses(&drain, PYAUDIT_LANE_ORDINARY, false, NULL).n_corrupt, 1);
		/* At the end it is known how many were lost by that. */
		atomic_store(&ring.map->n_tried[PYAUDIT_LANE_ORDINARY], 7);
		assert_int_equal(
			drain_take_losses(&drain, PYAUDIT_LANE_ORDINARY, true, NULL).n_corrupt, 6);
		assert_false(drain_pending(&drain));
		assert_true(push(&ring, PYAUDIT_LANE_URGENT, 0, 1));
		drain_all(&drain, PYAUDIT_LANE_URGENT, true, 0, &calls);
		assert_int_equal(got.n_records[PYAUDIT_LANE_URGENT], 1);
		drain_close(&drain);
		ring_free(&ring);
	}
}

static void
noise_in_the_ring_is_survived(void **state)
{
	(void)state;
	srandom(1);
	for (unsigned round = 0; round < 200; round++) {
		struct ring ring = ring_new();
		struct got got = {0};
		struct drain_calls calls = calls_to(&got);
		struct drain drain;

		for (unsigned i = 0; i < 2000; i++)
			((uint8_t *)ring.map)[64 + (size_t)random() % (RING_SIZE - 64)] =
				(uint8_t)random();
		drain_new(&drain, &ring);
		for (unsigned lane = 0; lane < PYAUDIT_N_LANES; lane++) {
			drain_all(&drain, lane, round % 2 == 0, round, &calls);
			(void)drain_take_losses(&drain, lane, false, NULL);
		}
		(void)drain_sleep(&drain);
		drain_close(&drain);
		ring_free(&ring);
	}
}

static void
rings_that_are_not_right_are_refused(void **state)
{
	struct ring ring = ring_new();
	struct drain drain;
	const char *why;
	int fd = memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	(void)state;
	assert_int_equal(ftruncate(fd, RING_SIZE), 0);
	assert_int_equal(drain_open(&drain, fd, &why), -EPERM);
	(void)close(fd);
	fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
	assert_int_equal(drain_open(&drain, fd, &why), -EPERM);
	(void)close(fd);

	ring.map->magic++;
	assert_int_equal(drain_open(&drain, ring.fd, &why), -EPROTO);
	ring_format(ring.map);
	ring.map->lane_size[0] += 8;
	assert_int_equal(drain_open(&drain, ring.fd, &why), -EBADMSG);
	ring_format(ring.map);
	ring.map->lane_size[0] *= 2; /* beyond the file */
	assert_int_equal(drain_open(&drain, ring.fd, &why), -EBADMSG);
	ring_format(ring.map);
	ring.map->lane_size[1] = UINT32_C(1) << 31;
	assert_int_equal(drain_open(&drain, ring.fd, &why), -EBADMSG);
	ring_format(ring.map);
	ring.map->lane_offset[1] = PYAUDIT_RING_HEADER; /* over the other */
	assert_int_equal(drain_open(&drain, ring.fd, &why), -EBADMSG);
	ring_format(ring.map);
	ring.map->lane_offset[0] = 0; /* over the header */
	assert_int_equal(drain_open(&drain, ring.fd, &why), -EBADMSG);
	ring_format(ring.map);
	assert_int_equal(drain_open(&drain, ring.fd, &why), 0);
	drain_close(&drain);
	ring.map->n_claims[0] = 0;
	assert_int_equal(drain_open(&drain, ring.fd, &why), -EBADMSG);
	ring.map->n_claims[0] = 100;
	assert_int_equal(drain_open(&drain, ring.fd, &why), -EBADMSG);
	ring_format(ring.map);
	ring.map->claims_offset[0] = 0; /* over the header */
	assert_int_equal(drain_open(&drain, ring.fd, &why), -EBADMSG);
	ring_format(ring.map);
	/* A tail that cannot be: somewhere in a later lap, where nothing makes sense. */
	assert_true(push(&ring, PYAUDIT_LANE_ORDINARY, 0, 1));
	atomic_store(&ring.map->tail[0], pyaudit_place_make(UINT64_C(1) << 39, 8));
	drain_new(&drain, &ring);
	assert_int_equal(drain_run(&drain, PYAUDIT_LANE_ORDINARY, 9, false, 0,
				   &(struct drain_calls){.record = take_record}),
			 DRAIN_BROKEN);
	assert_int_equal(drain_take_losses(&drain, PYAUDIT_LANE_ORDINARY, false, NULL).n_corrupt, 1);
	drain_close(&drain);
	ring_free(&ring);
}

static void
falling_asleep_looks_once_more(void **state)
{
	struct ring ring = ring_new();
	struct got got = {0};
	struct drain_calls calls = calls_to(&got);
	struct test_record record = {.head = {.size = pyaudit_le32_of(sizeof(record.head))}};
	struct ring_pushed pushed;
	struct drain drain;

	(void)state;
	drain_new(&drain, &ring);
	assert_true(push(&ring, PYAUDIT_LANE_ORDINARY, 0, 0));
	assert_false(drain_sleep(&drain));
	assert_int_equal(atomic_load(&ring.map->asleep), 0);
	drain_all(&drain, PYAUDIT_LANE_ORDINARY, false, 0, &calls);
	assert_true(drain_sleep(&drain));
	assert_true(ring_push(ring.map, PYAUDIT_LANE_URGENT, &record, sizeof(record.head), 1, &pushed));
	assert_int_equal(pushed.index, 0);
	assert_true(pushed.wake); /* and only the first one wakes */
	assert_true(ring_push(ring.map, PYAUDIT_LANE_URGENT, &record, sizeof(record.head), 1, &pushed));
	assert_int_equal(pushed.index, 1);
	assert_false(pushed.wake);
	drain_close(&drain);
	ring_free(&ring);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_arrive_as_they_were_pushed),
		cmocka_unit_test(a_budget_is_kept),
		cmocka_unit_test(delivered_and_lost_add_up_under_threads),
		cmocka_unit_test(a_full_lane_counts_and_leaves_the_other_alone),
		cmocka_unit_test(a_dead_claim_is_stepped_over_and_counted),
		cmocka_unit_test(a_claim_before_the_head_moved_does_not_stop_the_lane),
		cmocka_unit_test(a_killed_process_leaves_what_it_recorded),
		cmocka_unit_test(the_next_daemon_goes_on_where_the_last_one_was_killed),
		cmocka_unit_test(what_is_held_is_read_again_by_the_next_daemon),
		cmocka_unit_test(a_lane_that_is_held_fills_and_goes_on),
		cmocka_unit_test(a_copied_ring_is_not_read_twice),
		cmocka_unit_test(lies_about_claims_end_the_lane_and_nothing_else),
		cmocka_unit_test(noise_in_the_ring_is_survived),
		cmocka_unit_test(rings_that_are_not_right_are_refused),
		cmocka_unit_test(falling_asleep_looks_once_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
