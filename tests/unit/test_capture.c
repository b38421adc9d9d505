/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "capture.h"
#include "replay.h"
#include "report.h"

static const char rules_text[] =
	"{\"version\":1,\"rules\":["
	"{\"id\":\"no-shell\",\"title\":\"t\",\"on\":[\"os.system\"],"
	"\"when\":[\"proc.script = 'app.py'\",\"caller.module = 'views'\"],\"action\":\"block\"},"
	"{\"id\":\"seen\",\"title\":\"t\",\"on\":[\"os.system\"],\"action\":\"record\"}]}";

static struct rule_set *
parse(const char *text)
{
	struct rule_set *rules = NULL;
	struct diag diag;

	diag_init(&diag);
	assert_int_equal(rules_parse(&rules, "t.json", text, strlen(text), &diag), 0);
	diag_fini(&diag);
	return rules;
}

static size_t
hello_payload(uint8_t *out, const char *script)
{
	static const char texts[] = "3.11.2\0/usr/bin/python3.11\0/srv\0/system.slice/shop.service\0";
	struct pyaudit_hello head = {
		.pid = pyaudit_le32_of(7),
		.ppid = pyaudit_le32_of(1),
		.uid = pyaudit_le32_of(33),
		.gid = pyaudit_le32_of(33),
		.n_argv = pyaudit_le16_of(2),
	};
	char strings[256];
	size_t n = sizeof(texts);

	memcpy(strings, texts, n); /* the last NUL is the empty VIRTUAL_ENV */
	memcpy(strings + n, "python3", 8);
	n += 8;
	memcpy(strings + n, script, strlen(script) + 1);
	n += strlen(script) + 1;
	head.strings = pyaudit_le32_of((uint32_t)n);
	memcpy(out, &head, sizeof(head));
	memcpy(out + sizeof(head), strings, n);
	return sizeof(head) + n;
}

static struct process *
make_process(uint32_t key, pid_t pid, const char *script)
{
	uint8_t payload[512];
	size_t n = hello_payload(payload, script);
	struct hello hello;
	struct process *process;

	assert_int_equal(hello_parse(&hello, payload, n), 0);
	process = process_known(&hello, pid, 33, 33, 1000, "www-data");
	assert_non_null(process);
	process_keep_hello(process, key, payload, n);
	return process;
}

/* os.system("id") from views.py, as an agent under @rules would tell it. */
static size_t
make_record(uint8_t out[PYAUDIT_RECORD_MAX], const struct pyaudit_verdict *verdict)
{
	struct pyaudit_value arg = pyaudit_value_text("id", 2);
	struct pyaudit_origin frame = {.line = 12};
	struct pyaudit_event event = {
		.id = PYAUDIT_EV_OS_SYSTEM,
		.name = "os.system",
		.name_len = 9,
		.args = &arg,
		.n_args = 1,
		.frames = &frame,
		.n_frames = 1,
	};

	frame.file = pyaudit_value_text("views.py", 8);
	frame.module = pyaudit_value_text("views", 5);
	return pyaudit_record_encode(out, &event, verdict, 42, 1000, 7, 8);
}

static void
add_policy(struct buf *out, const struct rule_set *rules)
{
	struct compile_options options = {.generation = 42};

	capture_add_policy(out, &options, rules);
}

struct seen {
	struct replay replay;
	unsigned n, n_same, n_unknown;
	uint8_t action;
	int answer;
};

static int
take_event(void *data, const struct capture_event *event)
{
	struct seen *seen = data;
	struct pyaudit_verdict verdict;

	seen->n++;
	seen->n_unknown += event->process == NULL;
	if (seen->replay.rules != NULL) {
		assert_int_equal(replay_judge(&seen->replay, event, &verdict), 0);
		seen->n_same += replay_same(&seen->replay, event, &verdict);
		seen->action = verdict.action;
	}
	return seen->answer;
}

