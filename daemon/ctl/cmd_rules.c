/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `pyauditctl rules COMMAND`: what can be said of rule files without a daemon, by the
 * parser and the evaluator that the daemon and the agent use.
 */
#include <getopt.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "compile.h"
#include "lint.h"
#include "rules_cmd.h"
#include "secrets.h"

static const char rules_help[] =
	"Usage: pyauditctl rules COMMAND [OPTION...] [ARG...]\n"
	"\n"
	"  check PATH...      look for mistakes in rule files\n"
	"  test PATH...       run the tests that stand beside the rules\n"
	"  list [PATH...]     show the rules (default: the installed ones and the host's)\n"
	"  show ID [PATH...]  show what became of one rule, and which files made it so\n"
	"  explain EVENT ...  why an event is judged as it is: every rule, every condition\n"
	"  schema             the JSON Schema of rule files, for editors\n"
	"\n"
	"A PATH is a file, or a directory whose *.json and *.rules are read; a file in a later\n"
	"directory replaces one of the same name. `pyauditctl rules COMMAND --help` says more.\n";

static const char check_help[] =
	"Usage: pyauditctl rules check [--strict] [--notes] [--json] PATH...\n"
	"\n"
	"Reads rule files as the daemon does and shows every mistake in one run, each with file,\n"
	"line and column; and warns of what is allowed but hardly meant: conditions that always or\n"
	"never hold, rules that repeat others or add nothing to them, patterns that are nearly too\n"
	"large, exceptions that have expired, lists and macros that nothing names.\n"
	"\n"
	"  --strict  warnings are mistakes\n"
	"  --notes   also note rules whose events some versions of CPython do not raise\n"
	"  --json    one object: files, rules, errors, warnings and the list of diagnostics, each\n"
	"            with level, code, file, line, column and message; codes stay the same\n"
	"\n"
	"Examples:\n"
	"  pyauditctl rules check /etc/pyaudit/rules.d\n"
	"  pyauditctl rules check --json mine.json | jq -r '.diagnostics[].message'\n"
	"\n"
	"Exit status: 0 no mistakes, 1 mistakes (--strict: or warnings), 2 a path cannot be read or\n"
	"mistake on the command line.\n";

/* Mistakes that concern a whole path have no line: it could not be read. */
static bool
unreadable(const struct diag *diag)
{
	for (size_t i = 0; i < diag->n_entries; i++)
		if (diag->entries[i].level == DIAG_ERROR && diag->entries[i].line == 0)
			return true;
	return false;
}

int
rules_exit_code(const struct rules_request *request)
{
	if (unreadable(&request->diag))
		return CTL_USAGE;
	if (request->strict && request->diag.n_warnings > 0)
		return CTL_FAILED;
	return request->outcome != 0 || request->diag.n_errors > 0 ? CTL_FAILED : CTL_OK;
}

void
rules_add_diagnostics(struct json *json, const struct diag *diag)
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
		json_str(json, entry->level == DIAG_ERROR     ? "error"
			       : entry->level == DIAG_WARNING ? "warning"
							      : "note");
		json_key(json, "code");
		json_str(json, entry->code != NULL ? entry->code : "mistake");
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
int
rules_print_json(struct buf *out, int code)
{
	buf_add_char(out, '\n');
	if (out->failed || fwrite(out->data, 1, out->len, stdout) != out->len ||
	    fflush(stdout) != 0) {
		ctl_error("cannot write the answer");
		code = CTL_FAILED;
	}
	return code;
}

const char *
rules_plural(size_t n)
{
	return n == 1 ? "" : "s";
}

/* What only compiling finds: patterns that are wrong or too large. */
static int
try_compile(struct rules_request *request)
{
	struct compile_options options = {.generation = 1};
	CLEANUP(image_fini) struct image image = {0};

	return compile_rules(&image, request->set, &options, &request->diag);
}

static int
check(struct rules_request *request)
{
	const struct diag *diag = &request->diag;
	size_t n_rules = request->set != NULL ? request->set->n_rules : 0;
	size_t n_files = request->set != NULL ? request->set->n_files : 0;
	struct lint_options options = {.notes = request->notes};
	CLEANUP(buf_fini) struct buf out;
	struct json json;

	buf_init(&out);
	if (request->outcome == 0)
		request->outcome = try_compile(request);
	if (request->outcome == 0)
		request->outcome = lint_rules(request->set, &options, &request->diag);
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
		rules_add_diagnostics(&json, diag);
		json_object_end(&json);
		return rules_print_json(&out, rules_exit_code(request));
	}
	diag_print(diag, stderr);
	if (request->outcome != 0)
		(void)fprintf(stderr, "%zu mistake%s\n", diag->n_errors, rules_plural(diag->n_errors));
	else
		(void)printf("%zu rule%s in %zu file%s, no mistakes\n", n_rules, rules_plural(n_rules),
			     n_files, rules_plural(n_files));
	return rules_exit_code(request);
}

static const char schema_help[] =
	"Usage: pyauditctl rules schema\n"
	"\n"
	"Prints the JSON Schema (draft 2020-12) of rule files, with the names of all events and\n"
	"classes. Editors complete and check by it; comments in rule files are theirs to allow\n"
	"(JSON with comments).\n"
	"\n"
	"Examples:\n"
	"  pyauditctl rules schema > pyaudit-rules.schema.json\n"
	"\n"
	"Exit status: 0, 1 it could not be written, 2 mistake on the command line.\n";

