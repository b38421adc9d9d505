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

static struct pyaudit_context
context_of(struct pyaudit_event *event)
{
	struct pyaudit_context context = {.time_ns = 5, .tid = 7, .event = event->id,
					  .action = PYAUDIT_ACTION_RECORD};

	pyaudit_context_text(&context, event);
	return context;
}

static void
assert_told(struct pyaudit_event *event, const char *wanted, uint32_t full_len)
{
	struct pyaudit_verdict verdict = {.action = PYAUDIT_ACTION_ALERT};
	struct pyaudit_event alert = {.id = PYAUDIT_EV_OS_SYSTEM};
	struct pyaudit_context context = context_of(event);
	uint8_t out[PYAUDIT_RECORD_MAX];
	struct pyaudit_decoded d;
	size_t size = pyaudit_record_encode(out, &alert, &verdict, 1, 2, 3, 4);

	size = pyaudit_record_add_context(out, size, &context);
	assert_int_equal(pyaudit_record_decode(&d, out, size), 0);
	assert_int_equal(d.n_context, 1);
	assert_int_equal(d.context[0].time_ns, 5);
	assert_int_equal(d.context[0].tid, 7);
	assert_int_equal(d.context[0].event, event->id);
	assert_int_equal(d.context[0].action, PYAUDIT_ACTION_RECORD);
	assert_text(&d.context[0].text, wanted);
	assert_int_equal(d.context[0].text.full_len, full_len);
}

static void
what_went_before_is_told_in_short(void **state)
{
	struct pyaudit_value items[] = {text("mysql"), text("-u"), text("root"), text("--password"),
					text("hunter22")};
	struct pyaudit_value argv = {.type = PYAUDIT_TAG_LIST, .n_items = 5, .full_len = 5, .items = items};
	struct pyaudit_value host[] = {text("10.0.0.1"), pyaudit_value_int(-443)};
	struct pyaudit_value address = {.type = PYAUDIT_TAG_LIST, .n_items = 2, .full_len = 2, .items = host};
	struct pyaudit_value program[] = {text("/usr/bin/mysql"), argv}, path[] = {text("/etc/passwd")},
			     connect[] = {{.type = PYAUDIT_TAG_OBJECT, .s = "s", .len = 1}, address},
			     url[] = {text("http://u:secretword@host/")};
	struct pyaudit_event open = {.id = PYAUDIT_EV_OPEN, .n_args = 1, .args = path},
			     popen = {.id = PYAUDIT_EV_SUBPROCESS_POPEN, .n_args = 2, .args = program},
			     other = {.id = PYAUDIT_EV_OTHER, .name = "shop.order", .name_len = 10,
				      .n_args = 1, .args = path},
			     to = {.id = PYAUDIT_EV_SOCKET_CONNECT, .n_args = 2, .args = connect},
			     none = {.id = PYAUDIT_EV_OPEN, .n_args = 0},
			     with_password = {.id = PYAUDIT_EV_OPEN, .n_args = 1, .args = url};

	(void)state;
	assert_told(&open, "/etc/passwd", 11);
	assert_told(&popen, "mysql -u root --password <redacted:password>", 44);
	assert_told(&other, "shop.order", 10);
	assert_told(&to, "10.0.0.1 -443", 13);
	assert_told(&none, "", 0);
	assert_told(&with_password, "http://u:<redacted:url-password>@host/", 38);
}

/* A credential that the end of the room cuts would not be known for one. */
static void
long_texts_are_redacted_before_they_are_cut(void **state)
{
	char bytes[200] = "";
	struct pyaudit_value args[] = {pyaudit_value_text(bytes, sizeof(bytes))};
	struct pyaudit_event event = {.id = PYAUDIT_EV_OPEN, .n_args = 1, .args = args};
	struct pyaudit_context context;

	(void)state;
	memset(bytes, 'x', sizeof(bytes));
	memcpy(bytes + 80, " password=0123456789012345678901234567890123456789 ", 51);
	context = context_of(&event);
	assert_int_equal(context.len, PYAUDIT_CONTEXT_TEXT_MAX);
	assert_true(context.full_len > context.len);
	assert_null(memmem(context.text, context.len, "012345", 6));
}

static void
a_record_takes_as_much_context_as_fits(void **state)
{
	static char big[3000];
	struct pyaudit_value args[2] = {pyaudit_value_text(big, sizeof(big)),
					pyaudit_value_text(big, sizeof(big))};
	struct pyaudit_event event = {.id = PYAUDIT_EV_OPEN, .n_args = 2, .args = args};
	struct pyaudit_verdict verdict = {.action = PYAUDIT_ACTION_ALERT};
	struct pyaudit_context context;
	uint8_t out[PYAUDIT_RECORD_MAX + 1];
	struct pyaudit_decoded d;
	size_t size, before;

	(void)state;
	memset(big, 'x', sizeof(big));
	context = context_of(&event);
	size = pyaudit_record_encode(out, &event, &verdict, 1, 2, 3, 4);
	out[PYAUDIT_RECORD_MAX] = 0x55;
	for (unsigned i = 0; i < 2 * PYAUDIT_CONTEXT_MAX; i++) {
		before = size;
		size = pyaudit_record_add_context(out, size, &context);
		assert_in_range(size, before, PYAUDIT_RECORD_MAX);
	}
	assert_int_equal(size, before);
	assert_int_equal(out[PYAUDIT_RECORD_MAX], 0x55);
	assert_int_equal(pyaudit_record_decode(&d, out, size), 0);
	assert_in_range(d.n_context, 10, PYAUDIT_CONTEXT_MAX);
	/* What says that it is an event that nobody knows is no record. */
	out[size - context.len - sizeof(struct pyaudit_past) + 12] = 0xff;
	out[size - context.len - sizeof(struct pyaudit_past) + 13] = 0xff;
	assert_int_equal(pyaudit_record_decode(&d, out, size), -EBADMSG);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_of_value_comes_back),
		cmocka_unit_test(long_arguments_are_cut_and_keep_their_length),
		cmocka_unit_test(mutated_records_are_refused_or_harmless),
		cmocka_unit_test(what_went_before_is_told_in_short),
		cmocka_unit_test(long_texts_are_redacted_before_they_are_cut),
		cmocka_unit_test(a_record_takes_as_much_context_as_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