static int
read_bytes(const char *bytes, size_t len, struct seen *seen, struct capture_summary *summary,
	   char why[CAPTURE_WHY_MAX])
{
	union {
		const char *in;
		void *out;
	} from = {.in = bytes};
	FILE *in = fmemopen(from.out, len, "r");
	int r;

	assert_non_null(in);
	r = capture_read(in, &(struct capture_reader){.event = take_event}, seen, summary, why);
	(void)fclose(in);
	return r;
}

/* A whole capture: two processes, the second one's script is another. */
static void
make_capture(struct buf *out, const struct rule_set *rules)
{
	struct process *app = make_process(1, 700, "app.py"), *cron = make_process(2, 701, "cron.py");
	struct pyaudit_verdict blocked = {.action = PYAUDIT_ACTION_BLOCK, .n_hits = 2, .hits = {0, 1}};
	struct pyaudit_verdict recorded = {.action = PYAUDIT_ACTION_RECORD, .n_hits = 1, .hits = {1}};
	uint8_t record[PYAUDIT_RECORD_MAX];

	buf_init(out);
	capture_add_head(out, 99, true);
	add_policy(out, rules);
	capture_add_process(out, app);
	capture_add_event(out, 1, false, record, make_record(record, &blocked));
	capture_add_process(out, cron);
	capture_add_event(out, 2, false, record, make_record(record, &recorded));
	capture_add_gone(out, 1);
	capture_add_clock(out, 2000);
	capture_add_fired(out, 1000, "seen");
	capture_add_loss(out, 0, 0, 3);
	capture_add_end(out, 2, 3);
	assert_false(out->failed);
	process_unref(app);
	process_unref(cron);
}

static void
the_same_rules_give_the_same_verdicts(void **state)
{
	struct rule_set *rules = parse(rules_text);
	struct seen seen = {0};
	struct capture_summary summary;
	char why[CAPTURE_WHY_MAX];
	struct diag diag;
	struct buf file;

	(void)state;
	diag_init(&diag);
	make_capture(&file, rules);
	replay_init(&seen.replay, rules, &diag);
	assert_int_equal(read_bytes(file.data, file.len, &seen, &summary, why), 0);
	assert_int_equal(seen.n, 2);
	assert_int_equal(seen.n_same, 2);
	assert_true(summary.is_whole);
	assert_int_equal(summary.n_lost, 3);
	assert_int_equal(summary.time_ns, 99);
	replay_fini(&seen.replay);
	buf_fini(&file);
	diag_fini(&diag);
	rules_free(rules);
}

static void
other_rules_give_other_verdicts(void **state)
{
	struct rule_set *rules = parse(rules_text);
	struct rule_set *others = parse(
		"{\"version\":1,\"rules\":[{\"id\":\"cron\",\"title\":\"t\",\"on\":[\"os.system\"],"
		"\"when\":[\"proc.script = 'cron.py'\"],\"action\":\"alert\"}]}");
	struct seen seen = {0};
	struct capture_summary summary;
	char why[CAPTURE_WHY_MAX];
	struct diag diag;
	struct buf file;

	(void)state;
	diag_init(&diag);
	make_capture(&file, rules);
	replay_init(&seen.replay, others, &diag);
	assert_int_equal(read_bytes(file.data, file.len, &seen, &summary, why), 0);
	assert_int_equal(seen.n_same, 0);
	assert_int_equal(seen.action, PYAUDIT_ACTION_ALERT); /* of the second, of cron.py */
	replay_fini(&seen.replay);
	buf_fini(&file);
	diag_fini(&diag);
	rules_free(others);
	rules_free(rules);
}

