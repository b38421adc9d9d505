/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `pyauditctl rules explain`: an event from a capture or typed by hand, and what every rule that
 * looks at it makes of it. What is typed becomes a test of a rule file and is read as one, so that
 * mistakes in it are told as they are there.
 */
#include <cjson/cJSON.h>
#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "capture.h"
#include "cleanup.h"
#include "client.h"
#include "explain.h"
#include "explain_memory.h"
#include "json.h"
#include "replay.h"
#include "rules_cmd.h"
#include "secrets.h"
#include "stage.h"
#include "unparse.h"
#include "writer.h"

static const char help[] =
	"Usage: pyauditctl rules explain [OPTION...] EVENT [ARG...]\n"
	"       pyauditctl rules explain [OPTION...] '{\"event\": ..., \"args\": [...], ...}'\n"
	"       pyauditctl rules explain [OPTION...] --capture FILE --event N\n"
	"\n"
	"Says why an event is judged as it is: every rule that looks at it, whether each of its\n"
	"conditions and exceptions holds, the field's value where one does not, which rule decides,\n"
	"and in which file and line all that stands. Of an event of a capture it also says what\n"
	"rules with memory held before it, and whether they alert at it.\n"
	"\n"
	"An ARG that is JSON (7, null, [\"sh\", \"-c\"], {\"object\": \"socket\"}) is taken as such,\n"
	"all else as text. The object is a test as in rule files, without `expect`.\n"
	"\n"
	"  --proc NAME=VALUE    a fact of the process: unit, script, exe, user id, ...; may be\n"
	"                       repeated\n"
	"  --caller NAME=VALUE  file, line, function, module or package of the calling code; may be\n"
	"                       repeated\n"
	"  --layer LAYER        audit (default), libc or daemon\n"
	"  --capture FILE       take the event from a capture\n"
	"  --event N            its number there, from 1, as `replay` shows it\n"
	"  --rules PATH         rules beside the installed ones and the host's; may be repeated\n"
	"  --no-default-rules   leave those out\n"
	"  --profile NAME       rules of the profile server, build, agent or audit as well\n"
	"  --observe            as under observe mode\n"
	"  --all                show the rules that do not match with all their conditions as well\n"
	"  --json               one object\n"
	"\n"
	"Examples:\n"
	"  pyauditctl rules explain os.system id --proc unit=gunicorn.service\n"
	"  pyauditctl rules explain open /etc/shadow r 0 --caller module=app\n"
	"  pyauditctl rules explain --capture shop.capture --event 12\n"
	"\n"
	"Exit status: 0 explained, 1 there is no such event or the capture is damaged, 2 mistake in\n"
	"rules, in the event or on the command line.\n";

struct request {
	const char **rules;
	size_t n_rules;
	const char *profile; /* or NULL */
	bool no_default_rules, observe, all, json, help;
	const char *capture;
	uint64_t number;
	cJSON *test; /* what is typed */
};

/* ---- the command line ---- */

/* NAME=VALUE of --proc and --caller, into the object of that name. */
static int
add_fact(cJSON *test, const char *object_name, const char *text)
{
	cJSON *object = cJSON_GetObjectItemCaseSensitive(test, object_name);
	const char *equals = strchr(text, '=');
	CLEANUP(freep) char *name = NULL;
	cJSON *value;

	if (equals == NULL || equals == text)
		return ctl_usage_error("rules explain", "--%s: '%s' is not NAME=VALUE", object_name,
				       text);
	name = strndup(text, (size_t)(equals - text));
	value = cJSON_Parse(equals + 1);
	if (!cJSON_IsNumber(value) && !cJSON_IsArray(value)) {
		cJSON_Delete(value);
		value = cJSON_CreateString(equals + 1);
	}
	if (object == NULL)
		object = cJSON_AddObjectToObject(test, object_name);
	if (name == NULL || !cJSON_AddItemToObject(object, name, value)) {
		cJSON_Delete(value);
		ctl_error("out of memory");
		return CTL_FAILED;
	}
	return CTL_OK;
}

