/* SPDX-License-Identifier: Apache-2.0 */
#include "conf.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "log.h"
#include "pyaudit/events.h"
#include "pyaudit/record.h"
#include "pyaudit/ring.h"
#include "pyaudit/wire.h"

/* A setter returns NULL, or what is wrong with the value. */
typedef const char *conf_setter(struct conf *conf, void *target, const char *value);

struct conf_key {
	const char *name;
	conf_setter *set;
	size_t offset;
	uint64_t min, max; /* numbers */
};

static const char out_of_memory[] = "out of memory";

static const char *
set_text(struct conf *conf, void *target, const char *value)
{
	char **text = target, *copy;

	(void)conf;
	if (value[0] == 0)
		return "a value is missing";
	copy = strdup(value);
	if (copy == NULL)
		return out_of_memory;
	free(*text);
	*text = copy;
	return NULL;
}

static const char *
set_rules(struct conf *conf, void *target, const char *value)
{
	if (conf->n_rules == CONF_RULES_MAX)
		return "too many paths of rules, at most 64";
	(void)target;
	conf->rules[conf->n_rules] = NULL;
	if (set_text(conf, &conf->rules[conf->n_rules], value) != NULL)
		return value[0] == 0 ? "a value is missing" : out_of_memory;
	conf->n_rules++;
	return NULL;
}

static const char *
set_bool(struct conf *conf, void *target, const char *value)
{
	bool *truth = target;

	(void)conf;
	if (strcmp(value, "yes") == 0 || strcmp(value, "true") == 0 || strcmp(value, "on") == 0)
		*truth = true;
	else if (strcmp(value, "no") == 0 || strcmp(value, "false") == 0 ||
		 strcmp(value, "off") == 0)
		*truth = false;
	else
		return "expected yes or no";
	return NULL;
}

const char *const conf_profiles[] = {"server", "build", "agent", "audit", NULL};

const char *
conf_profile_by_name(const char *name)
{
	for (size_t i = 0; conf_profiles[i] != NULL; i++)
		if (strcmp(conf_profiles[i], name) == 0)
			return conf_profiles[i];
	return NULL;
}

const char *
conf_profile_of(const struct conf *conf, const char *unit)
{
	for (size_t i = unit != NULL ? conf->n_unit_profiles : 0; i > 0; i--) {
		const struct conf_unit_profile *entry = &conf->unit_profiles[i - 1];
		size_t len;

		for (const char *at = entry->units; *(at += strspn(at, " \t")) != '\0'; at += len) {
			char pattern[CONF_UNIT_MAX + 1];

			len = strcspn(at, " \t");
			memcpy(pattern, at, len);
			pattern[len] = '\0';
			if (fnmatch(pattern, unit, 0) == 0)
				return entry->profile;
		}
	}
	return conf->profile;
}

bool
conf_observes(const struct conf *conf)
{
	return conf->observe || strcmp(conf->profile, "audit") == 0;
}

static const char *
set_profile(struct conf *conf, void *target, const char *value)
{
	const char *profile = conf_profile_by_name(value);

	(void)target;
	if (profile == NULL)
		return "expected server, build, agent or audit";
	conf->profile = profile;
	return NULL;
}

/* "PROFILE UNIT..." */
static const char *
set_unit_profile(struct conf *conf, void *target, const char *value)
{
	struct conf_unit_profile *entry = &conf->unit_profiles[conf->n_unit_profiles];
	size_t len = strcspn(value, " \t");
	char name[16] = "";
	const char *units = value + len + strspn(value + len, " \t");

	(void)target;
	if (len < sizeof(name))
		memcpy(name, value, len);
	*entry = (struct conf_unit_profile){.profile = conf_profile_by_name(name)};
	if (entry->profile == NULL)
		return "expected server, build, agent or audit, and units behind it";
	if (*units == '\0')
		return "expected units behind the profile, such as shop.service or worker@*.service";
	for (const char *at = units; *at != '\0'; at += len, at += strspn(at, " \t")) {
		len = strcspn(at, " \t");
		if (len > CONF_UNIT_MAX)
			return "the name of a unit is too long";
	}
	if (conf->n_unit_profiles == CONF_UNIT_PROFILES_MAX)
		return "too many lines of unit_profile, at most 256";
	entry->units = strdup(units);
	if (entry->units == NULL)
		return out_of_memory;
	conf->n_unit_profiles++;
	return NULL;
}

