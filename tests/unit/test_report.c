/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <cjson/cJSON.h>
#include <string.h>

#include "report.h"

static char id_one[] = "deny-shell", id_two[] = "watch-shell", template[] = "{exec.cmdline} by {caller.file} of {proc.unit} {{x}} {nothing}";
static char technique[] = "T1059";
static char *attack[] = {technique};

static struct rule rules[] = {
	{.id = id_two, .severity = PYAUDIT_SEV_NOTICE},
	{.id = id_one, .severity = PYAUDIT_SEV_CRITICAL, .attack = attack, .n_attack = 1},
};
static const struct rule_set rule_set = {.rules = rules, .n_rules = 2};

static struct process *
make_process(void)
{
	static const struct users users;
	static const struct hello hello = {
		.ppid = 1, .python = "3.11.2", .exe = "/usr/bin/python3", .cwd = "/srv",
		.cgroup = "/system.slice/web.service", .venv = "",
		.n_argv = 2, .argv = {"python3", "app.py"},
	};
	struct process *process = process_new(&hello, 4242, 33, 33, NULL, &users);

	assert_non_null(process);
	return process;
}

/* A denial with an argument of each kind. */
static void
make_denial(struct pyaudit_decoded *d)
{
	static const struct pyaudit_value items[] = {
		{.type = PYAUDIT_TAG_STR, .s = "a", .len = 1, .full_len = 1},
		{.type = PYAUDIT_TAG_NONE},
	};
	static char scratch[PYAUDIT_SCRATCH_SIZE] __attribute__((aligned(8)));

	*d = (struct pyaudit_decoded){
		.action = PYAUDIT_ACTION_BLOCK,
		.flags = PYAUDIT_REC_CUT,
		.generation = 7,
		.pid = 2,
		.tid = 3,
		.hits = {1, 0, 999}, /* the last is no rule's number */
		.n_hits = 3,
	};
	d->values[0] = pyaudit_value_text("rm -rf \xff/", 9);
	d->values[1] = (struct pyaudit_value){.type = PYAUDIT_TAG_BYTES, .s = "cut", .len = 3,
					      .full_len = 5000, .flags = PYAUDIT_VALUE_CUT};
	d->values[2] = (struct pyaudit_value){.type = PYAUDIT_TAG_LIST, .items = items, .n_items = 2,
					      .full_len = 2};
	d->values[3] = (struct pyaudit_value){.type = PYAUDIT_TAG_OBJECT, .s = "pathlib.Path",
					      .len = 12, .full_len = 12};
	d->values[4] = (struct pyaudit_value){.type = PYAUDIT_TAG_CODE, .s = "<string>", .len = 8,
					      .full_len = 8};
	d->values[5] = (struct pyaudit_value){.type = PYAUDIT_TAG_BIGINT};
	d->values[6] = (struct pyaudit_value){.type = PYAUDIT_TAG_BOOL, .i = 1};
	d->values[7] = (struct pyaudit_value){.type = PYAUDIT_TAG_FLOAT, .f = 0.5};
	d->values[8] = pyaudit_value_int(-7);
	d->frames[0].file = pyaudit_value_text("/lib/subprocess.py", 18);
	d->frames[0].line = 100;
	d->frames[1].file = pyaudit_value_text("/srv/app.py", 11);
	d->frames[1].function = pyaudit_value_text("view", 4);
	d->frames[1].line = 12;
	d->event = (struct pyaudit_event){
		.id = PYAUDIT_EV_OS_SYSTEM, .name = "os.system", .name_len = 9, .n_args = 9,
		.args = d->values, .frames = d->frames, .n_frames = 2, .caller = 1,
		.origin_asked = PYAUDIT_STACK_MAX, .scratch = scratch,
		.scratch_size = sizeof(scratch),
	};
}

static cJSON *
json_of(const struct report *report)
{
	struct buf buf;
	cJSON *json;

	buf_init(&buf);
	report_json(report, &buf);
	assert_false(buf.failed);
	assert_true(buf.len > 0 && buf.data[buf.len - 1] == '\n');
	assert_null(memchr(buf.data, '\n', buf.len - 1));
	json = cJSON_ParseWithLength(buf.data, buf.len);
	assert_non_null(json);
	buf_fini(&buf);
	return json;
}