static int
add_words(struct request *request, char **words, int n_words)
{
	cJSON *args, *value;

	if (words[0][0] == '{') {
		value = cJSON_Parse(words[0]);
		if (n_words > 1 || request->test->child != NULL)
			return ctl_usage_error("rules explain",
					       "the object says it all: nothing goes beside it");
		if (!cJSON_IsObject(value)) {
			cJSON_Delete(value);
			return ctl_usage_error("rules explain", "'%s' is not JSON", words[0]);
		}
		cJSON_Delete(request->test);
		request->test = value;
		return CTL_OK;
	}
	if (cJSON_AddStringToObject(request->test, "event", words[0]) == NULL)
		return CTL_FAILED;
	args = cJSON_AddArrayToObject(request->test, "args");
	for (int i = 1; i < n_words; i++) {
		value = cJSON_Parse(words[i]);
		if (value == NULL || cJSON_IsBool(value)) { /* true is a program */
			cJSON_Delete(value);
			value = cJSON_CreateString(words[i]);
		}
		if (!cJSON_AddItemToArray(args, value))
			return CTL_FAILED;
	}
	return CTL_OK;
}

static int
take_number(struct request *request, const char *text)
{
	char *end;

	errno = 0;
	request->number = strtoull(text, &end, 10);
	if (errno != 0 || *end != '\0' || request->number == 0 || text[0] < '0' || text[0] > '9')
		return ctl_usage_error("rules explain", "--event: '%s' is not a number from 1 on",
				       text);
	return CTL_OK;
}

