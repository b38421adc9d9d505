/* SPDX-License-Identifier: Apache-2.0 */
/* Records: what is encoded comes back, what does not fit is cut and says so, and bytes from a
 * hostile peer are refused or harmless. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "verdict.h"

static struct pyaudit_value
text(const char *s)
{
	return pyaudit_value_text(s, strlen(s));
}

static void
assert_text(const struct pyaudit_value *v, const char *s)
{
	assert_int_equal(v->len, strlen(s));
	assert_memory_equal(v->s, s, v->len);
}

static void
every_kind_of_value_comes_back(void **state)
{
	struct pyaudit_value items[3] = {text("ls"), text("-l"), {.type = PYAUDIT_TAG_NONE}};
	struct pyaudit_value args[] = {
		text("path"),
		{.type = PYAUDIT_TAG_LIST, .n_items = 3, .full_len = 3, .items = items},
		{.type = PYAUDIT_TAG_INT, .i = INT64_MIN},
		{.type = PYAUDIT_TAG_BOOL, .i = 1},
		{.type = PYAUDIT_TAG_FLOAT, .f = 0.25},
		{.type = PYAUDIT_TAG_BYTES, .s = "a\0b", .len = 3, .full_len = 3},
		{.type = PYAUDIT_TAG_OBJECT, .s = "Path", .len = 4, .full_len = 4},
		{.type = PYAUDIT_TAG_BIGINT},
	};
	struct pyaudit_value packages[2] = {text("app"), text("app-extras")};
	struct pyaudit_origin frames[2] = {
		{.file = text("/usr/lib/python3.11/subprocess.py"), .function = text("run"),
		 .module = text("subprocess"), .line = 548},
		{.file = text("app.py"), .function = text("handler"), .line = 12, .n_packages = 2,
		 .packages = packages},
	};
	struct pyaudit_event event = {.id = PYAUDIT_EV_SUBPROCESS_POPEN, .n_args = 8, .args = args,
				      .frames = frames, .n_frames = 2, .caller = 1};
	struct pyaudit_verdict verdict = {.action = PYAUDIT_ACTION_BLOCK, .n_hits = 2,
					  .hits = {7, 65535}};
	uint8_t out[PYAUDIT_RECORD_MAX];
	struct pyaudit_decoded d;
	size_t size;

	(void)state;
	size = pyaudit_record_encode(out, &event, &verdict, 99, 123456789, 4711, 4712);
	assert_int_equal(pyaudit_record_decode(&d, out, size), 0);
	assert_string_equal(d.event.name, "subprocess.Popen");
	assert_int_equal(d.action, PYAUDIT_ACTION_BLOCK);
	assert_int_equal(d.generation, 99);
	assert_int_equal(d.time_ns, 123456789);
	assert_int_equal(d.pid, 4711);
	assert_int_equal(d.tid, 4712);
	assert_int_equal(d.flags, 0);
	assert_int_equal(d.n_hits, 2);
	assert_int_equal(d.hits[1], 65535);
	assert_int_equal(d.event.n_args, 8);
	assert_text(&d.event.args[0], "path");
	assert_int_equal(d.event.args[1].n_items, 3);
	assert_text(&d.event.args[1].items[1], "-l");
	assert_int_equal(d.event.args[1].items[2].type, PYAUDIT_TAG_NONE);
	assert_int_equal(d.event.args[2].i, INT64_MIN);
	assert_int_equal(d.event.args[3].i, 1);
	assert_true(d.event.args[4].f == 0.25);
	assert_memory_equal(d.event.args[5].s, "a\0b", 3);
	assert_text(&d.event.args[6], "Path");
	assert_int_equal(d.event.args[7].type, PYAUDIT_TAG_BIGINT);
	assert_int_equal(d.event.n_frames, 2);
	assert_int_equal(d.event.caller, 1);
	assert_text(&d.event.frames[0].module, "subprocess");
	assert_text(&d.event.frames[1].file, "app.py");
	assert_int_equal(d.event.frames[1].line, 12);
	assert_int_equal(d.event.frames[1].module.type, 0);
	assert_int_equal(d.event.frames[0].n_packages, 0);
	assert_int_equal(d.event.frames[1].n_packages, 2);
	assert_text(&d.event.frames[1].packages[1], "app-extras");
}

static void
long_arguments_are_cut_and_keep_their_length(void **state)
{
	static char big[100000];
	struct pyaudit_value args[PYAUDIT_ARGS_MAX];
	struct pyaudit_origin frame = {
		.file = text("app.py"), .function = text("f"), .module = text("app"), .line = 3};
	struct pyaudit_event event = {.id = PYAUDIT_EV_OTHER, .name = "lib.event", .name_len = 9,
				      .n_args = PYAUDIT_ARGS_MAX, .args = args, .frames = &frame,
				      .n_frames = 1};
	struct pyaudit_verdict verdict = {.action = PYAUDIT_ACTION_ALERT, .n_hits = 1, .hits = {3}};
	uint8_t out[PYAUDIT_RECORD_MAX];
	struct pyaudit_decoded d;
	size_t size;

	(void)state;
	memset(big, 'x', sizeof(big));
	for (unsigned i = 0; i < PYAUDIT_ARGS_MAX; i++)
		args[i] = pyaudit_value_text(big, sizeof(big));
	size = pyaudit_record_encode(out, &event, &verdict, 1, 2, 3, 4);
	assert_in_range(size, 1, PYAUDIT_RECORD_MAX);
	assert_int_equal(pyaudit_record_decode(&d, out, size), 0);
	assert_int_equal(d.event.name_len, 9);
	assert_int_equal(d.flags, PYAUDIT_REC_CUT);
	assert_int_equal(d.event.args[0].len, PYAUDIT_TEXT_MAX);
	assert_int_equal(d.event.args[0].full_len, sizeof(big));
	assert_int_equal(d.event.args[0].flags, PYAUDIT_VALUE_CUT);
	/* Origin and rules have room of their own. */
	assert_int_equal(d.event.n_frames, 1);
	assert_text(&d.event.frames[0].file, "app.py");
	assert_int_equal(d.n_hits, 1);
}

