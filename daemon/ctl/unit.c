/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "ctl.h"
#include "place.h"
#include "pyaudit/wire.h"

#define WORD_MAX 8192 /* of a value; systemd's own lines are no longer than 1 MiB */
#define DIRS_MAX 16

/* Where units are looked for, the first that has it wins: systemd.unit(5). */
static const char *const system_dirs[] = {
	"/etc/systemd/system.control", "/run/systemd/system.control", "/run/systemd/transient",
	"/run/systemd/generator.early", "/etc/systemd/system",        "/run/systemd/system",
	"/run/systemd/generator",       "/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
	"/lib/systemd/system",          "/run/systemd/generator.late",
};
static const char *const user_dirs[] = {
	"/etc/systemd/user", "/run/systemd/user", "/usr/local/share/systemd/user",
	"/usr/share/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user",
};

#define N(array) (sizeof(array) / sizeof((array)[0]))

struct dirs {
	char *dir[DIRS_MAX];
	size_t n;
};

static void
dirs_fini(struct dirs *dirs)
{
	for (size_t i = 0; i < dirs->n; i++)
		free(dirs->dir[i]);
}

static void
dirs_add(struct dirs *dirs, const char *root, const char *dir, const char *below)
{
	if (dirs->n < DIRS_MAX &&
	    asprintf(&dirs->dir[dirs->n], "%s%s%s", root, dir, below) >= 0)
		dirs->n++;
}

/* The user's own settings, or NULL where nobody says where they are. */
static char *
config_home(void)
{
	const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	char *path;

	if (config != NULL && config[0] == '/')
		return strdup(config);
	if (home == NULL || home[0] != '/' || asprintf(&path, "%s/.config", home) < 0)
		return NULL;
	return path;
}

static void
find_dirs(struct dirs *dirs, const struct unit_scope *scope)
{
	CLEANUP(freep) char *config = NULL;
	const char *runtime = getenv("XDG_RUNTIME_DIR"), *home = getenv("HOME");

	if (!scope->user) {
		for (size_t i = 0; i < N(system_dirs); i++)
			dirs_add(dirs, scope->root, system_dirs[i], "");
		return;
	}
	if (scope->root[0] == '\0') {
		config = config_home();
		if (config != NULL)
			dirs_add(dirs, config, "/systemd/user", "");
		if (runtime != NULL && runtime[0] == '/') {
			dirs_add(dirs, runtime, "/systemd/transient", "");
			dirs_add(dirs, runtime, "/systemd/user", "");
			dirs_add(dirs, runtime, "/systemd/generator", "");
		}
		if (home != NULL && home[0] == '/')
			dirs_add(dirs, home, "/.local/share/systemd/user", "");
	}
	for (size_t i = 0; i < N(user_dirs); i++)
		dirs_add(dirs, scope->root, user_dirs[i], "");
}

/* Names */

static const char *const other_types[] = {".timer", ".socket",    ".path",  ".target", ".mount",
					  ".swap",  ".automount", ".slice", ".scope",  ".device"};

static bool
ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len > end_len && strcmp(text + len - end_len, end) == 0;
}

bool
unit_name(char ret[UNIT_NAME_MAX + 1], const char *word, char why[UNIT_WHY_MAX])
{
	const char *suffix = ends_with(word, ".service") ? "" : ".service";
	size_t len = strlen(word);

	for (size_t i = 0; i < N(other_types); i++) {
		if (!ends_with(word, other_types[i]))
			continue;
		(void)snprintf(why, UNIT_WHY_MAX,
			       "it starts no program of its own: name the service, such as %.*s.service",
			       (int)(len - strlen(other_types[i])), word);
		return false;
	}
	if (len == 0 || len + strlen(suffix) > UNIT_NAME_MAX || word[0] == '.' || word[0] == '@' ||
	    strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
			 ":-_.\\@") != len) {
		(void)snprintf(why, UNIT_WHY_MAX, "that is no name of a unit%s",
			       strchr(word, '/') != NULL ? ": give it without its directory" : "");
		return false;
	}
	memcpy(ret, word, len);
	(void)strcpy(ret + len, suffix);
	if (strcmp(ret, "pyauditd.service") == 0) {
		(void)snprintf(why, UNIT_WHY_MAX, "the daemon is no Python program");
		return false;
	}
	return true;
}