static int
parse_options(struct request *request, int argc, char **argv)
{
	enum { PROC = 256, CALLER, LAYER, CAPTURE, EVENT, RULES, PROFILE, NO_DEFAULT, OBSERVE, ALL, JSON, HELP };
	static const struct option options[] = {
		{"proc", required_argument, NULL, PROC},
		{"caller", required_argument, NULL, CALLER},
		{"layer", required_argument, NULL, LAYER},
		{"capture", required_argument, NULL, CAPTURE},
		{"event", required_argument, NULL, EVENT},
		{"rules", required_argument, NULL, RULES},
		{"profile", required_argument, NULL, PROFILE},
		{"no-default-rules", no_argument, NULL, NO_DEFAULT},
		{"observe", no_argument, NULL, OBSERVE},
		{"all", no_argument, NULL, ALL},
		{"json", no_argument, NULL, JSON},
		{"help", no_argument, NULL, HELP},
		{0},
	};
	int option, r = CTL_OK;

	optind = 0;
	opterr = 0;
	while (r == CTL_OK && (option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (option) {
		case PROC:
			r = add_fact(request->test, "proc", optarg);
			break;
		case CALLER:
			r = add_fact(request->test, "caller", optarg);
			break;
		case LAYER:
			if (cJSON_AddStringToObject(request->test, "layer", optarg) == NULL)
				r = CTL_FAILED;
			break;
		case CAPTURE:
			request->capture = optarg;
			break;
		case EVENT:
			r = take_number(request, optarg);
			break;
		case RULES:
			request->rules[request->n_rules++] = optarg;
			break;
		case PROFILE:
			if (ctl_check_profile("rules explain", optarg) != CTL_OK)
				return CTL_USAGE;
			request->profile = optarg;
			break;
		case NO_DEFAULT:
			request->no_default_rules = true;
			break;
		case OBSERVE:
			request->observe = true;
			break;
		case ALL:
			request->all = true;
			break;
		case JSON:
			request->json = true;
			break;
		case 'h':
		case HELP:
			request->help = true;
			(void)fputs(help, stdout);
			return CTL_OK;
		case ':':
			return ctl_usage_error("rules explain", "option '%s' needs a value",
					       argv[optind - 1]);
		default:
			return ctl_usage_error("rules explain", "unknown option '%s'",
					       argv[optind - 1]);
		}
	}
	if (r != CTL_OK)
		return r;
	if ((request->capture != NULL) != (request->number != 0))
		return ctl_usage_error("rules explain", "--capture and --event go together");
	if (request->capture != NULL && (optind < argc || request->test->child != NULL))
		return ctl_usage_error("rules explain",
				       "the event comes from the capture: nothing can be typed");
	if (request->capture == NULL && optind == argc)
		return ctl_usage_error("rules explain", "the event is missing");
	return request->capture == NULL ? add_words(request, argv + optind, argc - optind) : CTL_OK;
}

/* ---- what is shown ---- */

static void
add_test(struct json *json, const struct explain_test *test)
{
	struct buf text;

	buf_init(&text);
	unparse_expr(&text, test->expr);
	json_object(json);
	json_key(json, "test");
	json_text(json, text.data, text.len);
	json_key(json, "holds");
	json_bool(json, test->holds);
	json_key(json, "field");
	json_str(json, pyaudit_fields[test->expr->field].name);
	json_key(json, "value");
	json_str(json, test->value);
	json_object_end(json);
	json->out->failed |= text.failed;
	buf_fini(&text);
}

static void
add_part(struct json *json, const struct explain_part *part)
{
	json_object(json);
	json_key(json, part->exception != NULL ? "exception" : "condition");
	json_str(json, part->text);
	if (part->step != NULL) {
		json_key(json, "step");
		json_uint(json, part->step_number);
	}
	json_key(json, "holds");
	json_bool(json, part->holds);
	if (part->exception != NULL) {
		json_key(json, "owner");
		json_str(json, part->exception->owner);
		json_key(json, "expired");
		json_bool(json, part->expr == NULL);
	}
	json_key(json, "file");
	json_str(json, part->file);
	json_key(json, "line");
	json_uint(json, part->line);
	json_key(json, "tests");
	json_array(json);
	for (size_t i = 0; i < part->n_tests; i++)
		add_test(json, &part->tests[i]);
	json_array_end(json);
	json_object_end(json);
}

static void
add_rule(struct json *json, const struct explain_rule *one, const struct explain_memory *memory)
{
	const struct rule *rule = one->rule;

	json_object(json);
	json_key(json, "id");
	json_str(json, rule->id);
	json_key(json, "action");
	json_str(json, rule->allow ? "allow" : action_name(rule->action));
	json_key(json, "mode");
	json_str(json, rule->observe ? "observe" : "enforce");
	json_key(json, "holds");
	json_bool(json, one->holds);
	json_key(json, "decides");
	json_bool(json, one->decides);
	explain_memory_json(json, one, memory);
	json_key(json, "allowed_by");
	json_str(json, one->allowed_by != NULL ? one->allowed_by->id : NULL);
	json_key(json, "file");
	json_str(json, rule->owner_file);
	json_key(json, "line");
	json_uint(json, rule->line);
	json_key(json, "changed_by");
	json_array(json);
	for (size_t i = 0; i < rule->n_origins; i++) {
		struct buf place;

		buf_init(&place);
		buf_addf(&place, "%s:%u", rule->origins[i].file, rule->origins[i].line);
		json_text(json, place.data, place.len);
		buf_fini(&place);
	}
	json_array_end(json);
	json_key(json, "conditions");
	json_array(json);
	for (size_t i = 0; i < one->n_parts; i++)
		add_part(json, &one->parts[i]);
	json_array_end(json);
	json_object_end(json);
}

static int
print_json(const struct explain *explain, const struct rule_set *set, const char *name,
	   const struct explain_memory *memory)
{
	CLEANUP(buf_fini) struct buf out;
	struct json json;

	buf_init(&out);
	json = json_on(&out);
	json_object(&json);
	json_key(&json, "event");
	json_str(&json, name);
	json_key(&json, "action");
	json_str(&json, action_name((enum pyaudit_action)explain->verdict.action));
	json_key(&json, "observed");
	json_bool(&json, explain->verdict.observed != 0);
	json_key(&json, "hits");
	json_array(&json);
	for (unsigned i = 0; i < explain->verdict.n_hits; i++)
		json_str(&json, rules_id_at(set, explain->verdict.hits[i]));
	json_array_end(&json);
	json_key(&json, "rules");
	json_array(&json);
	for (size_t i = 0; i < explain->n_rules; i++)
		add_rule(&json, &explain->rules[i], memory);
	json_array_end(&json);
	json_object_end(&json);
	return rules_print_json(&out, CTL_OK);
}

static void
print_place(const char *file, unsigned line)
{
	(void)fputs("   ", stdout);
	text_print_cell(stdout, file, 0);
	(void)printf(":%u\n", line);
}

/* The tests of a part, but for those that say the same as the part itself. */
static void
print_tests(const struct explain_part *part)
{
	for (size_t i = 0; i < part->n_tests; i++) {
		const struct explain_test *test = &part->tests[i];
		struct buf text;

		buf_init(&text);
		unparse_expr(&text, test->expr);
		buf_add_char(&text, '\0');
		(void)fputs(test->holds ? "            true   " : "            false  ", stdout);
		if (part->n_tests > 1) {
			text_print_cell(stdout, text.failed ? "" : text.data, 0);
			(void)fputs("; ", stdout);
		}
		(void)printf("%s %s ", pyaudit_fields[test->expr->field].name,
			     strcmp(test->value, "no value") == 0 ? "has" : "is");
		text_print_cell(stdout, test->value, 0);
		(void)putchar('\n');
		buf_fini(&text);
	}
}

static void
print_part(const struct explain_part *part)
{
	(void)printf("    %-5s ", part->holds ? "true" : "false");
	if (part->step != NULL)
		(void)printf("step %u%s", part->step_number, part->text != NULL ? ": " : "");
	if (part->exception != NULL && part->expr == NULL) {
		(void)fputs("exception of ", stdout);
		text_print_cell(stdout, part->exception->owner, 0);
		(void)printf(", expired on %s", part->exception->expires);
	} else {
		if (part->exception != NULL)
			(void)fputs("exception: ", stdout);
		if (part->text != NULL)
			text_print_cell(stdout, part->text, 0);
	}
	print_place(part->file, part->line);
	print_tests(part);
}

static void
print_rule(const struct explain_rule *one, const struct explain_memory *memory, bool whole)
{
	const struct rule *rule = one->rule;

	(void)printf("%s  ", one->decides	    ? "DECIDES "
			     : !one->holds	    ? "does not"
			     : one->matched != 0    ? "counts  "
						    : "matches ");
	text_print_cell(stdout, rule->id, 0);
	(void)printf(", %s%s", rule->allow ? "allow" : action_name(rule->action),
		     rule->observe ? " (observed)" : "");
	if (one->allowed_by != NULL) {
		(void)fputs(", taken out by ", stdout);
		text_print_cell(stdout, one->allowed_by->id, 0);
	}
	print_place(rule->owner_file, rule->line);
	for (size_t i = 0; i < rule->n_origins; i++) {
		(void)printf("    changed: %s", rule->origins[i].what);
		print_place(rule->origins[i].file, rule->origins[i].line);
	}
	if (one->holds || whole)
		explain_memory_print(one, memory);
	for (size_t i = 0; i < one->n_parts; i++) {
		bool against = one->parts[i].holds == (one->parts[i].exception != NULL);

		if (one->holds && one->parts[i].step != NULL && !one->parts[i].holds)
			continue; /* another step */

		if (whole || against)
			print_part(&one->parts[i]);
		if (!whole && against)
			break; /* one that does not let it match is enough */
	}
}

static int
print_text(const struct request *request, const struct explain *explain,
	   const struct rule_set *set, const char *name, const struct explain_memory *memory)
{
	size_t n_holding = 0;
	bool counts = false;

	for (size_t i = 0; i < explain->n_rules; i++)
		counts = counts || explain->rules[i].matched != 0;
	text_print_cell(stdout, name, 0);
	(void)printf(": %s%s",
		     explain->verdict.action == PYAUDIT_ACTION_NONE
			     ? counts ? "only rules with memory ask for it" : "no rule asks for it"
			     : action_name((enum pyaudit_action)explain->verdict.action),
		     explain->verdict.observed ? " (would have been refused)" : "");
	for (unsigned i = 0; i < explain->verdict.n_hits; i++)
		(void)printf("%s%s", i == 0 ? " by " : ", ",
			     rules_id_at(set, explain->verdict.hits[i]));
	explain_memory_print_alerts(memory);
	(void)putchar('\n');
	for (size_t i = 0; i < explain->n_rules; i++)
		if (explain->rules[i].holds) {
			print_rule(&explain->rules[i], memory, true);
			n_holding++;
		}
	(void)printf("%zu of %zu rules that look at %s match%s\n", n_holding, explain->n_rules,
		     name, n_holding < explain->n_rules ? "; the others:" : "");
	for (size_t i = 0; i < explain->n_rules; i++)
		if (!explain->rules[i].holds)
			print_rule(&explain->rules[i], memory, request->all);
	return CTL_OK;
}

static int
explain(const struct request *request, const struct rule_set *set, const char *name,
	const struct pyaudit_facts *facts, struct pyaudit_event *event,
	const struct explain_memory *memory)
{
	struct explain result = {0};
	struct diag diag;
	int r;

	diag_init(&diag);
	r = explain_event(&result, set, request->observe, name, facts, event, &diag);
	if (r < 0) {
		ctl_error("cannot explain the event: %s", strerror(-r));
		r = CTL_FAILED;
	} else if (r > 0) {
		diag_print(&diag, stderr);
		r = CTL_USAGE;
	} else {
		r = request->json ? print_json(&result, set, name, memory)
				  : print_text(request, &result, set, name, memory);
	}
	explain_fini(&result);
	diag_fini(&diag);
	return r;
}

/* ---- the event ---- */

/* A rule file around the test: whatever is wrong with it is found by whoever reads those. */
static char *
file_of(cJSON *test)
{
	CLEANUP(json_freep) cJSON *file = cJSON_CreateObject();
	const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(test, "event"));
	cJSON *rule, *tests;

	(void)cJSON_AddNumberToObject(file, "version", 1);
	rule = cJSON_CreateObject();
	(void)cJSON_AddItemToArray(cJSON_AddArrayToObject(file, "rules"), rule);
	(void)cJSON_AddStringToObject(rule, "id", "event");
	(void)cJSON_AddStringToObject(rule, "title", "event");
	(void)cJSON_AddStringToObject(rule, "on", name != NULL ? name : "");
	(void)cJSON_AddStringToObject(rule, "action", "record");
	tests = cJSON_AddArrayToObject(rule, "tests");
	/* What it expects of a rule of its own is not the question here. */
	cJSON_DeleteItemFromObjectCaseSensitive(test, "expect");
	(void)cJSON_AddStringToObject(test, "expect", "none");
	if (!cJSON_AddItemReferenceToArray(tests, test))
		return NULL;
	return cJSON_PrintUnformatted(file);
}