static void
mutated_records_are_refused_or_harmless(void **state)
{
	struct pyaudit_value items[2] = {text("sh"), text("-c")};
	struct pyaudit_value args[] = {
		text("path"), {.type = PYAUDIT_TAG_LIST, .n_items = 2, .full_len = 2, .items = items}};
	struct pyaudit_origin frame = {
		.file = text("app.py"), .function = text("f"), .module = text("app"), .line = 3};
	struct pyaudit_event event = {.id = PYAUDIT_EV_OS_EXEC, .n_args = 2, .args = args,
				      .frames = &frame, .n_frames = 1};
	struct pyaudit_verdict verdict = {.action = PYAUDIT_ACTION_RECORD};
	uint8_t out[PYAUDIT_RECORD_MAX], *exact;
	struct pyaudit_decoded d;
	unsigned n_accepted = 0;
	size_t size;

	(void)state;
	size = pyaudit_record_encode(out, &event, &verdict, 1, 2, 3, 4);
	exact = malloc(size); /* so that a sanitizer sees one byte too far */
	assert_non_null(exact);
	srand(1);
	for (unsigned i = 0; i < 200000; i++) {
		size_t n = i % 4 == 0 ? (size_t)rand() % (size + 1) : size;

		memcpy(exact, out, size);
		for (unsigned k = 0; k < 1 + i % 5; k++)
			exact[(size_t)rand() % size] = (uint8_t)rand();
		if (i % 4 == 0 && n >= 4)
			exact[0] = (uint8_t)n, exact[1] = (uint8_t)(n >> 8), exact[2] = exact[3] = 0;
		if (pyaudit_record_decode(&d, exact, n) == 0) {
			char scratch[PYAUDIT_SCRATCH_SIZE];

			n_accepted++;
			d.event.scratch = scratch;
			d.event.scratch_size = sizeof(scratch);
			d.event.scratch_len = 0;
			for (unsigned f = 0; f < PYAUDIT_N_FIELDS; f++) {
				struct pyaudit_value v;

				(void)pyaudit_field(&d.event, f, &v);
			}
		}
	}
	assert_in_range(n_accepted, 1, 199999);
	free(exact);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_of_value_comes_back),
		cmocka_unit_test(long_arguments_are_cut_and_keep_their_length),
		cmocka_unit_test(mutated_records_are_refused_or_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