static const char *const follow_names[] = {[CONF_FOLLOW_INTERPRETERS] = "interpreters",
					   [CONF_FOLLOW_ALL] = "all",
					   [CONF_FOLLOW_NONE] = "none"};

static const char *
set_follow(struct conf *conf, void *target, const char *value)
{
	(void)target;
	for (unsigned i = 0; i < sizeof(follow_names) / sizeof(follow_names[0]); i++)
		if (strcmp(value, follow_names[i]) == 0) {
			conf->follow = (enum conf_follow)i;
			return NULL;
		}
	return "expected interpreters, all or none";
}

static const char *
set_record(struct conf *conf, void *target, const char *value)
{
	uint16_t classes = 0;
	bool all = false;

	(void)target;
	while (*value != 0) {
		size_t len = strcspn(value, ", \t");
		uint16_t class;

		if (len == 0) {
			value++;
			continue;
		}
		if ((len == 3 && strncmp(value, "all", 3) == 0) ||
		    (len == 4 && strncmp(value, "@all", 4) == 0)) {
			all = true;
		} else if (len != 4 || strncmp(value, "none", 4) != 0) {
			class = pyaudit_class_by_name(value, len);
			if (class == 0)
				return "expected classes such as exec, file, network, or all, or none";
			classes |= class;
		}
		value += len;
	}
	conf->record = classes;
	conf->record_all = all;
	return NULL;
}

static const char *
set_level(struct conf *conf, void *target, const char *value)
{
	int level = log_level_by_name(value);

	(void)conf;
	if (level < 0)
		return "expected error, warning, notice, info or debug";
	*(int *)target = level;
	return NULL;
}

/* A number with K, M or G behind it; bounds are checked by the caller. */
static const char *
parse_number(const char *value, uint64_t *ret)
{
	unsigned long long n;
	unsigned shift = 0;
	char *end;

	if (value[0] < '0' || value[0] > '9')
		return "expected a number";
	errno = 0;
	n = strtoull(value, &end, 10);
	if (*end == 'K' || *end == 'M' || *end == 'G')
		shift = *end == 'K' ? 10 : *end == 'M' ? 20 : 30;
	if (errno != 0 || end[shift != 0] != 0)
		return "expected a number";
	if (n > UINT64_MAX >> shift)
		return "out of range";
	*ret = n << shift;
	return NULL;
}

static const char *
set_size(struct conf *conf, void *target, const char *value)
{
	uint64_t n = 0;
	const char *wrong = parse_number(value, &n);

	(void)conf;
	if (wrong == NULL)
		*(size_t *)target = (size_t)n;
	return wrong;
}

static const char *
set_count(struct conf *conf, void *target, const char *value)
{
	uint64_t n = 0;
	const char *wrong = parse_number(value, &n);

	(void)conf;
	if (wrong == NULL)
		*(unsigned *)target = (unsigned)n;
	return wrong;
}