bool
unit_dropin_directory(char ret[PATH_MAX], const struct unit_scope *scope, char why[UNIT_WHY_MAX])
{
	CLEANUP(freep) char *config = NULL;
	int n;

	if (scope->user && scope->root[0] == '\0') {
		config = config_home();
		if (config == NULL) {
			(void)snprintf(why, UNIT_WHY_MAX, "HOME is not set");
			return false;
		}
		n = snprintf(ret, PATH_MAX, "%s/systemd/user", config);
	} else {
		n = snprintf(ret, PATH_MAX, "%s/etc/systemd/%s", scope->root,
			     scope->user ? "user" : "system");
	}
	if (n > 0 && n < PATH_MAX - UNIT_NAME_MAX - 32)
		return true;
	(void)snprintf(why, UNIT_WHY_MAX, "the path of its directory is too long");
	return false;
}

bool
unit_dropin_path(char ret[PATH_MAX], const struct unit_scope *scope, const char *name,
		 char why[UNIT_WHY_MAX])
{
	size_t len;

	if (!unit_dropin_directory(ret, scope, why))
		return false;
	len = strlen(ret);
	(void)snprintf(ret + len, PATH_MAX - len, "/%s.d/" UNIT_DROPIN, name);
	return true;
}

/* What a unit's files say */

struct setting {
	char *file; /* that set it, or NULL */
	char value[WORD_MAX];
};

struct facts {
	struct setting preload;     /* LD_PRELOAD, without ours */
	struct setting environment; /* the first EnvironmentFile that sets LD_PRELOAD */
	bool after_ours;            /* @preload comes from a file that is read after our drop-in */
	bool has_root;              /* RootDirectory= or RootImage= */
	bool early;                 /* DefaultDependencies=no */
	bool families;              /* RestrictAddressFamilies= is a list of those allowed... */
	bool has_unix;              /* ...with AF_UNIX in it */
	bool unsets;                /* UnsetEnvironment=LD_PRELOAD */
};

struct reading {
	struct facts *facts;
	const char *root;
	const char *file;
	bool after_ours;
	char section[64];
};

static void
setting_put(struct setting *setting, const char *file, const char *value)
{
	free(setting->file);
	setting->file = strdup(file);
	(void)snprintf(setting->value, sizeof(setting->value), "%s", value);
}

static void
setting_clear(struct setting *setting)
{
	free(setting->file);
	*setting = (struct setting){0};
}

/* The next word of a value, quotes taken off. False at its end. */
static bool
next_word(const char **at, char ret[WORD_MAX])
{
	const char *s = *at + strspn(*at, " \t");
	size_t len = 0;
	char quote = '\0';

	if (*s == '\0')
		return false;
	for (; *s != '\0' && (quote != '\0' || (*s != ' ' && *s != '\t')); s++) {
		if (quote != '\0' ? *s == quote : *s == '"' || *s == '\'') {
			quote = quote != '\0' ? '\0' : *s;
			continue;
		}
		if (*s == '\\' && s[1] != '\0')
			s++;
		if (len < WORD_MAX - 1)
			ret[len++] = *s;
	}
	ret[len] = '\0';
	*at = s;
	return true;
}

static const char preload_is[] = "LD_PRELOAD=";

static void
take_environment(struct reading *reading, const char *value)
{
	struct facts *facts = reading->facts;
	char word[WORD_MAX];

	if (*value == '\0')
		setting_clear(&facts->preload);
	while (next_word(&value, word)) {
		if (strncmp(word, preload_is, strlen(preload_is)) != 0)
			continue;
		setting_put(&facts->preload, reading->file, word + strlen(preload_is));
		facts->after_ours = reading->after_ours;
	}
}

