/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets of values by script and kind. A kind becomes a rule only where everything of its events was
 * recorded while the script ran: else its silence would say nothing.
 *
 * What code of an installed distribution does stands under its name, where the capture has it: only that
 * distribution may do it. What other code does is of the script as a whole.
 */
#include "learn.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "generalise.h"
#include "json.h"

enum kind {
	PROGRAMS, /* exec.path, but for shells that are given a command */
	COMMANDS, /* exec.cmdline of those */
	HOSTS,
	SOCKETS, /* net.path */
	READS,
	WRITES,
	LIBRARIES,
	EXTENSIONS,
	CODE,	/* code.filename, and who runs it */
	PICKLES, /* pickle.module */
	KINDS,
};

#define SEPARATOR "\n"    /* between the two halves of a value */
#define IS_PACKAGE '@' /* begins the name of a distribution where a module's may stand */

/* Of a script's name and a distribution's in the names of lists, which have 64 bytes. */
#define SLUG_NAME_MAX 24
#define OWNER_NAME_MAX 14

struct script {
	char *name;
	char slug[48]; /* begins the names of its lists and rules */
	uint64_t n_events;
	uint16_t recorded; /* classes that every policy it ran under recorded */
	struct texts values[KINDS];
	bool is_vague[KINDS]; /* some event had no value where the others have one */
	bool is_full[KINDS];
};

struct learn {
	struct script *scripts;
	size_t n_scripts;
	size_t n_left_out;
};

static const struct {
	const char *name; /* ends the rule's id and its list */
	const char *on;
	const char *title;
	const char *guard; /* what a value is had by, for events that may have none */
	const char *field;
	uint16_t class;
	const char *severity;
	bool by_package; /* values begin with the distribution, which may be empty, and the separator */
} kinds[KINDS] = {
	[PROGRAMS] = {"programs", "@exec", "started a program that it did not before",
		      "not exec.shell", "exec.path", PYAUDIT_CLASS_EXEC, "error", true},
	[COMMANDS] = {"commands", "@exec", "gave a shell a command that it did not before",
		      "exec.shell", "exec.cmdline", PYAUDIT_CLASS_EXEC, "error", true},
	[HOSTS] = {"hosts", "@network", "talked to a host that it did not before",
		   "exists net.host", "net.host", PYAUDIT_CLASS_NETWORK, "warning", true},
	[SOCKETS] = {"sockets", "@network", "used a Unix socket that it did not before",
		     "exists net.path", "net.path", PYAUDIT_CLASS_NETWORK, "warning", true},
	[READS] = {"reads", "@file", "looked at a file that it did not before",
		   "exists file.path and not file.write", "file.path", PYAUDIT_CLASS_FILE,
		   "notice", false},
	[WRITES] = {"writes", "@file", "changed a file that it did not before",
		    "exists file.path and file.write", "file.path", PYAUDIT_CLASS_FILE, "warning", false},
	[LIBRARIES] = {"libraries", "@native", "loaded a library that it did not before",
		       "exists lib.path", "lib.path", PYAUDIT_CLASS_NATIVE, "warning", false},
	[EXTENSIONS] = {"extensions", "import", "imported an extension that it did not before",
			"exists import.path", "import.path", PYAUDIT_CLASS_IMPORT, "warning", false},
	[CODE] = {"code", "@code", "ran text as code where it did not before",
		  "code.filename startswith '<' and not code.filename startswith '<frozen '",
		  "code.filename", PYAUDIT_CLASS_CODE, "warning", false},
	[PICKLES] = {"pickles", "@unpickle", "unpickled what it did not before",
		     "exists pickle.module", "pickle.module", PYAUDIT_CLASS_UNPICKLE, "error", false},
};

struct learn *
learn_new(void)
{
	struct learn *learn = calloc(1, sizeof(*learn));

	if (learn == NULL)
		return NULL;
	learn->scripts = calloc(LEARN_SCRIPTS_MAX, sizeof(*learn->scripts));
	if (learn->scripts == NULL) {
		free(learn);
		return NULL;
	}
	return learn;
}