static const char *
text(const cJSON *json, const char *key)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, key);

	assert_true(cJSON_IsString(item));
	return item->valuestring;
}

static double
number(const cJSON *json, const char *key)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, key);

	assert_true(cJSON_IsNumber(item));
	return item->valuedouble;
}

static void
a_denial_is_an_alert_with_its_rule(void **state)
{
	struct pyaudit_decoded d;
	struct process *process = make_process();
	struct report report = {
		.kind = REPORT_ALERT, .seq = 5, .time_ns = 1, .process = process, .decoded = &d,
		.rules = &rule_set,
	};
	const cJSON *args, *caller, *list;
	cJSON *json;

	(void)state;
	make_denial(&d);
	assert_int_equal(report_kind_of(&d), REPORT_ALERT);
	json = json_of(&report);
	assert_string_equal(text(json, "kind"), "alert");
	assert_string_equal(text(json, "action"), "block");
	assert_string_equal(text(json, "rule"), "deny-shell");
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(json, "rules")), 2);
	assert_string_equal(text(json, "severity"), "critical");
	assert_string_equal(cJSON_GetArrayItem(cJSON_GetObjectItem(json, "attack"), 0)->valuestring,
			    "T1059");
	assert_string_equal(text(json, "message"),
			    "os.system denied by rule deny-shell at /srv/app.py:12");
	assert_int_equal(number(json, "pid"), 4242);
	assert_int_equal(number(json, "tid"), 3);
	assert_string_equal(text(json, "unit"), "web.service");
	assert_string_equal(text(json, "script"), "app.py");
	assert_true(cJSON_IsTrue(cJSON_GetObjectItem(json, "cut")));
	assert_true(cJSON_IsFalse(cJSON_GetObjectItem(json, "observed")));
	caller = cJSON_GetObjectItem(json, "caller");
	assert_string_equal(text(caller, "file"), "/srv/app.py");
	assert_int_equal(number(caller, "line"), 12);
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(json, "stack")), 2);

	args = cJSON_GetObjectItem(json, "args");
	assert_int_equal(cJSON_GetArraySize(args), 9);
	assert_string_equal(cJSON_GetArrayItem(args, 0)->valuestring, "rm -rf \xef\xbf\xbd/");
	assert_string_equal(text(cJSON_GetArrayItem(args, 1), "text"), "cut");
	assert_int_equal(number(cJSON_GetArrayItem(args, 1), "length"), 5000);
	list = cJSON_GetArrayItem(args, 2);
	assert_string_equal(cJSON_GetArrayItem(list, 0)->valuestring, "a");
	assert_true(cJSON_IsNull(cJSON_GetArrayItem(list, 1)));
	assert_string_equal(text(cJSON_GetArrayItem(args, 3), "object"), "pathlib.Path");
	assert_string_equal(text(cJSON_GetArrayItem(args, 4), "code"), "<string>");
	assert_string_equal(text(cJSON_GetArrayItem(args, 5), "object"), "int");
	assert_true(cJSON_IsTrue(cJSON_GetArrayItem(args, 6)));
	assert_int_equal(cJSON_GetArrayItem(args, 8)->valuedouble, -7);
	cJSON_Delete(json);
	process_unref(process);
}

static void
a_message_is_the_template_filled_in(void **state)
{
	struct pyaudit_decoded d;
	struct process *process = make_process();
	struct report report = {
		.kind = REPORT_ALERT, .process = process, .decoded = &d, .rules = &rule_set,
	};
	struct buf buf;

	(void)state;
	make_denial(&d);
	d.values[0] = pyaudit_value_text("id", 2);
	rules[1].message = template;
	buf_init(&buf);
	report_message(&report, &buf);
	buf_add_char(&buf, 0);
	assert_string_equal(buf.data, "id by /srv/app.py of web.service {x} {nothing}");
	rules[1].message = NULL;
	buf_fini(&buf);
	process_unref(process);
}