/* A file of variables overrides what the unit itself sets. */
static void
take_environment_file(struct reading *reading, const char *value)
{
	CLEANUP(freep) char *path = NULL;
	CLEANUP(freep) char *text = NULL;
	char word[WORD_MAX];

	if (*value == '\0')
		setting_clear(&reading->facts->environment);
	if (!next_word(&value, word))
		return;
	path = place_below(reading->root, word + (word[0] == '-'));
	if (path == NULL || place_read(path, &text, NULL) < 0)
		return;
	for (char *line = text, *end; line != NULL; line = end) {
		end = strchr(line, '\n');
		if (end != NULL)
			*end++ = '\0';
		line += strspn(line, " \t");
		if (strncmp(line, preload_is, strlen(preload_is)) == 0)
			setting_put(&reading->facts->environment, path, line + strlen(preload_is));
	}
}

static void
take_families(struct facts *facts, const char *value)
{
	char word[WORD_MAX];
	bool denied = value[0] == '~';

	if (*value == '\0' || strcmp(value, "none") == 0) {
		facts->families = strcmp(value, "none") == 0;
		facts->has_unix = false;
		return;
	}
	value += denied;
	facts->families |= !denied;
	while (next_word(&value, word)) {
		if (strcmp(word, "AF_UNIX") != 0 && strcmp(word, "AF_LOCAL") != 0)
			continue;
		facts->has_unix = !denied;
		facts->families |= denied; /* the one that is left out is ours */
	}
}

static bool
is_no(const char *value)
{
	return strcmp(value, "no") == 0 || strcmp(value, "false") == 0 ||
	       strcmp(value, "off") == 0 || strcmp(value, "0") == 0;
}

static void
take_setting(struct reading *reading, const char *key, const char *value)
{
	struct facts *facts = reading->facts;

	if (strcmp(reading->section, "Unit") == 0) {
		if (strcmp(key, "DefaultDependencies") == 0)
			facts->early = is_no(value);
		return;
	}
	if (strcmp(reading->section, "Service") != 0)
		return;
	if (strcmp(key, "Environment") == 0)
		take_environment(reading, value);
	else if (strcmp(key, "EnvironmentFile") == 0)
		take_environment_file(reading, value);
	else if (strcmp(key, "RootDirectory") == 0 || strcmp(key, "RootImage") == 0)
		facts->has_root = *value != '\0' && strcmp(value, "/") != 0;
	else if (strcmp(key, "RestrictAddressFamilies") == 0)
		take_families(facts, value);
	else if (strcmp(key, "UnsetEnvironment") == 0)
		facts->unsets = *value != '\0' &&
				(facts->unsets || strstr(value, "LD_PRELOAD") != NULL);
}

static char *
strip(char *text)
{
	size_t len;

	text += strspn(text, " \t");
	for (len = strlen(text); len > 0 && strchr(" \t\r", text[len - 1]) != NULL; len--)
		;
	text[len] = '\0';
	return text;
}

static void
take_line(struct reading *reading, char *line)
{
	char *equals;

	line = strip(line);
	if (line[0] == '[') {
		line[strcspn(line, "]")] = '\0';
		(void)snprintf(reading->section, sizeof(reading->section), "%s", line + 1);
		return;
	}
	equals = strchr(line, '=');
	if (equals == NULL)
		return;
	*equals = '\0';
	take_setting(reading, strip(line), strip(equals + 1));
}

/* Lines end in a backslash where the next one belongs to them; comments in between do not count. */
static int
read_file(struct reading *reading, const char *path)
{
	CLEANUP(freep) char *text = NULL;
	struct buf whole;
	int r = place_read(path, &text, NULL);

	if (r < 0)
		return r;
	reading->file = path;
	reading->section[0] = '\0';
	buf_init(&whole);
	for (char *line = text, *end; line != NULL; line = end) {
		size_t len;

		end = strchr(line, '\n');
		if (end != NULL)
			*end++ = '\0';
		len = strspn(line, " \t");
		if (line[len] == '#' || line[len] == ';')
			continue;
		len = strlen(line);
		if (len > 0 && line[len - 1] == '\\' && end != NULL) {
			buf_add(&whole, line, len - 1);
			buf_add_char(&whole, ' ');
			continue;
		}
		buf_add_str(&whole, line);
		buf_add_char(&whole, '\0');
		if (!whole.failed)
			take_line(reading, whole.data);
		buf_reset(&whole);
	}
	buf_fini(&whole);
	return 0;
}

