/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "recent.h"

static void
the_newest_entries_are_kept_in_order(void **state)
{
	struct recent recent;
	const struct recent_entry *entry;
	const uint8_t *bytes;
	uint64_t at = 0, seq = 0, first = 0, n = 0;
	char text[700];

	(void)state;
	assert_int_equal(recent_init(&recent, RECENT_SIZE_MIN), 0);
	for (uint64_t i = 1; i <= 5000; i++) {
		size_t size = (size_t)(i * 37 % sizeof(text));

		memset(text, (int)(i & 0xff), sizeof(text));
		recent_add(&recent, (struct recent_entry){.seq = i}, 1, text, size);
		assert_true(recent.head - recent.tail <= recent.size);
	}
	while ((entry = recent_next(&recent, &at, &bytes)) != NULL) {
		if (first == 0)
			first = entry->seq;
		assert_int_equal(entry->seq, seq == 0 ? first : seq + 1);
		seq = entry->seq;
		assert_int_equal(entry->size, seq * 37 % sizeof(text));
		assert_int_equal(entry->weight_before, seq - 1);
		for (size_t i = 0; i < entry->size; i++)
			assert_int_equal(bytes[i], seq & 0xff);
		n++;
	}
	assert_int_equal(seq, 5000);
	assert_true(n > 100);
	recent_fini(&recent);
}

static void
entries_hold_their_process(void **state)
{
	struct process *process = calloc(1, sizeof(*process));
	struct recent recent;
	char text[1000] = {0};

	(void)state;
	assert_non_null(process);
	process->n_refs = 1;
	assert_int_equal(recent_init(&recent, RECENT_SIZE_MIN), 0);
	for (unsigned i = 0; i < 10; i++)
		recent_add(&recent, (struct recent_entry){.process = process}, 1, text, 10);
	assert_int_equal(process->n_refs, 11);
	for (unsigned i = 0; i < 200; i++)
		recent_add(&recent, (struct recent_entry){0}, 1, text, sizeof(text));
	assert_int_equal(process->n_refs, 1);
	recent_add(&recent, (struct recent_entry){.process = process}, 1, text, 10);
	recent_fini(&recent);
	assert_int_equal(process->n_refs, 1);
	process_unref(process);
}

static void
without_memory_only_weights_are_kept(void **state)
{
	struct recent recent;
	const uint8_t *bytes;
	uint64_t at = 0;

	(void)state;
	assert_int_equal(recent_init(&recent, 0), 0);
	recent_add(&recent, (struct recent_entry){0}, 3, "x", 1);
	assert_int_equal(recent.weight, 3);
	assert_null(recent_next(&recent, &at, &bytes));
	recent_fini(&recent);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_newest_entries_are_kept_in_order),
		cmocka_unit_test(entries_hold_their_process),
		cmocka_unit_test(without_memory_only_weights_are_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