static void
without_the_rules_of_its_generation_an_alert_stays_one(void **state)
{
	struct pyaudit_decoded d;
	struct report report = {.kind = REPORT_ALERT, .decoded = &d};
	cJSON *json;

	(void)state;
	make_denial(&d);
	d.event.n_frames = 0;
	d.event.caller = 0;
	json = json_of(&report);
	assert_true(cJSON_IsNull(cJSON_GetObjectItem(json, "rule")));
	assert_true(cJSON_IsNull(cJSON_GetObjectItem(json, "caller")));
	assert_string_equal(text(json, "severity"), "warning");
	cJSON_Delete(json);
}

static void
losses_say_how_many_and_why(void **state)
{
	struct process *process = make_process();
	struct report report = {
		.kind = REPORT_LOSS, .process = process, .cause = REPORT_CAUSE_RING_FULL,
		.lost = 12, .lane = "ordinary",
	};
	cJSON *json = json_of(&report);

	(void)state;
	assert_string_equal(text(json, "kind"), "loss");
	assert_string_equal(text(json, "cause"), "ring-full");
	assert_int_equal(number(json, "lost"), 12);
	assert_int_equal(number(json, "pid"), 4242);
	assert_int_equal(report_weight(&report), 12);
	assert_int_equal(report_severity(&report), PYAUDIT_SEV_WARNING);
	cJSON_Delete(json);
	report.cause = REPORT_CAUSE_CLIENT;
	report.process = NULL;
	json = json_of(&report);
	assert_true(cJSON_IsNull(cJSON_GetObjectItem(json, "pid")));
	assert_int_equal(report_weight(&report), 0);
	cJSON_Delete(json);
	process_unref(process);
}

static void
filters_ask_for_fields_of_every_scope(void **state)
{
	struct pyaudit_value v, values[PYAUDIT_VALUES_MAX];
	struct pyaudit_decoded d;
	struct process *process = make_process();
	struct report report = {
		.kind = REPORT_ALERT, .process = process, .decoded = &d, .rules = &rule_set,
	};

	(void)state;
	make_denial(&d);
	assert_true(report_field(&report, PYAUDIT_F_SEVERITY, &v, values));
	assert_int_equal(v.i, PYAUDIT_SEV_CRITICAL);
	assert_true(report_field(&report, PYAUDIT_F_RULE, &v, values));
	assert_int_equal(v.n_items, 2);
	assert_true(report_field(&report, PYAUDIT_F_CLASS, &v, values));
	assert_memory_equal(v.items[0].s, "exec", 4);
	assert_true(report_field(&report, PYAUDIT_F_KIND, &v, values));
	assert_memory_equal(v.s, "alert", 5);
	assert_true(report_field(&report, PYAUDIT_F_PROC_PID, &v, values));
	assert_int_equal(v.i, 4242);
	assert_false(report_field(&report, PYAUDIT_F_PROC_CONTAINER, &v, values));
	assert_true(report_field(&report, PYAUDIT_F_CALLER_LINE, &v, values));
	assert_int_equal(v.i, 12);
	report = (struct report){.kind = REPORT_LOSS};
	assert_true(report_field(&report, PYAUDIT_F_EVENT, &v, values));
	assert_memory_equal(v.s, "loss", 4);
	assert_false(report_field(&report, PYAUDIT_F_RULE, &v, values));
	assert_false(report_field(&report, PYAUDIT_F_FILE_PATH, &v, values));
	process_unref(process);
}

static void
long_messages_are_cut(void **state)
{
	static char long_text[4000];
	struct report report = {.kind = REPORT_STATUS, .event = "daemon.start",
				.message = long_text};
	struct buf buf;

	(void)state;
	memset(long_text, 'x', sizeof(long_text) - 1);
	buf_init(&buf);
	report_message(&report, &buf);
	assert_int_equal(buf.len, REPORT_MESSAGE_MAX + 3);
	buf_fini(&buf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_denial_is_an_alert_with_its_rule),
		cmocka_unit_test(a_message_is_the_template_filled_in),
		cmocka_unit_test(without_the_rules_of_its_generation_an_alert_stays_one),
		cmocka_unit_test(losses_say_how_many_and_why),
		cmocka_unit_test(filters_ask_for_fields_of_every_scope),
		cmocka_unit_test(long_messages_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