void
learn_free(struct learn *learn)
{
	if (learn == NULL)
		return;
	for (size_t i = 0; i < learn->n_scripts; i++) {
		free(learn->scripts[i].name);
		for (unsigned k = 0; k < KINDS; k++)
			texts_fini(&learn->scripts[i].values[k]);
	}
	free(learn->scripts);
	free(learn);
}

void
learn_freep(struct learn **learn)
{
	learn_free(*learn);
}

static struct script *
find_script(struct learn *learn, const struct pyaudit_value *name)
{
	struct script *script;

	for (size_t i = 0; i < learn->n_scripts; i++) {
		script = &learn->scripts[i];
		if (strlen(script->name) == name->len &&
		    memcmp(script->name, name->s, name->len) == 0)
			return script;
	}
	if (learn->n_scripts == LEARN_SCRIPTS_MAX)
		return NULL;
	script = &learn->scripts[learn->n_scripts];
	*script = (struct script){.name = text_copy(name->s, name->len), .recorded = 0xffff};
	if (script->name == NULL)
		return NULL;
	learn->n_scripts++;
	return script;
}

static int
add(struct script *script, enum kind kind, const struct pyaudit_value *value)
{
	if (script->is_full[kind])
		return 0;
	if (script->values[kind].n >= LEARN_VALUES_MAX) {
		texts_sort(&script->values[kind]);
		script->is_full[kind] = script->values[kind].n >= LEARN_VALUES_MAX / 2;
	}
	return texts_add(&script->values[kind], value->s, value->len);
}

/* The field's value; absent where the event has none. */
static struct pyaudit_value
field(struct pyaudit_event *event, unsigned number)
{
	struct pyaudit_value value;

	return pyaudit_field(event, number, &value) ? value : (struct pyaudit_value){0};
}

/* The distribution that the calling code is of; of several the first. Absent where the record has none. */
static struct pyaudit_value
package_of(struct pyaudit_event *event)
{
	struct pyaudit_value packages = field(event, PYAUDIT_F_CALLER_PACKAGE);

	return packages.type == PYAUDIT_TAG_LIST && packages.n_items > 0 ? packages.items[0]
									   : packages;
}

static int
add_pair(struct script *script, enum kind kind, const struct pyaudit_value *first, char mark,
	 const struct pyaudit_value *second)
{
	CLEANUP(buf_fini) struct buf both;
	struct pyaudit_value value;

	buf_init(&both);
	if (pyaudit_value_is_text(first))
		buf_add(&both, first->s, first->len);
	buf_add_str(&both, SEPARATOR);
	if (pyaudit_value_is_text(second)) {
		if (mark != '\0')
			buf_add_char(&both, mark);
		buf_add(&both, second->s, second->len);
	}
	if (both.failed)
		return -ENOMEM;
	value = pyaudit_value_text(both.data, both.len);
	return add(script, kind, &value);
}

static int
add_field(struct script *script, enum kind kind, struct pyaudit_event *event, unsigned number)
{
	struct pyaudit_value value, package = {0};

	if (kinds[kind].by_package)
		package = package_of(event);
	value = field(event, number);
	if (!pyaudit_value_is_text(&value)) {
		script->is_vague[kind] = true;
		return 0;
	}
	return kinds[kind].by_package ? add_pair(script, kind, &package, '\0', &value)
				      : add(script, kind, &value);
}

/* The file name that code claims, and who runs it. */
static int
add_code(struct script *script, struct pyaudit_event *event)
{
	struct pyaudit_value package = package_of(event);
	struct pyaudit_value name = field(event, PYAUDIT_F_CODE_FILENAME);
	struct pyaudit_value module = field(event, PYAUDIT_F_CALLER_MODULE);
	static const char frozen[] = "<frozen "; /* a part of the interpreter */
	bool packaged = pyaudit_value_is_text(&package);

	if (!pyaudit_value_is_text(&name) || name.len == 0 || name.s[0] != '<' ||
	    (name.len >= strlen(frozen) && memcmp(name.s, frozen, strlen(frozen)) == 0))
		return 0;
	return add_pair(script, CODE, &name, packaged ? IS_PACKAGE : '\0', packaged ? &package : &module);
}