/* Mistakes in what was typed have no line that means something. */
static int
print_mistakes(const struct diag *diag)
{
	for (size_t i = 0; i < diag->n_entries; i++)
		if (diag->entries[i].level == DIAG_ERROR &&
		    (i == 0 || strcmp(diag->entries[i].message, diag->entries[i - 1].message) != 0))
			text_print(stderr, "pyauditctl rules explain: ", diag->entries[i].message);
	return CTL_USAGE;
}

static int
explain_typed(struct request *request, const struct rule_set *set)
{
	CLEANUP(stage_freep) struct stage *stage = calloc(1, sizeof(*stage));
	CLEANUP(rules_freep) struct rule_set *typed = NULL;
	CLEANUP(freep) char *text = file_of(request->test);
	struct diag diag;
	int r = -ENOMEM;

	diag_init(&diag);
	if (stage != NULL && text != NULL)
		r = rules_parse(&typed, "event", text, strlen(text), &diag);
	if (r < 0) {
		ctl_error("cannot read the event: %s", strerror(-r));
		r = CTL_FAILED;
	} else if (r > 0) {
		r = print_mistakes(&diag);
	} else {
		const struct rule_test *test = &typed->rules[0].tests[0];

		stage_set(stage, test);
		r = explain(request, set, test->event, &stage->facts, &stage->event, NULL);
	}
	diag_fini(&diag);
	return r;
}

