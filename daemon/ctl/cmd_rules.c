/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `pyauditctl rules check|test|list`: what can be said of rule files without a daemon, by the
 * parser and the evaluator that the daemon and the agent use.
 */
#include <getopt.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "compile.h"
#include "ctl.h"
#include "json.h"
#include "rules.h"
#include "ruletest.h"
#include "writer.h"

static const char rules_help[] =
	"Usage: pyauditctl rules COMMAND [--json] [PATH...]\n"
	"\n"
	"  check PATH...   look for mistakes in rule files\n"
	"  test PATH...    run the tests that stand beside the rules\n"
	"  list [PATH...]  show the rules (default: the installed ones)\n"
	"\n"
	"A PATH is a file, or a directory whose *.json and *.rules are read; a file in a later\n"
	"directory replaces one of the same name. `pyauditctl rules COMMAND --help` says more.\n";

static const char check_help[] =
	"Usage: pyauditctl rules check [--json] PATH...\n"
	"\n"
	"Reads rule files as the daemon does and shows every mistake in one run, each with file,\n"
	"line and column.\n"
	"\n"
	"  --json  one object: files, rules, errors, warnings and the list of diagnostics\n"
	"\n"
	"Examples:\n"
	"  pyauditctl rules check /etc/pyaudit/rules.d\n"
	"  pyauditctl rules check --json mine.json | jq -r '.diagnostics[].message'\n"
	"\n"
	"Exit status: 0 no mistakes, 1 mistakes, 2 a path cannot be read or mistake on the "
	"command\n"
	"line.\n";

static const char test_help[] =
	"Usage: pyauditctl rules test [--json] PATH...\n"
	"\n"
	"Runs the tests that stand beside the rules, each rule alone, through the evaluator that\n"
	"watched programs use. Says how often a rule acted (hits), how often it was rightly quiet\n"
	"(look-alikes), and which rules no test makes act.\n"
	"\n"
	"  --json  one object: totals, the rules with their counts, and the list of diagnostics\n"
	"\n"
	"Examples:\n"
	"  pyauditctl rules test /usr/share/pyaudit/rules.d /etc/pyaudit/rules.d\n"
	"\n"
	"Exit status: 0 all tests passed, 1 a test failed or there are mistakes, 2 a path cannot "
	"be\n"
	"read or mistake on the command line.\n";

static const char list_help[] =
	"Usage: pyauditctl rules list [--json] [PATH...]\n"
	"\n"
	"Shows the rules: id, severity, action, ATT&CK techniques, title, and where each stands.\n"
	"An action in brackets is observed only: it alerts and says what it would have done.\n"
	"\n"
	"  --json  an array of objects\n"
	"\n"
	"Examples:\n"
	"  pyauditctl rules list\n"
	"  pyauditctl rules list --json | jq -r '.[] | select(.action == \"block\") | .id'\n"
	"\n"
	"Exit status: 0, 1 mistakes, 2 a path cannot be read or mistake on the command line.\n";

struct request {
	bool json;
	struct rule_set *set;
	struct diag diag;
	int outcome; /* of reading: 0, RULES_E_INVALID or a negative errno */
};

/* Mistakes that concern a whole path have no line: it could not be read. */
static bool
unreadable(const struct diag *diag)
{
	for (size_t i = 0; i < diag->n_entries; i++)
		if (diag->entries[i].level == DIAG_ERROR && diag->entries[i].line == 0)
			return true;
	return false;
}

static int
exit_code(const struct request *request)
{
	if (unreadable(&request->diag))
		return CTL_USAGE;
	return request->outcome != 0 || request->diag.n_errors > 0 ? CTL_FAILED : CTL_OK;
}

static void
add_diagnostics(struct json *json, const struct diag *diag)
{
	json_key(json, "errors");
	json_uint(json, diag->n_errors);
	json_key(json, "warnings");
	json_uint(json, diag->n_warnings);
	json_key(json, "diagnostics");
	json_array(json);
	for (size_t i = 0; i < diag->n_entries; i++) {
		const struct diag_entry *entry = &diag->entries[i];

		json_object(json);
		json_key(json, "level");
		json_str(json, entry->level == DIAG_ERROR ? "error" : "warning");
		json_key(json, "file");
		json_str(json, entry->file);
		json_key(json, "line");
		json_uint(json, entry->line);
		json_key(json, "column");
		json_uint(json, entry->column);
		json_key(json, "message");
		json_str(json, entry->message);
		json_object_end(json);
	}
	json_array_end(json);
}

/* Prints what was gathered; a failure to gather or to write it is the command's failure. */
static int
print_json(struct buf *out, int code)
{
	buf_add_char(out, '\n');
	if (out->failed || fwrite(out->data, 1, out->len, stdout) != out->len ||
	    fflush(stdout) != 0) {
		ctl_error("cannot write the answer");
		code = CTL_FAILED;
	}
	return code;
}

static const char *
plural(size_t n)
{
	return n == 1 ? "" : "s";
}

