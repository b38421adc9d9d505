/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "memo.h"

static uint32_t policy = 1; /* each test has its own: the table is the process's */

static struct memo_key
key_of(const struct pyaudit_value *values, unsigned n)
{
	struct memo_key key;

	assert_true(memo_key(&key, policy, PYAUDIT_EV_OPEN, values, n));
	return key;
}

static void
remember(const struct pyaudit_value *values, unsigned n)
{
	struct memo_key key = key_of(values, n);

	memo_add(&key);
	assert_false(memo_has(&key)); /* once is not enough */
	memo_add(&key);
	assert_true(memo_has(&key));
}

static bool
has(const struct pyaudit_value *values, unsigned n)
{
	struct memo_key key = key_of(values, n);

	return memo_has(&key);
}

static void
what_came_twice_is_remembered_whatever_its_length(void **state)
{
	char text[MEMO_ENTRY_SIZE];
	struct memo_key key;
	size_t len;

	(void)state;
	policy++;
	memset(text, 'x', sizeof(text));
	for (len = 0; len < sizeof(text); len++) {
		struct pyaudit_value args[3] = {pyaudit_value_text(text, len),
						pyaudit_value_text("r", 1),
						pyaudit_value_int(524288)};

		if (!memo_key(&key, policy, PYAUDIT_EV_OPEN, args, 3))
			break;
		remember(args, 3);
	}
	assert_in_range(len, 150, MEMO_ENTRY_SIZE);
}

/* Each byte, whichever, in texts of each length up to what an entry holds; memory ends behind them. */
static void
one_byte_makes_another_key(void **state)
{
	(void)state;
	policy++;
	for (size_t len = 1; len <= 180; len += len < 40 ? 1 : 7) {
		char *text = test_malloc(len), *other = test_malloc(len);
		struct pyaudit_value a = pyaudit_value_text(text, len);
		struct pyaudit_value b = pyaudit_value_text(other, len);

		memset(text, 'a', len);
		remember(&a, 1);
		for (size_t i = 0; i < len; i++) {
			struct memo_key key, forged;

			memcpy(other, text, len);
			other[i] = 'b';
			assert_false(has(&b, 1));
			/* Nor where the hash meets the same entry. */
			key = key_of(&a, 1);
			forged = key_of(&b, 1);
			forged.hash = key.hash;
			assert_false(memo_has(&forged));
		}
		test_free(text);
		test_free(other);
	}
}

static void
type_number_of_arguments_event_and_policy_are_in_the_key(void **state)
{
	struct pyaudit_value args[3] = {pyaudit_value_text("/etc/hosts", 10),
					{.type = PYAUDIT_TAG_NONE},
					pyaudit_value_int(0)};
	struct pyaudit_value bytes = args[0];
	struct memo_key key, other;

	(void)state;
	policy++;
	remember(args, 2);
	key = key_of(args, 2);
	assert_false(has(args, 1));
	assert_false(has(args, 3));
	bytes.type = PYAUDIT_TAG_BYTES;
	args[0] = bytes;
	other = key_of(args, 2);
	other.hash = key.hash;
	assert_false(memo_has(&other));
	args[0].type = PYAUDIT_TAG_STR;
	args[1] = (struct pyaudit_value){.type = PYAUDIT_TAG_BOOL};
	other = key_of(args, 2);
	other.hash = key.hash;
	assert_false(memo_has(&other));
	args[1].type = PYAUDIT_TAG_NONE;
	assert_true(has(args, 2));
	assert_true(memo_key(&other, policy, PYAUDIT_EV_OS_LISTDIR, args, 2));
	other.hash = key.hash;
	assert_false(memo_has(&other));
	assert_true(memo_key(&other, policy + 1, PYAUDIT_EV_OPEN, args, 2));
	other.hash = key.hash;
	assert_false(memo_has(&other));
	policy++;
}

static void
lists_cut_texts_and_floats_have_no_key(void **state)
{
	struct pyaudit_value list = {.type = PYAUDIT_TAG_LIST};
	struct pyaudit_value cut = pyaudit_value_text("x", 1);
	struct pyaudit_value number = {.type = PYAUDIT_TAG_FLOAT, .f = 1.0};
	struct memo_key key;

	(void)state;
	cut.flags = PYAUDIT_VALUE_CUT;
	assert_false(memo_key(&key, 1, PYAUDIT_EV_OPEN, &list, 1));
	assert_false(memo_key(&key, 1, PYAUDIT_EV_OPEN, &cut, 1));
	assert_false(memo_key(&key, 1, PYAUDIT_EV_OPEN, &number, 1));
}

/* Threads that remember and ask at once, for keys that meet in few entries: what the table says it has
 * was put there by somebody. Numbers that are even were never put there. */
#define N_THREADS 4
#define N_ROUNDS 20000

static _Atomic unsigned n_wrong, n_found;

static void *
ask_and_add(void *data)
{
	unsigned me = *(unsigned *)data;
	char text[80];

	for (unsigned i = 0; i < N_ROUNDS; i++) {
		unsigned n = (i * 7 + me * 13) % 64;
		struct pyaudit_value v = pyaudit_value_text(text, 40 + n % 40);
		struct memo_key key;

		memset(text, (int)('0' + n), sizeof(text));
		if (!memo_key(&key, policy, PYAUDIT_EV_OPEN, &v, 1))
			n_wrong++;
		key.hash = n % 4 * (UINT64_C(1) << 40) + 1; /* four entries, and all look alike to them */
		if (n % 2 == 1)
			memo_add(&key);
		if (memo_has(&key)) {
			n_found++;
			n_wrong += n % 2 == 0;
		}
	}
	return NULL;
}

static void
threads_find_nothing_that_nobody_put_there(void **state)
{
	unsigned numbers[N_THREADS];
	pthread_t threads[N_THREADS];

	(void)state;
	policy++;
	for (unsigned i = 0; i < N_THREADS; i++) {
		numbers[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, ask_and_add, &numbers[i]), 0);
	}
	for (unsigned i = 0; i < N_THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(n_wrong, 0);
	assert_true(n_found > 0);
}

int
main(void)
{
	static _Alignas(64) char room[MEMO_ENTRIES * MEMO_ENTRY_SIZE];
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_came_twice_is_remembered_whatever_its_length),
		cmocka_unit_test(one_byte_makes_another_key),
		cmocka_unit_test(type_number_of_arguments_event_and_policy_are_in_the_key),
		cmocka_unit_test(lists_cut_texts_and_floats_have_no_key),
		cmocka_unit_test(threads_find_nothing_that_nobody_put_there),
	};

	(void)memo_use(room);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