static int
add_event(struct script *script, struct pyaudit_event *event, uint16_t classes)
{
	struct pyaudit_value value;
	int r = 0;

	event->scratch_len = 0;
	if ((classes & PYAUDIT_CLASS_EXEC) != 0) {
		value = field(event, PYAUDIT_F_EXEC_SHELL);
		r = value.type == PYAUDIT_TAG_BOOL && value.i != 0
			    ? add_field(script, COMMANDS, event, PYAUDIT_F_EXEC_CMDLINE)
			    : add_field(script, PROGRAMS, event, PYAUDIT_F_EXEC_PATH);
	}
	if (r == 0 && (classes & PYAUDIT_CLASS_NETWORK) != 0) {
		r = add_field(script, HOSTS, event, PYAUDIT_F_NET_HOST);
		if (r == 0)
			r = add_field(script, SOCKETS, event, PYAUDIT_F_NET_PATH);
	}
	if (r == 0 && (classes & PYAUDIT_CLASS_FILE) != 0) {
		value = field(event, PYAUDIT_F_FILE_WRITE);
		r = add_field(script, value.type == PYAUDIT_TAG_BOOL && value.i != 0 ? WRITES : READS,
			      event, PYAUDIT_F_FILE_PATH);
	}
	if (r == 0 && (classes & PYAUDIT_CLASS_NATIVE) != 0)
		r = add_field(script, LIBRARIES, event, PYAUDIT_F_LIB_PATH);
	if (r == 0 && event->id == PYAUDIT_EV_IMPORT)
		r = add_field(script, EXTENSIONS, event, PYAUDIT_F_IMPORT_PATH);
	if (r == 0 && (classes & PYAUDIT_CLASS_CODE) != 0)
		r = add_code(script, event);
	if (r == 0 && (classes & PYAUDIT_CLASS_UNPICKLE) != 0)
		r = add_field(script, PICKLES, event, PYAUDIT_F_PICKLE_MODULE);
	return r;
}

int
learn_event(struct learn *learn, const struct capture_event *captured)
{
	const struct pyaudit_value *name =
		&captured->facts->fact[PYAUDIT_F_PROC_SCRIPT - PYAUDIT_F_PROC_PID];
	struct pyaudit_event *event = &captured->decoded->event;
	struct script *script;

	if (!pyaudit_value_is_text(name) || name->len == 0 || event->id == PYAUDIT_EV_OTHER)
		return 0;
	script = find_script(learn, name);
	if (script == NULL) {
		learn->n_left_out++;
		return learn->n_scripts == LEARN_SCRIPTS_MAX ? 0 : -ENOMEM;
	}
	script->n_events++;
	if (captured->policy == NULL)
		script->recorded = 0;
	else if (!captured->policy->options.record_all)
		script->recorded &= captured->policy->options.record;
	return add_event(script, event, pyaudit_events[event->id].classes);
}

/* ---- writing ---- */

/* What a file is made of on the way. */
struct draft {
	struct buf *out;
	struct buf lists, rules; /* members, each with its comma before it */
	size_t n_rules;
	struct script *script; /* at hand */
	const char *package;   /* whose values are at hand; NULL: of the script's own code */
	char owner[24];	       /* what it makes of names of lists, or empty */
};

/* A text in quotes for a condition. */
static void
quote(struct buf *out, const char *text)
{
	buf_add_char(out, '\'');
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '\'' || c == '\\')
			buf_add_char(out, '\\');
		if (c < ' ' || c == 0x7f)
			buf_addf(out, "\\x%02x", c);
		else
			buf_add_char(out, (char)c);
	}
	buf_add_char(out, '\'');
}

static void
add_string(struct buf *out, const char *text, size_t len)
{
	struct json json = json_on(out);

	json_text(&json, text, len);
}

/* A list of the file, one value to a line, and what names it in the rule's condition (NULL: the caller
 * does that). */