static const struct subcommand {
	const char *name;
	const char *help;
	rules_main_fn *main;
	ctl_main_fn *own; /* reads its command line itself */
	enum { NEEDS_PATHS, HAS_DEFAULT, NEEDS_ID, NO_PATHS } paths;
	enum { NO_OPTIONS, COVERS, LINTS, ASKS } options; /* --coverage; --strict and --notes; --dir */
} subcommands[] = {
	{"check", check_help, check, NULL, NEEDS_PATHS, LINTS},
	{"test", rules_test_help, rules_test, NULL, NEEDS_PATHS, COVERS},
	{"list", rules_list_help, rules_list, NULL, HAS_DEFAULT, ASKS},
	{"show", rules_show_help, rules_show, NULL, NEEDS_ID, NO_OPTIONS},
	{"explain", NULL, NULL, rules_explain, NO_PATHS, NO_OPTIONS},
	{"schema", schema_help, rules_schema, NULL, NO_PATHS, NO_OPTIONS},
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
request_fini(struct rules_request *request)
{
	rules_free(request->set);
	diag_fini(&request->diag);
}

static int
run(const struct subcommand *command, struct rules_request *request, const char *const *paths,
    size_t n_paths)
{
	diag_init(&request->diag);
	if (command->paths != NO_PATHS)
		request->outcome = rules_load(&request->set, paths, n_paths, &request->diag);
	if (request->outcome < 0) {
		ctl_error("cannot read the rules: %s", strerror(-request->outcome));
		return CTL_FAILED;
	}
	if (request->outcome == 0 && request->set != NULL)
		pyaudit_secrets_use(request->set->forms);
	return command->main(request);
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

/* Options of the command, which stands in argv[0]. CTL_OK with *ret_help, or a usage error. */
static int
parse_options(const struct subcommand *command, int argc, char **argv,
	      struct rules_request *request, bool *ret_help)
{
	enum { JSON = 256, COVERAGE, STRICT, NOTES, DIR, HELP };
	static const struct option options[] = {
		{"help", no_argument, NULL, HELP},
		{"json", no_argument, NULL, JSON},
		{"coverage", no_argument, NULL, COVERAGE},
		{"strict", no_argument, NULL, STRICT},
		{"notes", no_argument, NULL, NOTES},
		{"dir", required_argument, NULL, DIR},
		{0},
	};
	int option;

	optind = 0; /* a fresh scan: the caller had one of its own */
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		if (option == 'h' || option == HELP) {
			(void)fputs(command->help, stdout);
			*ret_help = true;
			return CTL_OK;
		}
		if (option == JSON && command->paths != NO_PATHS)
			request->json = true;
		else if (option == COVERAGE && command->options == COVERS)
			request->coverage = true;
		else if (option == STRICT && command->options == LINTS)
			request->strict = true;
		else if (option == NOTES && command->options == LINTS)
			request->notes = true;
		else if (option == DIR && command->options == ASKS)
			request->dir = optarg;
		else if (option == ':')
			return ctl_usage_error("rules", "option '%s' needs a value", argv[optind - 1]);
		else
			return ctl_usage_error("rules", "unknown option '%s'", argv[optind - 1]);
	}
	return CTL_OK;
}

/* The rules that the command is about: those given, or all that there are on this host. */
static int
run_with_paths(const struct subcommand *command, struct rules_request *request,
	       const char *const *paths, size_t n_paths)
{
	const char *standard[CTL_DEFAULT_RULES_MAX];

	if (command->paths == NEEDS_ID) {
		if (n_paths == 0)
			return ctl_usage_error("rules", "show needs the id of a rule");
		request->id = *paths++;
		n_paths--;
	}
	if (command->paths == NO_PATHS && n_paths > 0)
		return ctl_usage_error("rules", "unexpected argument '%s'", paths[0]);
	request->has_paths = n_paths > 0;
	if (command->paths == NO_PATHS || n_paths > 0)
		return run(command, request, paths, n_paths);
	if (command->paths == NEEDS_PATHS)
		return ctl_usage_error("rules", "%s needs a file or directory", command->name);
	n_paths = ctl_default_rules(standard, NULL);
	return run(command, request, standard, n_paths);
}

int
cmd_rules(int argc, char **argv)
{
	CLEANUP(request_fini) struct rules_request request = {0};
	const struct subcommand *command;
	bool help = false;
	int r;

	if (argc < 2)
		return ctl_usage_error("rules", "what to do is missing: check, test, list, show, "
						"explain or schema");
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		(void)fputs(rules_help, stdout);
		return CTL_OK;
	}
	command = find_subcommand(argv[1]);
	if (command == NULL)
		return unknown_subcommand(argv[1]);
	if (command->own != NULL)
		return command->own(argc - 1, argv + 1);
	r = parse_options(command, argc - 1, argv + 1, &request, &help);
	if (r != CTL_OK || help)
		return r;
	return run_with_paths(command, &request, (const char *const *)(argv + 1 + optind),
			      (size_t)(argc - 1 - optind));
}