static const struct conf_key keys[] = {
	{"dir", set_text, offsetof(struct conf, dir), 0, 0},
	{"rules", set_rules, 0, 0, 0},
	{"default_rules", set_bool, offsetof(struct conf, default_rules), 0, 0},
	{"profile", set_profile, 0, 0, 0},
	{"unit_profile", set_unit_profile, 0, 0, 0},
	{"observe", set_bool, offsetof(struct conf, observe), 0, 0},
	{"follow", set_follow, 0, 0, 0},
	{"record", set_record, 0, 0, 0},
	{"context", set_count, offsetof(struct conf, context), 0, PYAUDIT_CONTEXT_MAX},
	{"context_all", set_bool, offsetof(struct conf, context_all), 0, 0},
	{"ring", set_size, offsetof(struct conf, ring), PYAUDIT_LANE_ORDINARY_DEFAULT, PYAUDIT_LANE_SIZE_MAX},
	{"ndjson", set_text, offsetof(struct conf, ndjson), 0, 0},
	{"state", set_text, offsetof(struct conf, state), 0, 0},
	{"metrics", set_text, offsetof(struct conf, metrics), 0, 0},
	{"metrics_s", set_count, offsetof(struct conf, metrics_s), 1, 3600},
	{"journal", set_bool, offsetof(struct conf, journal), 0, 0},
	{"log_level", set_level, offsetof(struct conf, log_level), 0, 0},
	{"memory", set_size, offsetof(struct conf, memory), 0, 1 << 30},
	{"sink_queue", set_size, offsetof(struct conf, sink_queue), 65536, 1 << 30},
	{"spool", set_size, offsetof(struct conf, spool), 0, (uint64_t)1 << 40},
	{"client_buffer", set_size, offsetof(struct conf, client_buffer), 65536, 1 << 30},
	{"max_agents", set_count, offsetof(struct conf, max_agents), 1, 1000000},
	{"user_agents", set_count, offsetof(struct conf, user_agents), 1, 1000000},
	{"user_memory", set_size, offsetof(struct conf, user_memory), 1 << 20, (uint64_t)1 << 40},
	{"user_events", set_count, offsetof(struct conf, user_events), 0, 100000000},
	{"user_alerts", set_count, offsetof(struct conf, user_alerts), 0, 100000000},
	{"max_clients", set_count, offsetof(struct conf, max_clients), 1, 4096},
	{"control_group", set_text, offsetof(struct conf, control_group), 0, 0},
	{"tail_group", set_text, offsetof(struct conf, tail_group), 0, 0},
	{"drain_ms", set_count, offsetof(struct conf, drain_ms), 1, 1000},
	{"idle_ms", set_count, offsetof(struct conf, idle_ms), 1, 60000},
	{"watch_units", set_text, offsetof(struct conf, watch_units), 0, 0},
	{"watch_ms", set_count, offsetof(struct conf, watch_ms), 0, 60000},
	{"dropins", set_text, offsetof(struct conf, dropins), 0, 0},
	{"cgroups", set_text, offsetof(struct conf, cgroups), 0, 0},
	{"verify_ms", set_count, offsetof(struct conf, verify_ms), 0, 3600000},
};

#define N_KEYS (sizeof(keys) / sizeof(keys[0]))

static_assert(N_KEYS <= CONF_KEYS_MAX, "origins of every key");

static void
origin_fini(struct conf_origin *origin)
{
	free(origin->file);
	free(origin->value);
	*origin = (struct conf_origin){0};
}

static int
origin_set(struct conf_origin *origin, const char *file, unsigned line, const char *value)
{
	struct conf_origin fresh = {.file = strdup(file), .line = line, .value = strdup(value)};

	if (fresh.file == NULL || fresh.value == NULL) {
		origin_fini(&fresh);
		return -ENOMEM;
	}
	origin_fini(origin);
	*origin = fresh;
	return 0;
}

int
conf_init(struct conf *conf)
{
	*conf = (struct conf){
		.dir = strdup(PYAUDIT_DIR_DEFAULT),
		.default_rules = true,
		.profile = conf_profiles[0],
		.ring = PYAUDIT_LANE_ORDINARY_DEFAULT,
		.journal = true,
		.metrics_s = 15,
		.log_level = LOG_LEVEL_INFO,
		.memory = 8 << 20,
		.sink_queue = 16 << 20,
		.spool = 128 << 20,
		.client_buffer = 4 << 20,
		.max_agents = 16384,
		.user_agents = 12288,
		.user_memory = (size_t)16 << 30,
		.user_events = 0,
		.user_alerts = 10000,
		.max_clients = 64,
		.control_group = strdup(CONF_CONTROL_GROUP),
		.tail_group = strdup(CONF_TAIL_GROUP),
		.drain_ms = 3,
		.idle_ms = 50,
		.verify_ms = 5000,
		.watch_ms = 500,
		.dropins = strdup(CONF_DROPINS_DEFAULT),
	};
	return conf->dir != NULL && conf->dropins != NULL && conf->control_group != NULL &&
			       conf->tail_group != NULL
		       ? 0
		       : -ENOMEM;
}