static void
use_list(struct draft *draft, struct buf *condition, const char *field_name, const char *operator,
	 const char *suffix, const struct texts *values)
{
	if (values->n == 0)
		return;
	buf_addf(&draft->lists, "%s\n", draft->lists.len > 0 ? "," : "");
	if (draft->package != NULL)
		buf_addf(&draft->lists, "    // By code of the package %s.\n", draft->package);
	buf_addf(&draft->lists, "    \"%s_%s%s\": [", draft->script->slug, suffix, draft->owner);
	for (size_t i = 0; i < values->n; i++) {
		buf_addf(&draft->lists, "%s\n      ", i > 0 ? "," : "");
		add_string(&draft->lists, values->texts[i], strlen(values->texts[i]));
	}
	buf_add_str(&draft->lists, "\n    ]");
	if (condition == NULL)
		return;
	buf_addf(condition, "%s%s %s $%s_%s%s", condition->len > 0 ? " or " : "", field_name, operator,
		 draft->script->slug, suffix, draft->owner);
}

static int
path_condition(struct draft *draft, enum kind kind, struct texts *values, struct buf *condition)
{
	struct path_patterns patterns;
	int r = generalise_paths(&patterns, values);
	char suffix[32];

	if (r != 0)
		return r;
	use_list(draft, condition, kinds[kind].field, "in", kinds[kind].name, &patterns.exact);
	(void)snprintf(suffix, sizeof(suffix), "%s_like", kinds[kind].name);
	use_list(draft, condition, kinds[kind].field, "glob", suffix, &patterns.globs);
	(void)snprintf(suffix, sizeof(suffix), "%s_below", kinds[kind].name);
	use_list(draft, condition, kinds[kind].field, "under", suffix, &patterns.under);
	path_patterns_fini(&patterns);
	return 0;
}

/* A program by its bare name is looked for in PATH: below Python its path is the one that was found. */
static int
name_condition(struct draft *draft, const struct texts *values, struct buf *condition)
{
	CLEANUP(texts_fini) struct texts names = {0};
	int r = 0;

	for (size_t i = 0; i < values->n && r == 0; i++)
		if (strchr(values->texts[i], '/') == NULL)
			r = texts_add(&names, values->texts[i], strlen(values->texts[i]));
	if (r != 0 || names.n == 0)
		return r;
	texts_sort(&names);
	buf_add_str(condition, " or layer = 'libc' and ");
	use_list(draft, NULL, NULL, NULL, "program_names", &names);
	buf_addf(condition, "exec.name in $%s_program_names%s", draft->script->slug, draft->owner);
	return 0;
}

static int
host_condition(struct draft *draft, struct texts *values, struct buf *condition)
{
	struct host_patterns patterns;
	int r = generalise_hosts(&patterns, values);

	if (r != 0)
		return r;
	use_list(draft, condition, "net.host", "in", "hosts", &patterns.exact);
	use_list(draft, condition, "net.host", "endswith", "domains", &patterns.suffixes);
	use_list(draft, condition, "net.ip", "cidr", "networks", &patterns.networks);
	host_patterns_fini(&patterns);
	return 0;
}

static int
command_condition(struct draft *draft, struct texts *values, struct buf *condition)
{
	CLEANUP(texts_fini) struct texts exact = {0}, patterns = {0};
	struct buf pattern;
	int r = 0;

	texts_sort(values);
	buf_init(&pattern);
	for (size_t i = 0; r == 0 && i < values->n; i++) {
		const char *command = values->texts[i];

		buf_reset(&pattern);
		if (generalise_command(&pattern, command, strlen(command)))
			r = texts_add(&patterns, pattern.data, pattern.len);
		else
			r = texts_add(&exact, command, strlen(command));
		r = pattern.failed ? -ENOMEM : r;
	}
	buf_fini(&pattern);
	texts_sort(&patterns);
	use_list(draft, condition, "exec.cmdline", "in", "commands", &exact);
	use_list(draft, condition, "exec.cmdline", "matches", "commands_like", &patterns);
	return r;
}