/* Files */

struct dropins {
	struct {
		char *path;
		size_t base;
	} file[UNIT_FILES_MAX];
	size_t n;
};

static void
dropins_fini(struct dropins *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->file[i].path);
}

/* Files of one name: the first directory that has it counts. */
static void
add_dropins(struct dropins *list, const char *dir, const char *name)
{
	char path[PATH_MAX];
	const struct dirent *entry;
	DIR *stream;

	if (snprintf(path, sizeof(path), "%s/%s.d", dir, name) >= (int)sizeof(path))
		return;
	stream = opendir(path);
	if (stream == NULL)
		return;
	while (list->n < UNIT_FILES_MAX && (entry = readdir(stream)) != NULL) {
		bool known = false;
		char *file;

		if (!ends_with(entry->d_name, ".conf"))
			continue;
		for (size_t i = 0; i < list->n && !known; i++)
			known = strcmp(list->file[i].path + list->file[i].base, entry->d_name) == 0;
		if (known || asprintf(&file, "%s/%s", path, entry->d_name) < 0)
			continue;
		list->file[list->n].path = file;
		list->file[list->n++].base = strlen(path) + 1;
	}
	(void)closedir(stream);
}

static int
by_name(const void *a, const void *b)
{
	const struct dropins *at = NULL;
	const __typeof__(at->file[0]) *x = a, *y = b;

	return strcmp(x->path + x->base, y->path + y->base);
}

/* "app@.service" of "app@1.service", or "" where @name is no instance. */
static void
template_of(char ret[UNIT_NAME_MAX + 1], const char *name)
{
	const char *at = strchr(name, '@');

	if (at != NULL && strcmp(at, "@.service") != 0)
		(void)snprintf(ret, UNIT_NAME_MAX + 1, "%.*s@.service", (int)(at - name), name);
	else
		ret[0] = '\0';
}

static bool
find_fragment(char ret[PATH_MAX], const struct dirs *dirs, const char *name)
{
	for (size_t i = 0; i < dirs->n; i++) {
		struct stat st;

		/* A link may be absolute, and then leads out of a root that is not ours to follow. */
		if (snprintf(ret, PATH_MAX, "%s/%s", dirs->dir[i], name) < PATH_MAX &&
		    lstat(ret, &st) == 0)
			return true;
	}
	return false;
}