void
conf_fini(struct conf *conf)
{
	free(conf->dir);
	for (size_t i = 0; i < conf->n_rules; i++) {
		free(conf->rules[i]);
		origin_fini(&conf->rules_origins[i]);
	}
	for (size_t i = 0; i < conf->n_unit_profiles; i++) {
		free(conf->unit_profiles[i].units);
		origin_fini(&conf->unit_profiles[i].origin);
	}
	for (size_t i = 0; i < CONF_KEYS_MAX; i++)
		origin_fini(&conf->origins[i]);
	free(conf->ndjson);
	free(conf->state);
	free(conf->metrics);
	free(conf->control_group);
	free(conf->tail_group);
	free(conf->watch_units);
	free(conf->cgroups);
	free(conf->dropins);
	*conf = (struct conf){0};
}

static const struct conf_key *
find_key(const char *name)
{
	for (size_t i = 0; i < N_KEYS; i++)
		if (strcmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}

int
conf_set(struct conf *conf, const char *name, const char *value, struct diag *diag,
	 const char *file, unsigned line, unsigned column)
{
	const struct conf_key *key = find_key(name);
	const char *wrong = NULL;
	uint64_t n;

	if (key == NULL) {
		diag_add(diag, DIAG_ERROR, file, line, column, "unknown key '%s'", name);
		return CONF_E_INVALID;
	}
	if (key->max > 0) {
		wrong = parse_number(value, &n);
		if (wrong == NULL && (n < key->min || n > key->max)) {
			diag_add(diag, DIAG_ERROR, file, line, column,
				 "'%s' must be between %llu and %llu", name,
				 (unsigned long long)key->min, (unsigned long long)key->max);
			return CONF_E_INVALID;
		}
	}
	if (wrong == NULL)
		wrong = key->set(conf, (char *)conf + key->offset, value);
	if (wrong == out_of_memory)
		return -ENOMEM;
	if (wrong != NULL) {
		diag_add(diag, DIAG_ERROR, file, line, column, "'%s': %s", name, wrong);
		return CONF_E_INVALID;
	}
	if (origin_set(&conf->origins[key - keys], file, line, value) < 0 ||
	    (key->set == set_rules &&
	     origin_set(&conf->rules_origins[conf->n_rules - 1], file, line, value) < 0) ||
	    (key->set == set_unit_profile &&
	     origin_set(&conf->unit_profiles[conf->n_unit_profiles - 1].origin, file, line, value) < 0))
		return -ENOMEM;
	return CONF_OK;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Columns count characters: bytes that do not continue one. */
static unsigned
column_of(const char *line, const char *at)
{
	unsigned column = 1;

	for (; line < at; line++)
		column += ((unsigned char)*line & 0xc0) != 0x80;
	return column;
}

/* One line, NUL terminated in place. */
static int
parse_line(struct conf *conf, const char *name, unsigned number, char *line, size_t len,
	   struct diag *diag)
{
	char *key = line, *key_end, *value, *end = line + len;

	if (memchr(line, 0, len) != NULL) {
		diag_add(diag, DIAG_ERROR, name, number, 1, "the line holds a NUL byte");
		return CONF_E_INVALID;
	}
	while (is_blank(*key))
		key++;
	if (*key == 0 || *key == '#')
		return CONF_OK;
	key_end = key;
	while (*key_end != 0 && *key_end != '=' && *key_end != '#' && !is_blank(*key_end))
		key_end++;
	value = key_end;
	while (is_blank(*value))
		value++;
	if (*value != '=' || key_end == key) {
		diag_add(diag, DIAG_ERROR, name, number, column_of(line, value),
			 "expected 'key = value'");
		return CONF_E_INVALID;
	}
	value++;
	while (is_blank(*value))
		value++;
	/* A '#' after a blank begins a comment; within a word it belongs to the value. */
	for (char *at = value; at < end; at++)
		if (*at == '#' && (at == value || is_blank(at[-1])))
			end = at;
	while (end > value && is_blank(end[-1]))
		end--;
	*end = 0;
	*key_end = 0;
	return conf_set(conf, key, value, diag, name, number,
			column_of(line, *value != 0 && find_key(key) != NULL ? value : key));
}

int
conf_parse(struct conf *conf, const char *name, const char *text, size_t len, struct diag *diag)
{
	CLEANUP(freep) char *copy = malloc(len + 1);
	char *line = copy, *end = copy + len;
	bool invalid = false;

	if (copy == NULL)
		return -ENOMEM;
	memcpy(copy, text, len);
	*end = 0;
	for (unsigned number = 1; line < end; number++) {
		char *newline = memchr(line, '\n', (size_t)(end - line));
		int r;

		if (newline == NULL)
			newline = end;
		*newline = 0;
		r = parse_line(conf, name, number, line, (size_t)(newline - line), diag);
		if (r < 0)
			return r;
		invalid |= r == CONF_E_INVALID;
		line = newline + 1;
	}
	return invalid ? CONF_E_INVALID : CONF_OK;
}

int
conf_load(struct conf *conf, const char *path, struct diag *diag)
{
	CLEANUP(fclosep) FILE *file = fopen(path, "re");
	CLEANUP(freep) char *text = NULL;
	size_t len;

	if (file == NULL)
		return -errno;
	text = malloc(CONF_FILE_SIZE_MAX + 1);
	if (text == NULL)
		return -ENOMEM;
	len = fread(text, 1, CONF_FILE_SIZE_MAX + 1, file);
	if (ferror(file))
		return errno != 0 ? -errno : -EIO;
	if (len > CONF_FILE_SIZE_MAX)
		return -EFBIG;
	return conf_parse(conf, path, text, len, diag);
}

static int
is_conf_file(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return entry->d_name[0] != '.' && len > 5 && strcmp(entry->d_name + len - 5, ".conf") == 0;
}

int
conf_load_tree(struct conf *conf, const char *path, struct diag *diag)
{
	CLEANUP(freep) char *directory = NULL;
	CLEANUP(freep) struct dirent **entries = NULL;
	int first = conf_load(conf, path, diag), n, r = 0;

	if (first < 0 && first != -ENOENT)
		return first;
	if (asprintf(&directory, "%s.d", path) < 0) {
		directory = NULL;
		return -ENOMEM;
	}
	n = scandir(directory, &entries, is_conf_file, alphasort);
	if (n <= 0)
		return n < 0 && errno != ENOENT && errno != ENOTDIR ? -errno : first;
	if (first == -ENOENT)
		first = 0;
	for (int i = 0; i < n; i++) {
		CLEANUP(freep) char *file = NULL;
		int s = -ENOMEM;

		if (i >= CONF_DROPINS_MAX)
			s = -E2BIG;
		else if (asprintf(&file, "%s/%s", directory, entries[i]->d_name) >= 0)
			s = conf_load(conf, file, diag);
		else
			file = NULL;
		if (s < 0 && r >= 0) {
			diag_add(diag, DIAG_ERROR, file != NULL ? file : directory, 0, 0,
				 "cannot be read: %s", strerror(-s));
			s = CONF_E_INVALID;
		}
		r = s > r ? s : r;
		free(entries[i]);
	}
	return r > first ? r : first;
}

/* A value as it would be written, into @out; false where there is none. */
static bool
write_value(const struct conf *conf, const struct conf_key *key, struct buf *out)
{
	static const char *const numbers[] = {"", "K", "M", "G"};
	const void *target = (const char *)conf + key->offset;
	const char *said = conf->origins[key - keys].value;
	uint64_t n;
	unsigned unit = 0;

	buf_reset(out);
	if (key->set == set_text) {
		if (*(char *const *)target == NULL)
			return false;
		buf_add_str(out, *(char *const *)target);
	} else if (key->set == set_bool) {
		buf_add_str(out, *(const bool *)target ? "yes" : "no");
	} else if (key->set == set_level) {
		buf_add_str(out, log_level_name((enum log_level)(*(const int *)target)));
	} else if (key->set == set_size || key->set == set_count) {
		n = key->set == set_size ? *(const size_t *)target : *(const unsigned *)target;
		for (; n != 0 && n % 1024 == 0 && unit < 3; n /= 1024)
			unit++;
		buf_add_uint(out, n);
		buf_add_str(out, numbers[unit]);
	} else if (key->set == set_follow) {
		buf_add_str(out, follow_names[conf->follow]);
	} else if (said != NULL) {
		buf_add_str(out, said);
	} else if (key->set == set_record) {
		buf_add_str(out, "none");
	} else {
		return false;
	}
	buf_add_char(out, '\0');
	return !out->failed;
}

void
conf_show(const struct conf *conf, conf_show_fn *show, void *data)
{
	struct buf value;

	buf_init(&value);
	for (size_t i = 0; i < N_KEYS; i++) {
		const struct conf_origin *origin = &conf->origins[i];

		for (size_t k = 0; keys[i].set == set_unit_profile && k < conf->n_unit_profiles; k++) {
			origin = &conf->unit_profiles[k].origin;
			show(data, keys[i].name, origin->value, origin->file, origin->line);
		}
		if (keys[i].set == set_unit_profile && conf->n_unit_profiles > 0)
			continue;
		if (keys[i].set != set_rules || conf->n_rules == 0) {
			bool is_set = write_value(conf, &keys[i], &value);

			show(data, keys[i].name, is_set ? value.data : NULL, origin->file,
			     origin->line);
			continue;
		}
		for (size_t k = 0; k < conf->n_rules; k++)
			show(data, keys[i].name, conf->rules[k], conf->rules_origins[k].file,
			     conf->rules_origins[k].line);
	}
	buf_fini(&value);
}

/* What is made once, when the daemon starts: its directory and sockets, sinks and memory. */
static const char *const at_start[] = {"dir", "ndjson", "state", "metrics", "journal", "memory", "sink_queue", "spool"};

static int
carry_key(struct conf *fresh, const struct conf *running, const struct conf_key *key)
{
	const struct conf_origin *origin = &running->origins[key - keys];
	char **text = (char **)((char *)fresh + key->offset);
	const void *from = (const char *)running + key->offset;
	char *copy;

	if (key->set == set_text) {
		copy = *(char *const *)from != NULL ? strdup(*(char *const *)from) : NULL;
		if (copy == NULL && *(char *const *)from != NULL)
			return -ENOMEM;
		free(*text);
		*text = copy;
	} else {
		memcpy((char *)fresh + key->offset, from,
		       key->set == set_size ? sizeof(size_t) : sizeof(bool));
	}
	origin_fini(&fresh->origins[key - keys]);
	return origin->file == NULL ? 0
				    : origin_set(&fresh->origins[key - keys], origin->file,
						 origin->line, origin->value);
}

int
conf_carry(struct conf *fresh, const struct conf *running, conf_kept_fn *kept, void *data)
{
	struct buf old, new;
	int r = 0;

	buf_init(&old);
	buf_init(&new);
	for (size_t i = 0; r == 0 && i < sizeof(at_start) / sizeof(at_start[0]); i++) {
		const struct conf_key *key = find_key(at_start[i]);
		bool was = write_value(running, key, &old), is = write_value(fresh, key, &new);

		if (was == is && (!was || strcmp(old.data, new.data) == 0))
			continue;
		kept(data, key->name, was ? old.data : NULL);
		r = carry_key(fresh, running, key);
	}
	if (old.failed || new.failed)
		r = -ENOMEM;
	buf_fini(&old);
	buf_fini(&new);
	return r;
}