/* " and (caller.module in ['a'] or caller.package in ['b'])" of values of one file name, which are sorted, so
 * that packages come first. */
static void
add_runners(const struct texts *values, size_t from, size_t to, size_t skip, struct buf *condition)
{
	const char *which = NULL;

	buf_add_str(condition, " and (");
	for (size_t i = from; i < to; i++) {
		const char *who = values->texts[i] + skip;
		const char *field_name = *who == IS_PACKAGE ? "caller.package" : "caller.module";

		if (which == field_name)
			buf_add_str(condition, ", ");
		else
			buf_addf(condition, "%s%s in [", which != NULL ? "] or " : "", field_name);
		which = field_name;
		quote(condition, who + (*who == IS_PACKAGE));
	}
	buf_add_str(condition, "])");
}

/* For each file name the packages or modules that run such code; where one was not to be told, any. */
static int
code_condition(struct texts *values, struct buf *condition)
{
	size_t j;

	texts_sort(values);
	for (size_t i = 0; i < values->n; i = j) {
		const char *name = values->texts[i], *end = strchr(name, SEPARATOR[0]);
		CLEANUP(freep) char *file = text_copy(name, (size_t)(end - name));
		size_t len = (size_t)(end - name) + 1;
		bool any = end[1] == '\0';

		if (file == NULL)
			return -ENOMEM;
		buf_addf(condition, "%scode.filename = ", condition->len > 0 ? " or " : "");
		quote(condition, file);
		for (j = i; j < values->n && strncmp(values->texts[j], name, len) == 0; j++)
			;
		if (!any)
			add_runners(values, i, j, len, condition);
	}
	return 0;
}

static int
condition_of_values(struct draft *draft, enum kind kind, struct texts *values, struct buf *condition)
{
	int r;

	switch (kind) {
	case HOSTS:
		return host_condition(draft, values, condition);
	case COMMANDS:
		return command_condition(draft, values, condition);
	case CODE:
		return code_condition(values, condition);
	case PICKLES:
		texts_sort(values);
		use_list(draft, condition, "pickle.module", "in", "pickles", values);
		return 0;
	case PROGRAMS:
		r = path_condition(draft, kind, values, condition);
		return r == 0 ? name_condition(draft, values, condition) : r;
	default:
		return path_condition(draft, kind, values, condition);
	}
}

/* "_zope_interface", or "_a_very_long_na_7" where the name does not fit: @n tells it from others. */
static void
name_owner(struct draft *draft, const char *package, size_t n)
{
	char *to = draft->owner;
	bool changed = strlen(package) > OWNER_NAME_MAX;
	size_t len = 0;

	draft->package = package[0] != '\0' ? package : NULL;
	to[0] = '\0';
	if (draft->package == NULL)
		return;
	to[len++] = '_';
	for (; *package != '\0' && len <= OWNER_NAME_MAX; package++) {
		bool plain = isalnum((unsigned char)*package) != 0 && (unsigned char)*package < 0x80;

		changed |= !plain && *package != '-'; /* names have no '_' */
		to[len++] = plain ? (char)tolower((unsigned char)*package) : '_';
	}
	to[len] = '\0';
	if (changed)
		(void)snprintf(to + len, sizeof(draft->owner) - len, "_%zu", n % 1000);
}

/* The values of one distribution, from @at on, into @ret without its name; where the next one's begin. */
static int
take_owned(const struct texts *values, size_t *at, struct texts *ret)
{
	const char *first = values->texts[*at];
	size_t len = (size_t)(strchr(first, SEPARATOR[0]) - first) + 1;
	int r = 0;

	for (; r == 0 && *at < values->n && strncmp(values->texts[*at], first, len) == 0; (*at)++)
		r = texts_add(ret, values->texts[*at] + len, strlen(values->texts[*at] + len));
	texts_sort(ret);
	return r;
}

