/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "entry.h"
#include "report.h"
#include "sink.h"

#define N_ATTACK 12

static char id[PYAUDIT_RULE_ID_MAX + 1], title[] = "t", technique[] = "T1059.004";
static char hostile[PYAUDIT_TEXT_MAX], path[PROCESS_TEXT_MAX];
static char *attack[N_ATTACK];
static struct rule rule = {.id = id, .title = title, .severity = PYAUDIT_SEV_CRITICAL, .attack = attack,
			   .n_attack = N_ATTACK};
static const struct rule_set rules = {.rules = &rule, .n_rules = 1};

/* More of everything than a record of 8 KiB could bring, each byte escaped to four. */
static void
make_largest(struct pyaudit_decoded *d)
{
	static struct pyaudit_value items[PYAUDIT_LIST_MAX];
	static char scratch[PYAUDIT_SCRATCH_SIZE] __attribute__((aligned(8)));
	struct pyaudit_value text = pyaudit_value_text(hostile, sizeof(hostile));

	memset(hostile, '\n', sizeof(hostile));
	memset(id, 'r', PYAUDIT_RULE_ID_MAX);
	for (unsigned i = 0; i < N_ATTACK; i++)
		attack[i] = technique;
	*d = (struct pyaudit_decoded){
		.action = PYAUDIT_ACTION_BLOCK,
		.flags = PYAUDIT_REC_CUT | PYAUDIT_REC_OBSERVED,
		.generation = UINT64_MAX,
		.n_hits = 1,
	};
	for (unsigned i = 0; i < PYAUDIT_LIST_MAX; i++)
		items[i] = text;
	for (unsigned i = 0; i < PYAUDIT_ARGS_MAX; i++)
		d->values[i] = (struct pyaudit_value){.type = PYAUDIT_TAG_LIST, .items = items,
						      .n_items = PYAUDIT_LIST_MAX, .full_len = 1000};
	for (unsigned i = 0; i < PYAUDIT_STACK_MAX; i++)
		d->frames[i] = (struct pyaudit_origin){.file = text, .function = text,
						       .module = text, .line = UINT32_MAX};
	d->event = (struct pyaudit_event){
		.id = PYAUDIT_EV_OS_SYSTEM, .name = "os.system", .name_len = 9,
		.n_args = PYAUDIT_ARGS_MAX, .args = d->values, .frames = d->frames,
		.n_frames = PYAUDIT_STACK_MAX, .origin_asked = PYAUDIT_STACK_MAX,
		.scratch = scratch, .scratch_size = sizeof(scratch),
	};
}

static struct process *
make_process(void)
{
	static const struct users users;
	static struct hello hello = {.ppid = 1, .python = "3.11.2", .venv = ""};
	struct process *process;

	memset(path, 'p', sizeof(path) - 1);
	hello.exe = hello.cwd = path;
	hello.cgroup = "/system.slice/web.service";
	hello.n_argv = PYAUDIT_LIST_MAX;
	for (unsigned i = 0; i < PYAUDIT_LIST_MAX; i++)
		hello.argv[i] = path;
	process = process_new(&hello, 4242, 33, 33, NULL, &users);
	assert_non_null(process);
	return process;
}

/* The fields as the program that passes them on gets them; fails where it would not. */
static unsigned
check_fields(const struct buf *fields, struct buf *entry)
{
	unsigned n = 0;

	assert_false(fields->failed);
	for (size_t at = 0; at < fields->len;) {
		uint32_t size;
		const char *equals;
		uint64_t len;

		assert_true(fields->len - at > sizeof(size));
		memcpy(&size, fields->data + at, sizeof(size));
		at += sizeof(size);
		assert_true(size <= fields->len - at && size <= ENTRY_FIELD_SIZE_MAX);
		equals = memchr(fields->data + at, '=', size);
		assert_non_null(equals);
		buf_add(entry, fields->data + at, (size_t)(equals - (const char *)fields->data) - at);
		buf_add_char(entry, '\n');
		len = size - (uint64_t)(equals + 1 - ((const char *)fields->data + at));
		buf_add(entry, &len, sizeof(len)); /* tests run on little-endian machines */
		buf_add(entry, equals + 1, len);
		buf_add_char(entry, '\n');
		at += size;
		n++;
	}
	assert_true(n <= ENTRY_FIELDS_MAX);
	if (entry_check(entry->data, entry->len) != NULL)
		fail_msg("%s", entry_check(entry->data, entry->len));
	return n;
}

static bool
has(const struct buf *entry, const char *name)
{
	return memmem(entry->data, entry->len, name, strlen(name)) != NULL;
}

static void
the_largest_alert_keeps_the_limits(void **state)
{
	static struct pyaudit_decoded decoded;
	struct process *process = make_process();
	struct report report = {.kind = REPORT_ALERT, .seq = UINT64_MAX, .process = process,
				.decoded = &decoded, .rules = &rules};
	struct buf fields, entry;

	(void)state;
	make_largest(&decoded);
	buf_init(&fields);
	buf_init(&entry);
	sink_journal_fields(&report, &fields);
	assert_true(check_fields(&fields, &entry) > 30);
	assert_true(fields.len > ENTRY_FIELD_SIZE_MAX); /* one at least was cut */
	assert_true(has(&entry, "OBJECT_PID") && has(&entry, "OBJECT_SYSTEMD_UNIT"));
	assert_true(has(&entry, "PYAUDIT_STACK") && has(&entry, "PYAUDIT_ARGV"));
	buf_fini(&fields);
	buf_fini(&entry);
	process_unref(process);
}

static void
what_is_about_the_daemon_names_it(void **state)
{
	struct report reports[] = {
		{.kind = REPORT_LOSS, .lost = 5, .cause = REPORT_CAUSE_SINK, .sink = "journal"},
		{.kind = REPORT_STATUS, .event = "daemon.start", .message = "started\nFORGED=1"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(reports) / sizeof(reports[0]); i++) {
		struct buf fields, entry;

		buf_init(&fields);
		buf_init(&entry);
		sink_journal_fields(&reports[i], &fields);
		(void)check_fields(&fields, &entry);
		assert_true(has(&entry, "OBJECT_PID"));
		assert_false(has(&entry, "\nFORGED"));
		buf_fini(&fields);
		buf_fini(&entry);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_largest_alert_keeps_the_limits),
		cmocka_unit_test(what_is_about_the_daemon_names_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