/* What only compiling finds: patterns that are wrong or too large. */
static int
try_compile(struct request *request)
{
	struct compile_options options = {.generation = 1};
	CLEANUP(image_fini) struct image image = {0};

	return compile_rules(&image, request->set, &options, &request->diag);
}

static int
check(struct request *request)
{
	const struct diag *diag = &request->diag;
	size_t n_rules = request->set != NULL ? request->set->n_rules : 0;
	size_t n_files = request->set != NULL ? request->set->n_files : 0;
	CLEANUP(buf_fini) struct buf out;
	struct json json;

	buf_init(&out);
	if (request->outcome == 0)
		request->outcome = try_compile(request);
	if (request->outcome < 0) {
		ctl_error("cannot check the rules: %s", strerror(-request->outcome));
		return CTL_FAILED;
	}
	if (request->json) {
		json = json_on(&out);
		json_object(&json);
		json_key(&json, "files");
		json_uint(&json, n_files);
		json_key(&json, "rules");
		json_uint(&json, n_rules);
		add_diagnostics(&json, diag);
		json_object_end(&json);
		return print_json(&out, exit_code(request));
	}
	diag_print(diag, stderr);
	if (request->outcome != 0)
		(void)fprintf(stderr, "%zu mistake%s\n", diag->n_errors, plural(diag->n_errors));
	else
		(void)printf("%zu rule%s in %zu file%s, no mistakes\n", n_rules, plural(n_rules),
			     n_files, plural(n_files));
	return exit_code(request);
}

static void
print_test_table(const struct ruletest *tests)
{
	size_t n_quiet = tests->n_tests - tests->n_failed;

	for (size_t i = 0; i < tests->n_rules; i++) {
		const struct ruletest_rule *result = &tests->rules[i];
		const char *word = result->n_failed > 0		? "FAIL"
				   : result->rule->n_tests == 0 ? "none"
								: "ok";

		(void)printf("%-4s  %-36s %zu hit%s, %zu look-alike%s", word, result->rule->id,
			     result->n_hits, plural(result->n_hits), result->n_lookalikes,
			     plural(result->n_lookalikes));
		if (result->n_failed > 0)
			(void)printf(", %zu failed", result->n_failed);
		(void)putchar('\n');
	}
	(void)printf("%zu of %zu tests passed; %zu of %zu rules reached", n_quiet, tests->n_tests,
		     tests->n_reached, tests->n_rules);
	if (tests->n_untested > 0)
		(void)printf(", %zu without tests", tests->n_untested);
	(void)putchar('\n');
}

static void
add_tests(struct json *json, const struct ruletest *tests)
{
	json_key(json, "tests");
	json_uint(json, tests->n_tests);
	json_key(json, "failed");
	json_uint(json, tests->n_failed);
	json_key(json, "reached");
	json_uint(json, tests->n_reached);
	json_key(json, "untested");
	json_uint(json, tests->n_untested);
	json_key(json, "rules");
	json_array(json);
	for (size_t i = 0; i < tests->n_rules; i++) {
		const struct ruletest_rule *result = &tests->rules[i];

		json_object(json);
		json_key(json, "id");
		json_str(json, result->rule->id);
		json_key(json, "hits");
		json_uint(json, result->n_hits);
		json_key(json, "lookalikes");
		json_uint(json, result->n_lookalikes);
		json_key(json, "failed");
		json_uint(json, result->n_failed);
		json_object_end(json);
	}
	json_array_end(json);
}

static int
test(struct request *request)
{
	CLEANUP(ruletest_fini) struct ruletest tests = {0};
	CLEANUP(buf_fini) struct buf out;
	struct json json;

	buf_init(&out);
	if (request->outcome == 0)
		request->outcome = ruletest_run(&tests, request->set, &request->diag);
	if (request->outcome < 0) {
		ctl_error("cannot run the tests: %s", strerror(-request->outcome));
		return CTL_FAILED;
	}
	if (request->json) {
		json = json_on(&out);
		json_object(&json);
		add_tests(&json, &tests);
		add_diagnostics(&json, &request->diag);
		json_object_end(&json);
		return print_json(&out, exit_code(request));
	}
	if (request->set != NULL)
		print_test_table(&tests);
	(void)fflush(stdout);
	diag_print(&request->diag, stderr);
	return exit_code(request);
}

static void
add_rule(struct json *json, const struct rule *rule)
{
	json_object(json);
	json_key(json, "id");
	json_str(json, rule->id);
	json_key(json, "title");
	json_str(json, rule->title);
	json_key(json, "severity");
	json_str(json, severity_name(rule->severity));
	json_key(json, "action");
	json_str(json, rule->allow ? "allow" : action_name(rule->action));
	json_key(json, "mode");
	json_str(json, rule->observe ? "observe" : "enforce");
	json_key(json, "attack");
	json_array(json);
	for (size_t i = 0; i < rule->n_attack; i++)
		json_str(json, rule->attack[i]);
	json_array_end(json);
	json_key(json, "tests");
	json_uint(json, rule->n_tests);
	json_key(json, "file");
	json_str(json, rule->owner_file);
	json_key(json, "line");
	json_uint(json, rule->line);
	json_object_end(json);
}