static void
processes_are_shown_as_the_daemon_knew_them(void **state)
{
	struct process *live = make_process(5, 4711, "app.py");
	struct rule_set *rules = parse(rules_text);
	uint8_t record[PYAUDIT_RECORD_MAX];
	struct pyaudit_verdict verdict = {.action = PYAUDIT_ACTION_RECORD};
	struct capture_summary summary;
	struct seen seen = {0};
	char why[CAPTURE_WHY_MAX];
	struct buf file;

	(void)state;
	assert_int_equal(live->loginuid, 1000);
	assert_string_equal(live->user, "www-data");
	assert_string_equal(live->unit, "shop.service");
	buf_init(&file);
	capture_add_head(&file, 0, true);
	capture_add_process(&file, live);
	capture_add_event(&file, 5, false, record, make_record(record, &verdict));
	capture_add_gone(&file, 5);
	capture_add_event(&file, 5, false, record, make_record(record, &verdict));
	assert_int_equal(read_bytes(file.data, file.len, &seen, &summary, why), 0);
	assert_int_equal(seen.n, 2);
	assert_int_equal(seen.n_unknown, 1); /* the event behind its end */
	assert_false(summary.is_whole);
	buf_fini(&file);
	process_unref(live);
	rules_free(rules);
}

/* Whatever is cut off or turned over: an answer, and never more events than there were. */
static void
damage_is_found_and_does_no_harm(void **state)
{
	struct rule_set *rules = parse(rules_text);
	struct capture_summary summary;
	char why[CAPTURE_WHY_MAX];
	struct buf file;

	(void)state;
	make_capture(&file, rules);
	for (size_t len = 1; len < file.len; len++) {
		struct seen seen = {0};
		int r = read_bytes(file.data, len, &seen, &summary, why);

		assert_true(r == 0 || r == CAPTURE_E_INVALID);
		assert_true((r == 0) == (why[0] == '\0'));
		if (r == 0)
			assert_false(summary.is_whole);
		assert_in_range(seen.n, 0, 2);
	}
	for (size_t at = 0; at < file.len; at++) {
		struct seen seen = {0};
		char old = file.data[at];

		file.data[at] = (char)~old;
		(void)read_bytes(file.data, file.len, &seen, &summary, why);
		assert_in_range(seen.n, 0, 2);
		file.data[at] = old;
	}
	buf_fini(&file);
	rules_free(rules);
}

static void
what_is_no_capture_is_refused_with_the_place(void **state)
{
	struct seen seen = {0};
	struct capture_summary summary;
	char why[CAPTURE_WHY_MAX];
	struct buf file;

	(void)state;
	assert_int_equal(read_bytes("{\"kind\":1}", 10, &seen, &summary, why), CAPTURE_E_INVALID);
	assert_string_equal(why, "at byte 0: this is no capture of pyauditctl");
	buf_init(&file);
	capture_add_head(&file, 0, true);
	file.data[8] = 9;
	assert_int_equal(read_bytes(file.data, file.len, &seen, &summary, why), CAPTURE_E_INVALID);
	assert_non_null(strstr(why, "version 9"));
	buf_reset(&file);
	capture_add_head(&file, 0, true);
	capture_add_end(&file, 5, 0);
	assert_int_equal(read_bytes(file.data, file.len, &seen, &summary, why), CAPTURE_E_INVALID);
	assert_string_equal(why, "at byte 24: it says it has 5 events, and there are 0");
	buf_fini(&file);
}

static void
blocks_of_unknown_types_are_skipped(void **state)
{
	struct seen seen = {0};
	struct capture_summary summary;
	char why[CAPTURE_WHY_MAX];
	struct buf file;

	(void)state;
	buf_init(&file);
	capture_add_head(&file, 0, true);
	capture_add_gone(&file, 3);
	file.data[file.len - 8] = 77; /* its type */
	capture_add_end(&file, 0, 0);
	assert_int_equal(read_bytes(file.data, file.len, &seen, &summary, why), 0);
	assert_true(summary.is_whole);
	buf_fini(&file);
}

static void
reading_ends_where_the_reader_says_so(void **state)
{
	struct rule_set *rules = parse(rules_text);
	struct seen seen = {.answer = 17};
	struct capture_summary summary;
	char why[CAPTURE_WHY_MAX];
	struct buf file;

	(void)state;
	make_capture(&file, rules);
	assert_int_equal(read_bytes(file.data, file.len, &seen, &summary, why), 17);
	assert_int_equal(seen.n, 1);
	buf_fini(&file);
	rules_free(rules);
}