struct sought {
	const struct request *request;
	const struct rule_set *set;
	struct replay replay; /* of what comes before it, for memories */
	struct diag diag;
	struct explain_memory memory;
	bool found;
	int code;
};

/* A rule's memory alerts; while the event asked for is judged, that is told of it. */
static void
take_alert(void *data, struct report *report)
{
	struct sought *sought = data;

	for (unsigned i = 0; i < sought->memory.n; i++)
		if (&sought->memory.of[i].rule->memory == report->memory)
			sought->memory.of[i].alerts = true;
}

static void
look(struct sought *sought, const struct capture_event *captured, struct report *report,
     const struct memory_hits *hits)
{
	for (unsigned i = 0; i < hits->n; i++) {
		struct explain_remembered *of = &sought->memory.of[sought->memory.n];

		if (hits->hit[i].part == RULE_EXCEPTED)
			continue;
		of->rule = &sought->set->rules[hits->hit[i].rule];
		of->step = hits->hit[i].part == RULE_STEP ? hits->hit[i].index + 1u : 0;
		replay_look(&sought->replay, captured, report, hits, i, &of->state);
		sought->memory.n++;
	}
}

static int
remember(struct sought *sought, const struct capture_event *captured)
{
	struct report report = {
		.time_ns = captured->decoded->time_ns,
		.process = captured->process,
		.decoded = captured->decoded,
		.rules = sought->set,
	};
	struct pyaudit_verdict verdict;
	struct memory_hits hits;
	int r = replay_judge(&sought->replay, captured, &verdict);

	if (r != 0)
		return r;
	replay_apply(captured, &verdict);
	(void)replay_sort(&sought->replay, captured, &hits);
	if (captured->number == sought->request->number)
		look(sought, captured, &report, &hits);
	return replay_remember(&sought->replay, captured, &report, &hits, take_alert, sought);
}

