/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every interleaving of small cases, run through the code that ships: agent/ring.c and
 * daemon/lib/drain.c are compiled in with their atomic operations replaced by ones that ask a
 * scheduler. Memory is sequentially consistent here; what the orders in ring.h are for is left to
 * their comments and to ThreadSanitizer.
 *
 * A thread is a function of what its steps returned. To take its next step it is run from its
 * beginning, with the results of its earlier steps read from its history and without their effects,
 * and left by longjmp behind the new one. So a state is the ring's memory and the histories; those seen
 * before are not gone into again. From each state, each thread may take a step, and as far as the
 * case allows it one of them may die there, for good (a producer) or to begin anew (the daemon).
 *
 * At the end of each path the ring is looked at by a last daemon that knows who is dead:
 *   - each record whose push returned true was delivered, whole; and none twice, but where a daemon
 *     died between reading and releasing it;
 *   - each attempt is delivered, counted in n_lost or counted as torn, and no torn one is counted twice;
 *   - nothing stands in the ring, and the next pushes, for two laps, are taken and delivered.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum op {
	OP_LOAD,
	OP_STORE,
	OP_ADD,
	OP_SWAP,
	OP_CAS, /* returns whether, and what was there */
	OP_COPY,
	OP_ASK,
};

static uint64_t step(enum op op, void *at, size_t size, uint64_t value, uint64_t expected);
static bool cas(void *at, uint64_t *expected, uint64_t value);
static void copy(void *to, const void *from, size_t size);

#undef atomic_load
#undef atomic_store
#undef atomic_exchange
#undef atomic_load_explicit
#undef atomic_store_explicit
#undef atomic_fetch_add_explicit
#undef atomic_compare_exchange_strong_explicit
#define ANY(p) ((void *)(uintptr_t)(p))
#define atomic_load(p) step(OP_LOAD, ANY(p), sizeof(*(p)), 0, 0)
#define atomic_load_explicit(p, order) atomic_load(p)
#define atomic_store(p, v) ((void)step(OP_STORE, ANY(p), sizeof(*(p)), (uint64_t)(v), 0))
#define atomic_store_explicit(p, v, order) atomic_store(p, v)
#define atomic_exchange(p, v) step(OP_SWAP, ANY(p), sizeof(*(p)), (uint64_t)(v), 0)
#define atomic_fetch_add_explicit(p, v, order) step(OP_ADD, ANY(p), sizeof(*(p)), (uint64_t)(v), 0)
#define atomic_compare_exchange_strong_explicit(p, e, v, yes, no) cas(ANY(p), e, v)

/* A ring of 4 claims and 8 words in each lane. Records of the model are one word or three. */
#include "pyaudit/ring.h"
#undef PYAUDIT_RING_HEADER
#undef PYAUDIT_LANE_ORDINARY_DEFAULT
#undef PYAUDIT_LANE_URGENT_DEFAULT
#undef PYAUDIT_LANE_PER_CLAIM
#define PYAUDIT_RING_HEADER 320
#define PYAUDIT_LANE_ORDINARY_DEFAULT 64u
#define PYAUDIT_LANE_URGENT_DEFAULT 64u
#define PYAUDIT_LANE_PER_CLAIM 16u
#define N_CLAIMS 4

#define claim_at ring_claim_at
#define memcpy(to, from, size) copy(to, from, size)
#include "../../agent/ring.c"
#undef memcpy
#undef claim_at
#undef WORD
#include "../../daemon/lib/drain.c"

#define THREADS_MAX 4
#define CONSUMER (THREADS_MAX - 1)
#define STEPS_MAX 120
#define PUSHES_MAX 3
#define RECORDS_MAX (THREADS_MAX * PUSHES_MAX)

/* What is known of the records, beside the ring. */
struct facts {
	uint8_t n_delivered[RECORDS_MAX]; /* how often */
	bool was_pushed[RECORDS_MAX];     /* ring_push returned true */
	bool is_torn, is_twice;           /* delivered, but not whole; twice without need */
	uint8_t n_daemons;                /* that died */
	uint8_t n_killed;
	uint8_t last, n_switches; /* where they are counted */
};

struct thread {
	uint8_t n_steps; /* taken */
	bool is_done, is_dead;
	uint64_t result[STEPS_MAX];
};

struct state {
	union {
		struct pyaudit_ring head;
		char bytes[RING_SIZE];
	} ring;
	struct facts facts;
	struct thread thread[THREADS_MAX]; /* the last is the consumer */
};