/* More than there may be at once are refused; as many one after the other are fine. */
static void
processes_are_bounded(void **state)
{
	struct process *process = make_process(1, 1, "app.py");
	struct seen seen = {0};
	struct capture_summary summary;
	char why[CAPTURE_WHY_MAX];
	struct buf file;

	(void)state;
	for (unsigned keep = 0; keep < 2; keep++) {
		buf_init(&file);
		capture_add_head(&file, 0, true);
		for (uint32_t key = 1; key <= CAPTURE_PROCESSES_MAX + 100u; key++) {
			process->key = key;
			capture_add_process(&file, process);
			if (!keep)
				capture_add_gone(&file, key);
		}
		assert_int_equal(read_bytes(file.data, file.len, &seen, &summary, why),
				 keep ? CAPTURE_E_INVALID : 0);
		buf_fini(&file);
	}
	assert_non_null(strstr(why, "more than 65536 processes at once"));
	process_unref(process);
}

/* What memories make of a capture. */
struct remembered {
	struct replay replay;
	unsigned n_alerts, n_told;
	uint64_t last_ns;
};

static void
count_alert(void *data, struct report *report)
{
	struct remembered *r = data;

	assert_non_null(report->memory);
	r->n_alerts++;
	r->last_ns = report->time_ns;
}

static int
remember_event(void *data, const struct capture_event *event)
{
	struct remembered *r = data;
	struct report report = {
		.time_ns = event->decoded->time_ns,
		.process = event->process,
		.decoded = event->decoded,
		.rules = r->replay.rules,
	};
	struct pyaudit_verdict verdict;
	struct memory_hits hits;

	assert_int_equal(replay_judge(&r->replay, event, &verdict), 0);
	replay_apply(event, &verdict);
	r->n_told += replay_sort(&r->replay, event, &hits);
	return replay_remember(&r->replay, event, &report, &hits, count_alert, r);
}

static int
remember_clock(void *data, uint64_t time_ns)
{
	struct remembered *r = data;

	replay_clock(&r->replay, time_ns, count_alert, r);
	return 0;
}

static struct remembered
remember(const struct buf *file, const char *text)
{
	static const struct capture_reader reader = {.event = remember_event, .clock = remember_clock};
	struct rule_set *rules = parse(text);
	struct remembered r = {0};
	struct capture_summary summary;
	char why[CAPTURE_WHY_MAX];
	struct diag diag;
	FILE *in = fmemopen(file->data, file->len, "r");

	assert_non_null(in);
	diag_init(&diag);
	replay_init(&r.replay, rules, &diag);
	assert_int_equal(capture_read(in, &reader, &r, &summary, why), 0);
	replay_fini(&r.replay);
	diag_fini(&diag);
	rules_free(rules);
	(void)fclose(in);
	return r;
}

static const char tree_text[] =
	"{\"version\":1,\"rules\":[{\"id\":\"two\",\"title\":\"t\",\"on\":[\"os.system\"],\"action\":\"alert\","
	"\"threshold\":{\"count\":2,\"within\":\"1s\",\"in\":\"tree\"}}]}";
static const char absence_text[] =
	"{\"version\":1,\"rules\":[{\"id\":\"left\",\"title\":\"t\",\"on\":[\"os.system\"],\"action\":\"alert\","
	"\"absence\":{\"on\":\"open\",\"within\":\"1s\"}}]}";