/* What each distribution may do, and before it what all code of the script may. */
static int
condition_by_package(struct draft *draft, enum kind kind, struct buf *condition)
{
	struct texts *values = &draft->script->values[kind];
	int r = 0;

	texts_sort(values);
	for (size_t at = 0; r == 0 && at < values->n;) {
		const char *first = values->texts[at];
		CLEANUP(freep) char *package = text_copy(first, strcspn(first, SEPARATOR));
		CLEANUP(texts_fini) struct texts owned = {0};
		CLEANUP(buf_fini) struct buf alone;

		buf_init(&alone);
		if (package == NULL)
			return -ENOMEM;
		name_owner(draft, package, at);
		r = take_owned(values, &at, &owned);
		if (r == 0)
			r = condition_of_values(draft, kind, &owned, &alone);
		if (r != 0 || alone.len == 0)
			continue;
		buf_add_str(condition, condition->len > 0 ? " or " : "");
		if (draft->package != NULL) {
			buf_add_str(condition, "caller.package = ");
			quote(condition, package);
			buf_add_str(condition, " and (");
		}
		buf_add(condition, alone.data, alone.len);
		buf_add_str(condition, draft->package != NULL ? ")" : "");
		condition->failed |= alone.failed;
	}
	draft->package = NULL;
	draft->owner[0] = '\0';
	return r;
}

/* What the rule lets pass; empty: nothing. */
static int
condition_of(struct draft *draft, enum kind kind, struct buf *condition)
{
	return kinds[kind].by_package
		       ? condition_by_package(draft, kind, condition)
		       : condition_of_values(draft, kind, &draft->script->values[kind], condition);
}

static void
add_member(struct buf *out, const char *name, const char *text)
{
	buf_addf(out, "      \"%s\": ", name);
	add_string(out, text, strlen(text));
	buf_add_str(out, ",\n");
}

static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL && slash[1] != '\0' ? slash + 1 : path;
}

static int
add_rule(struct draft *draft, enum kind kind)
{
	const struct script *script = draft->script;
	CLEANUP(buf_fini) struct buf condition;
	CLEANUP(buf_fini) struct buf text;
	struct buf *rules = &draft->rules;
	int r;

	buf_init(&condition);
	buf_init(&text);
	r = condition_of(draft, kind, &condition);
	if (r != 0)
		return r;
	buf_addf(rules, "%s\n", draft->n_rules > 0 ? "," : "");
	if (script->values[kind].n == 0)
		buf_addf(rules, "    // Nothing of this kind was seen: %s nothing.\n",
			 kind == CODE ? "it runs" : "it needs");
	buf_add_str(rules, "    {\n");
	buf_addf(rules, "      \"id\": \"learned-%s-%s\",\n", draft->script->slug, kinds[kind].name);
	buf_addf(&text, "%s %s%c", base_name(script->name), kinds[kind].title, '\0');
	add_member(rules, "title", text.data != NULL ? text.data : "");
	add_member(rules, "on", kinds[kind].on);
	buf_add_str(rules, "      \"when\": [\n        ");
	buf_reset(&text);
	buf_add_str(&text, "proc.script = ");
	quote(&text, script->name);
	add_string(rules, text.data, text.len);
	buf_add_str(rules, ",\n        ");
	add_string(rules, kinds[kind].guard, strlen(kinds[kind].guard));
	if (condition.len > 0) {
		buf_reset(&text);
		buf_add_str(&text, "not (");
		buf_add(&text, condition.data, condition.len);
		buf_add_char(&text, ')');
		buf_add_str(rules, ",\n        ");
		add_string(rules, text.data, text.len);
	}
	/* One that was seen without its value lets others without it pass. */
	if (script->is_vague[kind] && (kind == PROGRAMS || kind == COMMANDS))
		buf_addf(rules, ",\n        \"exists %s\"", kinds[kind].field);
	buf_addf(rules,
		 "\n      ],\n      \"action\": \"alert\",\n      \"severity\": \"%s\",\n"
		 "      \"message\": \"{%s} from {caller.file}:{caller.line}\"\n    }",
		 kinds[kind].severity, kinds[kind].field);
	draft->n_rules++;
	return condition.failed || text.failed ? -ENOMEM : 0;
}