struct model {
	unsigned n_pushes[CONSUMER]; /* of each producer; 0: there is none */
	unsigned n_drains;  /* of the daemon */
	unsigned n_long;    /* pushes of a producer that are three words, the first ones */
	unsigned kills_max; /* producers */
	unsigned daemons_max;
	unsigned switches_max; /* 0: any number. Steps that a thread takes, another one having been
				* at it that could have gone on */
	bool hold;
};

static struct model model;
static struct state now;
static unsigned running; /* thread */
static unsigned at_step; /* of it */
static bool is_free;     /* no scheduler: every step is taken */
static jmp_buf out;
static uint64_t n_states, n_ends;

/* Steps */

static uint64_t
load(const void *at, size_t size)
{
	uint32_t half;
	uint64_t whole;

	if (size == sizeof(half)) {
		memcpy(&half, at, sizeof(half));
		return half;
	}
	memcpy(&whole, at, sizeof(whole));
	return whole;
}

static uint64_t
do_step(enum op op, void *at, size_t size, uint64_t value, uint64_t expected)
{
	uint64_t before = op == OP_COPY || op == OP_ASK ? 0 : load(at, size);
	uint64_t after = op == OP_ADD ? before + value : value;

	if (op == OP_ASK)
		return now.thread[value - 1].is_dead;
	if (op != OP_LOAD && op != OP_COPY && (op != OP_CAS || before == expected))
		memcpy(at, &after, size);
	return before;
}

/* Whether the step at hand is one of the past; then its result. */
static bool
is_past(uint64_t *ret)
{
	if (is_free || at_step >= now.thread[running].n_steps)
		return false;
	*ret = now.thread[running].result[at_step++];
	return true;
}

static void
note(uint64_t result)
{
	struct thread *thread = &now.thread[running];

	if (is_free)
		return;
	if (thread->n_steps == STEPS_MAX)
		fail_msg("a thread does not come to an end");
	thread->result[thread->n_steps++] = result;
	longjmp(out, 1);
}

static uint64_t
step(enum op op, void *at, size_t size, uint64_t value, uint64_t expected)
{
	uint64_t result;

	/* What only its own thread knows is no step. */
	if ((char *)at < now.ring.bytes || (char *)at >= now.ring.bytes + sizeof(now.ring.bytes))
		if (op != OP_ASK)
			abort();
	if (is_past(&result))
		return result;
	result = do_step(op, at, size, value, expected);
	note(result);
	return result;
}

static bool
cas(void *at, uint64_t *expected, uint64_t value)
{
	uint64_t found = step(OP_CAS, at, sizeof(uint64_t), value, *expected);

	if (found == *expected)
		return true;
	*expected = found;
	return false;
}

/* Payload is written in two steps, so that half a record can be seen. */
static void
copy(void *to, const void *from, size_t size)
{
	uint64_t result;

	for (size_t i = 0; i < size; i += 8) {
		if (is_past(&result))
			continue;
		memcpy((char *)to + i, (const char *)from + i, 8);
		note(0);
	}
}

/* Threads */

static void
producer(unsigned n)
{
	for (unsigned i = 0; i < model.n_pushes[n]; i++) {
		uint64_t which = n * PUSHES_MAX + i, record[3] = {which << 32 | 24, which, which};
		struct ring_pushed pushed;
		bool ok;

		if (i >= model.n_long)
			record[0] = which << 32 | 8;
		ok = ring_push(&now.ring.head, PYAUDIT_LANE_ORDINARY, record,
			       i < model.n_long ? 24 : 8, n + 1, &pushed);
		if (!is_free && at_step == now.thread[n].n_steps)
			now.facts.was_pushed[which] = ok;
	}
}

static void
take(void *data, enum pyaudit_lane lane, uint64_t number, const uint8_t *bytes, size_t size)
{
	const unsigned *n_before = data;
	uint64_t words[3] = {0};
	unsigned which;

	(void)lane;
	(void)number;
	memcpy(words, bytes, size < 24 ? size : 24);
	which = (unsigned)(words[0] >> 32);
	/* Said once, not in each replay of it. */
	if (!is_free && (*n_before != 0 || at_step != now.thread[running].n_steps))
		return;
	if (which >= RECORDS_MAX || size != (uint32_t)words[0] ||
	    (size == 24 && (words[1] != which || words[2] != which))) {
		now.facts.is_torn = true;
		return;
	}
	now.facts.n_delivered[which]++;
}

static bool
is_alive(void *data, uint32_t tid, uint64_t since_ns)
{
	uint64_t result;

	(void)data;
	(void)since_ns;
	if (is_past(&result))
		return result == 0;
	result = do_step(OP_ASK, NULL, 0, tid, 0);
	note(result);
	return result == 0;
}