/* Two processes of one tree do the same thing once each. */
static void
memories_go_by_the_trees_and_the_clock_of_the_capture(void **state)
{
	struct process *one = make_process(1, 700, "app.py"), *two = make_process(2, 701, "app.py");
	struct pyaudit_verdict verdict = {.action = PYAUDIT_ACTION_RECORD};
	uint8_t record[PYAUDIT_RECORD_MAX];
	struct remembered r;
	struct buf file;

	(void)state;
	one->tree = two->tree = 4711;
	buf_init(&file);
	capture_add_head(&file, 0, true);
	capture_add_process(&file, one);
	capture_add_process(&file, two);
	capture_add_event(&file, 1, false, record, make_record(record, &verdict));
	capture_add_event(&file, 2, false, record, make_record(record, &verdict));
	r = remember(&file, tree_text);
	assert_int_equal(r.n_alerts, 1);
	assert_int_equal(r.n_told, 0); /* only the memory asked for them */
	r = remember(&file, absence_text);
	assert_int_equal(r.n_alerts, 0); /* its time is not over */
	capture_add_clock(&file, UINT64_C(1999999999));
	r = remember(&file, absence_text);
	assert_int_equal(r.n_alerts, 0);
	capture_add_clock(&file, UINT64_C(2000001000)); /* a second, and one for records to arrive */
	r = remember(&file, absence_text);
	assert_int_equal(r.n_alerts, 2);
	assert_int_equal(r.last_ns, 1000);

	two->tree = 4712;
	buf_reset(&file);
	capture_add_head(&file, 0, true);
	capture_add_process(&file, one);
	capture_add_process(&file, two);
	capture_add_event(&file, 1, false, record, make_record(record, &verdict));
	capture_add_event(&file, 2, false, record, make_record(record, &verdict));
	r = remember(&file, tree_text);
	assert_int_equal(r.n_alerts, 0);
	buf_fini(&file);
	process_unref(one);
	process_unref(two);
}

/* Its times are 1000; the daemon's clock said 500 when it judged the first. */
static void
a_time_that_was_not_come_yet_counts_as_the_clock(void **state)
{
	struct process *one = make_process(1, 700, "app.py");
	struct pyaudit_verdict verdict = {.action = PYAUDIT_ACTION_RECORD};
	uint8_t record[PYAUDIT_RECORD_MAX];
	struct remembered r;
	struct buf file;

	(void)state;
	buf_init(&file);
	capture_add_head(&file, 0, true);
	capture_add_process(&file, one);
	capture_add_clock(&file, 500);
	capture_add_event(&file, 1, true, record, make_record(record, &verdict));
	capture_add_clock(&file, UINT64_C(2000000500));
	r = remember(&file, absence_text);
	assert_int_equal(r.n_alerts, 1);
	assert_int_equal(r.last_ns, 500);
	buf_fini(&file);
	process_unref(one);
}

/* The format of before has no clock: times of events are one. */
static void
without_a_clock_events_are_it(void **state)
{
	struct process *one = make_process(1, 700, "app.py");
	struct pyaudit_value arg = pyaudit_value_text("id", 2);
	struct pyaudit_event late = {.id = PYAUDIT_EV_OS_SYSTEM, .name = "os.system", .name_len = 9,
				     .args = &arg, .n_args = 1};
	struct pyaudit_verdict verdict = {.action = PYAUDIT_ACTION_RECORD};
	uint8_t record[PYAUDIT_RECORD_MAX];
	struct remembered r;
	struct buf file;

	(void)state;
	buf_init(&file);
	capture_add_head(&file, 0, true);
	file.data[10] = 0; /* minor */
	capture_add_process(&file, one);
	capture_add_event(&file, 1, false, record, make_record(record, &verdict));
	capture_add_event(&file, 1, false, record,
			  pyaudit_record_encode(record, &late, &verdict, 42, UINT64_C(2000001000), 7, 8));
	r = remember(&file, absence_text);
	assert_int_equal(r.n_alerts, 1);
	buf_fini(&file);
	process_unref(one);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_rules_give_the_same_verdicts),
		cmocka_unit_test(other_rules_give_other_verdicts),
		cmocka_unit_test(processes_are_shown_as_the_daemon_knew_them),
		cmocka_unit_test(damage_is_found_and_does_no_harm),
		cmocka_unit_test(what_is_no_capture_is_refused_with_the_place),
		cmocka_unit_test(blocks_of_unknown_types_are_skipped),
		cmocka_unit_test(reading_ends_where_the_reader_says_so),
		cmocka_unit_test(processes_are_bounded),
		cmocka_unit_test(memories_go_by_the_trees_and_the_clock_of_the_capture),
		cmocka_unit_test(a_time_that_was_not_come_yet_counts_as_the_clock),
		cmocka_unit_test(without_a_clock_events_are_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