static int
take_clock(void *data, uint64_t time_ns)
{
	struct sought *sought = data;

	replay_clock(&sought->replay, time_ns, take_alert, sought);
	return 0;
}

static int
take_event(void *data, const struct capture_event *captured)
{
	struct sought *sought = data;
	struct pyaudit_event *event = &captured->decoded->event;
	char name[PYAUDIT_RECORD_MAX + 1];
	int r = remember(sought, captured);

	if (r != 0 || captured->number != sought->request->number)
		return r;
	memcpy(name, event->name, event->name_len);
	name[event->name_len] = '\0';
	sought->found = true;
	sought->code = explain(sought->request, sought->set, name, captured->facts, event,
			       &sought->memory);
	return -ECANCELED;
}

static int
explain_captured(const struct request *request, const struct rule_set *set)
{
	static const struct capture_reader reader = {.event = take_event, .clock = take_clock};
	CLEANUP(fclosep) FILE *in = fopen(request->capture, "re");
	struct sought sought = {.request = request, .set = set};
	struct capture_summary summary = {0};
	char why[CAPTURE_WHY_MAX];
	int r;

	if (in == NULL) {
		ctl_error("cannot read '%s': %s", request->capture, strerror(errno));
		return CTL_FAILED;
	}
	diag_init(&sought.diag);
	replay_init(&sought.replay, set, &sought.diag);
	sought.replay.observe = request->observe;
	r = capture_read(in, &reader, &sought, &summary, why);
	replay_fini(&sought.replay);
	if (r == RULES_E_INVALID)
		diag_print(&sought.diag, stderr);
	diag_fini(&sought.diag);
	if (sought.found)
		return sought.code;
	if (r == RULES_E_INVALID)
		return CTL_USAGE;
	if (r == CAPTURE_E_INVALID)
		ctl_error("%s: %s", request->capture, why);
	else if (r < 0)
		ctl_error("cannot read '%s': %s", request->capture, strerror(-r));
	else
		ctl_error("%s has %llu events", request->capture,
			  (unsigned long long)summary.n_events);
	return CTL_FAILED;
}

static int
explain_by_rules(struct request *request)
{
	CLEANUP(freep) const char **paths =
		calloc(request->n_rules + CTL_DEFAULT_RULES_MAX, sizeof(*paths));
	CLEANUP(rules_freep) struct rule_set *set = NULL;
	struct diag diag;
	size_t n = 0;
	int r;

	if (paths == NULL) {
		ctl_error("out of memory");
		return CTL_FAILED;
	}
	if (!request->no_default_rules)
		n = ctl_default_rules(paths, request->profile);
	for (size_t i = 0; i < request->n_rules; i++)
		paths[n++] = request->rules[i];
	diag_init(&diag);
	r = rules_load(&set, paths, n, &diag);
	if (r == 0)
		pyaudit_secrets_use(set->forms);
	if (r < 0)
		ctl_error("cannot read the rules: %s", strerror(-r));
	else if (r > 0)
		diag_print(&diag, stderr);
	diag_fini(&diag);
	if (r != 0)
		return CTL_USAGE;
	return request->capture != NULL ? explain_captured(request, set)
					: explain_typed(request, set);
}

int
rules_explain(int argc, char **argv)
{
	struct request request = {0};
	int r = CTL_FAILED;

	request.rules = calloc((size_t)argc, sizeof(*request.rules));
	request.test = cJSON_CreateObject();
	if (request.rules == NULL || request.test == NULL)
		ctl_error("out of memory");
	else
		r = parse_options(&request, argc, argv);
	if (r == CTL_OK && !request.help)
		r = explain_by_rules(&request);
	cJSON_Delete(request.test);
	free(request.rules);
	return r;
}