static void
drain_on(struct drain *drain)
{
	*drain = (struct drain){.ring = &now.ring.head, .map_size = sizeof(now.ring.bytes)};
	for (unsigned i = 0; i < PYAUDIT_N_LANES; i++) {
		struct drain_lane *lane = &drain->lane[i];

		lane->base = (uint8_t *)now.ring.bytes + layouts[i].bytes;
		lane->claims = ANY(now.ring.bytes + layouts[i].claims);
		lane->n_words = layouts[i].size / 8;
		lane->n_claims = layouts[i].n_claims;
	}
	take_up(drain, PYAUDIT_LANE_ORDINARY);
}

static void
consumer(void)
{
	unsigned n_before = 0;
	struct drain_calls calls = {.record = take, .alive = is_alive, .data = &n_before,
				    .hold = model.hold};
	struct drain_mark mark;
	struct drain drain;

	drain_on(&drain);
	for (unsigned i = 0; i < model.n_drains; i++) {
		/* Long enough ago to be looked for. */
		(void)drain_run(&drain, PYAUDIT_LANE_ORDINARY, N_CLAIMS, false, 1 + i * 2ull * DRAIN_STUCK_NS,
				&calls);
		mark = drain_mark(&drain, PYAUDIT_LANE_ORDINARY);
		drain_release(&drain, PYAUDIT_LANE_ORDINARY, &mark);
	}
}

/* Takes the next step of a thread, or finds that it has ended. */
static void
advance(unsigned n)
{
	running = n;
	at_step = 0;
	if (setjmp(out) != 0)
		return;
	if (n == CONSUMER)
		consumer();
	else
		producer(n);
	now.thread[n].is_done = true;
}

/* The end of a path */

static uint64_t
n_torn_of(const struct drain *drain)
{
	struct drain copy_of = *drain;
	struct drain_losses total;

	(void)drain_take_losses(&copy_of, PYAUDIT_LANE_ORDINARY, true, &total);
	return total.n_torn;
}

static void
check_end(void)
{
	const struct state saved = now;
	unsigned n_before = 0, n_delivered = 0;
	struct drain_calls calls = {.record = take, .alive = is_alive, .data = &n_before};
	struct pyaudit_ring *ring = &now.ring.head;
	uint64_t n_all, record = UINT64_C(0) << 32 | 8;
	struct drain drain;
	struct ring_pushed pushed;

	n_ends++;
	is_free = true;
	drain_on(&drain);
	drain_all(&drain, PYAUDIT_LANE_ORDINARY, true, 0, &calls);
	assert_false(now.facts.is_torn);
	for (unsigned i = 0; i < RECORDS_MAX; i++) {
		n_delivered += now.facts.n_delivered[i] > 0;
		if (now.facts.was_pushed[i])
			assert_true(now.facts.n_delivered[i] > 0);
		if (now.facts.n_daemons == 0)
			assert_true(now.facts.n_delivered[i] <= 1);
		assert_true(now.facts.n_delivered[i] <= 1 + now.facts.n_daemons);
	}
	n_all = n_delivered + atomic_load(&ring->n_lost[0]) + n_torn_of(&drain);
	assert_int_equal(n_all, atomic_load(&ring->n_tried[0]));
	assert_true(n_torn_of(&drain) <= now.facts.n_killed);
	assert_false(drain_pending(&drain));
	/* And on it goes. */
	for (unsigned i = 0; i < 2 * N_CLAIMS; i++) {
		uint8_t before = now.facts.n_delivered[0];

		assert_true(ring_push(ring, PYAUDIT_LANE_ORDINARY, &record, 8, 9, &pushed));
		drain_all(&drain, PYAUDIT_LANE_ORDINARY, false, 0, &calls);
		assert_int_equal(now.facts.n_delivered[0], before + 1);
	}
	is_free = false;
	now = saved;
}

/* States that were seen: an open hash of their 128-bit digests. */

#define SEEN_SIZE (1u << 22)
static struct digest {
	uint64_t a, b;
} *seen;

static void
mix(struct digest *digest, uint64_t word)
{
	digest->a = (digest->a ^ word) * UINT64_C(0x9e3779b97f4a7c15);
	digest->a ^= digest->a >> 29;
	digest->b = (digest->b + word) * UINT64_C(0xd6e8feb86659fd93);
	digest->b ^= digest->b >> 32;
}

static struct digest
digest_of(const struct state *state)
{
	struct digest digest = {1, 2};
	uint64_t word;

	for (size_t i = 0; i + 8 <= offsetof(struct state, thread); i += 8) {
		memcpy(&word, (const char *)state + i, 8);
		mix(&digest, word);
	}
	for (unsigned t = 0; t < THREADS_MAX; t++) {
		const struct thread *thread = &state->thread[t];

		mix(&digest, thread->n_steps | (uint64_t)thread->is_done << 8 |
				     (uint64_t)thread->is_dead << 9);
		/* The past of one that takes no more steps is of no interest. */
		for (unsigned i = 0; !thread->is_done && !thread->is_dead && i < thread->n_steps; i++)
			mix(&digest, thread->result[i]);
	}
	return digest;
}