/* Small letters, digits and '_' of the script's name, and a number where that was taken. */
static void
make_slug(struct learn *learn, size_t at)
{
	struct script *script = &learn->scripts[at];
	const char *name = base_name(script->name);
	char *slug = script->slug;
	size_t len = strlen(name), n = 0;

	if (len > 3 && strcmp(name + len - 3, ".py") == 0)
		len -= 3;
	for (size_t i = 0; i < len && n < SLUG_NAME_MAX; i++) {
		char c = (char)tolower((unsigned char)name[i]);

		if ((c >= 'a' && c <= 'z') || (n > 0 && c >= '0' && c <= '9'))
			slug[n++] = c;
		else if (n > 0 && slug[n - 1] != '_' && i + 1 < len)
			slug[n++] = '_';
	}
	if (n == 0)
		n = (size_t)snprintf(slug, sizeof(script->slug), "script");
	slug[n] = '\0';
	for (size_t i = 0; i < at; i++)
		if (strcmp(learn->scripts[i].slug, slug) == 0) {
			(void)snprintf(slug + n, sizeof(script->slug) - n, "_%zu", at + 1);
			break;
		}
}

static int
add_script(struct draft *draft, struct learn *learn, size_t at)
{
	struct script *script = draft->script = &learn->scripts[at];
	int r = 0;

	make_slug(learn, at);
	for (unsigned kind = 0; kind < KINDS && r == 0; kind++) {
		if ((script->recorded & kinds[kind].class) == 0 || script->is_full[kind])
			continue;
		r = add_rule(draft, (enum kind)kind);
	}
	return r;
}

/* A comment may hold what a program called itself. */
static void
add_comment(struct buf *out, const char *text)
{
	buf_add_escaped(out, text, strlen(text));
}

static void
write_head(struct draft *draft, const struct learn *learn, const char *source)
{
	struct buf *out = draft->out;

	buf_add_str(out, "// A draft of what programs may do, learned from ");
	add_comment(out, source);
	buf_add_str(out, ".\n// All else raises an alert. Look through the lists: what was seen is not "
			 "always what should be.\n"
			 "// Versions, numbers and temporary names have become wildcards, directories "
			 "with many\n// different entries are taken whole.\n//\n");
	for (size_t i = 0; i < learn->n_scripts; i++) {
		buf_add_str(out, "//   ");
		add_comment(out, learn->scripts[i].name);
		buf_addf(out, ": %llu events", (unsigned long long)learn->scripts[i].n_events);
		for (unsigned kind = 0, n = 0; kind < KINDS; kind++)
			if ((learn->scripts[i].recorded & kinds[kind].class) == 0)
				buf_addf(out, "%s%s", n++ == 0 ? "; not recorded, so without a rule: "
							       : ", ",
					 kinds[kind].name);
			else if (learn->scripts[i].is_full[kind])
				buf_addf(out, "; too many %s for a list", kinds[kind].name);
		buf_add_char(out, '\n');
	}
}

int
learn_write(struct learn *learn, const char *source, struct buf *out, struct learn_summary *ret)
{
	struct draft draft = {.out = out};
	int r = 0;

	buf_init(&draft.lists);
	buf_init(&draft.rules);
	for (size_t i = 0; i < learn->n_scripts && r == 0; i++)
		r = add_script(&draft, learn, i);
	write_head(&draft, learn, source);
	buf_add_str(out, "{\n  \"version\": 1,\n  \"lists\": {");
	buf_add(out, draft.lists.data, draft.lists.len);
	buf_add_str(out, "\n  },\n  \"rules\": [");
	buf_add(out, draft.rules.data, draft.rules.len);
	buf_add_str(out, "\n  ]\n}\n");
	if (draft.lists.failed || draft.rules.failed || out->failed)
		r = -ENOMEM;
	*ret = (struct learn_summary){.n_scripts = learn->n_scripts,
				      .n_rules = draft.n_rules,
				      .n_left_out = learn->n_left_out};
	buf_fini(&draft.lists);
	buf_fini(&draft.rules);
	return r;
}