/* A link to /dev/null, or an empty file: systemctl mask. */
static bool
is_masked(const char *fragment)
{
	char target[16];
	struct stat st;
	ssize_t n = readlink(fragment, target, sizeof(target));

	return (n == 9 && memcmp(target, "/dev/null", 9) == 0) ||
	       (stat(fragment, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0);
}

/* False, with a sentence in @why, where there is no such unit. */
static bool
gather(struct facts *facts, const struct unit_scope *scope, const char *name,
       char why[UNIT_WHY_MAX])
{
	CLEANUP(dirs_fini) struct dirs dirs = {0};
	CLEANUP(dropins_fini) struct dropins list = {0};
	struct reading reading = {.facts = facts, .root = scope->root};
	char template[UNIT_NAME_MAX + 1], fragment[PATH_MAX];

	find_dirs(&dirs, scope);
	template_of(template, name);
	if (!find_fragment(fragment, &dirs, name) &&
	    (template[0] == '\0' || !find_fragment(fragment, &dirs, template))) {
		(void)snprintf(why, UNIT_WHY_MAX, "there is no such unit%s%s%s",
			       scope->user ? " of the user's manager" : "",
			       scope->root[0] != '\0' ? " below " : "", scope->root);
		return false;
	}
	if (is_masked(fragment)) {
		(void)snprintf(why, UNIT_WHY_MAX, "%.*s masks it", PATH_MAX, fragment);
		return false;
	}
	(void)read_file(&reading, fragment);
	for (size_t i = 0; i < dirs.n; i++)
		add_dropins(&list, dirs.dir[i], name);
	for (size_t i = 0; i < dirs.n && template[0] != '\0'; i++)
		add_dropins(&list, dirs.dir[i], template);
	for (size_t i = 0; i < dirs.n; i++)
		add_dropins(&list, dirs.dir[i], "service");
	qsort(list.file, list.n, sizeof(list.file[0]), by_name);
	for (size_t i = 0; i < list.n; i++) {
		int order = strcmp(list.file[i].path + list.file[i].base, UNIT_DROPIN);

		reading.after_ours = order > 0;
		if (order != 0)
			(void)read_file(&reading, list.file[i].path);
	}
	return true;
}

/* The drop-in */

/* A percent sign would begin a specifier. */
static void
add_path(struct buf *out, const char *path)
{
	for (; *path != '\0'; path++) {
		if (*path == '%')
			buf_add_char(out, '%');
		buf_add_char(out, *path);
	}
}

/* In quotes, as it was read: its percent signs are doubled already. */
static void
add_quoted(struct buf *out, const char *value)
{
	for (; *value != '\0'; value++) {
		if (*value == '"' || *value == '\\')
			buf_add_char(out, '\\');
		buf_add_char(out, *value);
	}
}

static void
compose(struct buf *out, const struct unit_scope *scope, const struct unit_options *options,
	const struct facts *facts)
{
	buf_add_str(out, UNIT_MARK);
	if (!scope->user && !facts->early)
		buf_add_str(out, "[Unit]\n"
				 "Wants=pyauditd.service\n"
				 "After=pyauditd.service\n"
				 "\n");
	buf_add_str(out, "[Service]\nEnvironment=\"LD_PRELOAD=");
	add_path(out, options->agent);
	if (facts->preload.file != NULL && facts->preload.value[0] != '\0') {
		buf_add_char(out, ':');
		add_quoted(out, facts->preload.value);
	}
	buf_add_str(out, "\"\n");
	if (options->observe)
		buf_add_str(out, "Environment=" PYAUDIT_ENV_MODE "=observe\n");
	if (facts->families && !facts->has_unix)
		buf_add_str(out, "# The agent's way to the daemon.\n"
				 "RestrictAddressFamilies=AF_UNIX\n");
	if (facts->has_root) {
		buf_add_str(out, "# The unit has a root directory of its own.\nBindReadOnlyPaths=");
		add_path(out, options->agent);
		buf_add_str(out, " -" PYAUDIT_DIR_DEFAULT "\n");
	}
}

bool
unit_dropin_text(struct buf *ret, const struct unit_scope *scope,
		 const struct unit_options *options, const char *name, char why[UNIT_WHY_MAX])
{
	struct facts *facts = calloc(1, sizeof(*facts)); /* large */
	bool fits = facts != NULL && gather(facts, scope, name, why);

	if (facts == NULL)
		(void)snprintf(why, UNIT_WHY_MAX, "out of memory");
	if (fits && facts->unsets)
		(void)snprintf(why, UNIT_WHY_MAX,
			       "it has UnsetEnvironment=LD_PRELOAD, which would take the agent out");
	else if (fits && facts->environment.file != NULL)
		(void)snprintf(why, UNIT_WHY_MAX,
			       "%.*s, its EnvironmentFile=, sets LD_PRELOAD, which would override the "
			       "drop-in: move that variable into the unit",
			       PATH_MAX, facts->environment.file);
	else if (fits && facts->preload.file != NULL && facts->after_ours)
		(void)snprintf(why, UNIT_WHY_MAX,
			       "%.*s sets LD_PRELOAD and is read after " UNIT_DROPIN
			       ": give it a name that sorts before",
			       PATH_MAX, facts->preload.file);
	else if (fits)
		compose(ret, scope, options, facts);
	fits = fits && ret->len > 0 && !ret->failed;
	if (facts != NULL) {
		free(facts->preload.file);
		free(facts->environment.file);
	}
	free(facts);
	return fits;
}