/* The widest cell of a column decides; only ids and titles vary much. */
static unsigned
id_width(const struct rule_set *set)
{
	unsigned width = 4;

	for (size_t i = 0; i < set->n_rules; i++)
		if (text_width(set->rules[i].id) > width)
			width = text_width(set->rules[i].id);
	return width;
}

static void
print_rule(const struct rule *rule, unsigned width)
{
	CLEANUP(buf_fini) struct buf attack, place;
	char action[16];

	buf_init(&attack);
	buf_init(&place);
	for (size_t i = 0; i < rule->n_attack; i++)
		buf_addf(&attack, "%s%s", i > 0 ? "," : "", rule->attack[i]);
	buf_addf(&place, "%s:%u%c", rule->owner_file, rule->line, '\0');
	buf_add_char(&attack, '\0');
	(void)snprintf(action, sizeof(action), rule->observe ? "(%s)" : "%s",
		       rule->allow ? "allow" : action_name(rule->action));
	text_print_cell(stdout, rule->id, width);
	(void)printf("  %-8s  %-7s  ", severity_name(rule->severity), action);
	text_print_cell(stdout, attack.failed ? "" : attack.data, 19);
	(void)fputs("  ", stdout);
	text_print_cell(stdout, rule->title, 0);
	(void)fputs("  ", stdout);
	text_print_cell(stdout, place.failed ? "" : place.data, 0);
	(void)putchar('\n');
}

static int
list(struct request *request)
{
	const struct rule_set *set = request->set;
	CLEANUP(buf_fini) struct buf out;
	struct json json;
	unsigned width;

	buf_init(&out);
	if (set == NULL) {
		diag_print(&request->diag, stderr);
		return exit_code(request);
	}
	if (request->json) {
		json = json_on(&out);
		json_array(&json);
		for (size_t i = 0; i < set->n_rules; i++)
			add_rule(&json, &set->rules[i]);
		json_array_end(&json);
		return print_json(&out, exit_code(request));
	}
	width = id_width(set);
	for (size_t i = 0; i < set->n_rules; i++)
		print_rule(&set->rules[i], width);
	return exit_code(request);
}

static const struct subcommand {
	const char *name;
	const char *help;
	int (*main)(struct request *request);
	bool has_default; /* reads the installed rules where no path is given */
} subcommands[] = {
	{"check", check_help, check, false},
	{"test", test_help, test, false},
	{"list", list_help, list, true},
};
#define N_SUBCOMMANDS (sizeof(subcommands) / sizeof(subcommands[0]))

static const struct subcommand *
find_subcommand(const char *name)
{
	for (size_t i = 0; i < N_SUBCOMMANDS; i++)
		if (strcmp(subcommands[i].name, name) == 0)
			return &subcommands[i];
	return NULL;
}

static void
request_fini(struct request *request)
{
	rules_free(request->set);
	diag_fini(&request->diag);
}

static int
run(const struct subcommand *command, bool json, const char *const *paths, size_t n_paths)
{
	CLEANUP(request_fini) struct request request = {.json = json};

	diag_init(&request.diag);
	request.outcome = rules_load(&request.set, paths, n_paths, &request.diag);
	if (request.outcome < 0) {
		ctl_error("cannot read the rules: %s", strerror(-request.outcome));
		return CTL_FAILED;
	}
	return command->main(&request);
}

static int
unknown_subcommand(const char *word)
{
	const char *names[N_SUBCOMMANDS], *nearest;

	for (size_t i = 0; i < N_SUBCOMMANDS; i++)
		names[i] = subcommands[i].name;
	nearest = ctl_nearest(word, names, N_SUBCOMMANDS);
	if (nearest != NULL)
		return ctl_usage_error("rules", "unknown command '%s', did you mean '%s'?", word,
				       nearest);
	return ctl_usage_error("rules", "unknown command '%s'", word);
}

int
cmd_rules(int argc, char **argv)
{
	enum { JSON = 256, HELP };
	static const struct option options[] = {
		{"help", no_argument, NULL, HELP},
		{"json", no_argument, NULL, JSON},
		{0},
	};
	const struct subcommand *command;
	const char *installed[1];
	bool json = false;
	int option;

	if (argc < 2)
		return ctl_usage_error("rules", "what to do is missing: check, test or list");
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		(void)fputs(rules_help, stdout);
		return CTL_OK;
	}
	command = find_subcommand(argv[1]);
	if (command == NULL)
		return unknown_subcommand(argv[1]);
	argc--;
	argv++;
	optind = 0; /* a fresh scan: the caller had one of its own */
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (option) {
		case JSON:
			json = true;
			break;
		case 'h':
		case HELP:
			(void)fputs(command->help, stdout);
			return CTL_OK;
		default:
			return ctl_usage_error("rules", "unknown option '%s'", argv[optind - 1]);
		}
	}
	if (optind < argc)
		return run(command, json, (const char *const *)(argv + optind),
			   (size_t)(argc - optind));
	if (!command->has_default)
		return ctl_usage_error("rules", "%s needs a file or directory", command->name);
	installed[0] = ctl_default_rules_dir();
	return run(command, json, installed, 1);
}