static bool
is_seen(const struct state *state)
{
	struct digest digest = digest_of(state);
	uint64_t at = digest.a;

	for (;; at++) {
		struct digest *slot = &seen[at & (SEEN_SIZE - 1)];

		if (slot->a == digest.a && slot->b == digest.b)
			return true;
		if (slot->a == 0 && slot->b == 0) {
			*slot = digest;
			if (++n_states > SEEN_SIZE / 4 * 3)
				fail_msg("too many states");
			return false;
		}
	}
}

static void
copy_state(struct state *to, const struct state *from)
{
	memcpy(to, from, offsetof(struct state, thread));
	for (unsigned t = 0; t < THREADS_MAX; t++)
		memcpy(&to->thread[t], &from->thread[t],
		       offsetof(struct thread, result) +
			       from->thread[t].n_steps * sizeof(from->thread[t].result[0]));
}

/* Goes over to thread @t. False: the case allows no more of that. */
static bool
switch_to(unsigned t)
{
	const struct thread *last = &now.thread[now.facts.last];

	if (model.switches_max == 0)
		return true;
	if (t != now.facts.last && last->n_steps > 0 && !last->is_done && !last->is_dead)
		now.facts.n_switches++;
	now.facts.last = (uint8_t)t;
	return now.facts.n_switches <= model.switches_max;
}

static void
explore(void)
{
	struct state *here;
	bool is_end = true;

	if (is_seen(&now))
		return;
	here = malloc(sizeof(*here));
	assert_non_null(here);
	copy_state(here, &now);
	for (unsigned t = 0; t < THREADS_MAX; t++) {
		if ((t != CONSUMER && model.n_pushes[t] == 0) || here->thread[t].is_done ||
		    here->thread[t].is_dead)
			continue;
		is_end = false;
		if (switch_to(t)) {
			advance(t);
			explore();
		}
		copy_state(&now, here);
		if (t != CONSUMER && now.facts.n_killed < model.kills_max) {
			now.thread[t].is_dead = true;
			now.facts.n_killed++;
			explore();
			copy_state(&now, here);
		}
		if (t == CONSUMER && now.facts.n_daemons < model.daemons_max && now.thread[t].n_steps > 0) {
			now.thread[t] = (struct thread){0};
			now.facts.n_daemons++;
			explore();
			copy_state(&now, here);
		}
	}
	if (is_end)
		check_end();
	free(here);
}

static void
explore_model(const struct model *wanted)
{
	memset(&now, 0, sizeof(now));
	model = *wanted;
	ring_format(&now.ring.head);
	n_states = n_ends = 0;
	seen = calloc(SEEN_SIZE, sizeof(*seen));
	assert_non_null(seen);
	explore();
	print_message("%llu states, %llu ends\n", (unsigned long long)n_states,
		      (unsigned long long)n_ends);
	free(seen);
}

static void
two_producers_and_a_death(void **state)
{
	(void)state;
	explore_model(&(struct model){.n_pushes = {1, 1}, .n_drains = 2, .kills_max = 1});
}

/* Five words and five: the second does not fit, or only once the first was read; the third
 * stands at the beginning of the next lap. */
static void
two_producers_fill_the_lane(void **state)
{
	(void)state;
	explore_model(&(struct model){.n_pushes = {2, 1}, .n_long = 1, .n_drains = 1,
				      .switches_max = 3});
}

static void
a_daemon_dies_and_the_next_goes_on(void **state)
{
	(void)state;
	explore_model(&(struct model){.n_pushes = {2}, .n_long = 1, .n_drains = 2, .kills_max = 1,
				      .daemons_max = 2});
}

static void
a_holding_daemon_dies_and_the_next_goes_on(void **state)
{
	(void)state;
	explore_model(&(struct model){.n_pushes = {2}, .n_drains = 1, .kills_max = 1,
				      .daemons_max = 1, .hold = true});
}

static void
three_producers(void **state)
{
	(void)state;
	explore_model(&(struct model){.n_pushes = {1, 1, 1}, .n_drains = 0,
				      .switches_max = 2});
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_producers_and_a_death),
		cmocka_unit_test(two_producers_fill_the_lane),
		cmocka_unit_test(a_daemon_dies_and_the_next_goes_on),
		cmocka_unit_test(a_holding_daemon_dies_and_the_next_goes_on),
		cmocka_unit_test(three_producers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
